/* Fields that say what is wrong with them, and dialogs made of such: what the daemon refuses stands beside what was typed. */

import { h } from "./dom.js";
import { speak } from "./notices.js";

let count = 0;

/** A labelled control. `show(faults)`: what is wrong with it, texts or nodes; none: nothing is. */
export class Field {
  constructor(name, label, control, { hint = null, span = "" } = {}) {
    Object.assign(this, { name, control });
    const id = `field-${++count}`;
    control.id = id;
    this.faults = h("ul", { class: "field-faults", id: `${id}-faults` });
    const told = hint ? h("span", { class: "hint", id: `${id}-hint`, text: hint }) : null;
    control.setAttribute("aria-describedby", [`${id}-faults`, told && told.id].filter(Boolean).join(" "));
    this.element = h("div", { class: `field ${span}`.trim() }, h("label", { for: id, text: label }), control, told, this.faults);
  }

  get value() {
    const { control } = this;
    if (control.type === "checkbox") return control.checked;
    if (control.type === "number") return Number(control.value);
    return control.value;
  }

  show(faults) {
    const isFaulty = faults.length > 0;
    this.element.classList.toggle("faulty", isFaulty);
    this.control.setAttribute("aria-invalid", String(isFaulty));
    const shown = faults.map((fault) => h("li", {}, fault));
    if (this.faults.textContent !== shown.map((each) => each.textContent).join("")) this.faults.replaceChildren(...shown);
  }
}

/** The faults of a problem document by field: those of `names`, and "" for what is of none. */
export function faultsByField(errors, names) {
  const found = new Map([["", []]]);
  for (const error of errors) {
    const name = String(error.field ?? error.at ?? "").split(".").at(-1);
    const known = names.includes(name) ? name : "";
    found.set(known, [...(found.get(known) ?? []), error]);
  }
  return found;
}

/** What a fault says beside its field, which need not be named there. */
export function faultText(error) {
  if (!error.problem) return error.message;
  const where = error.position ? `Argument ${error.position}${error.argument ? ` (${error.argument})` : ""}: ` : "";
  return `${where}${error.problem}${error.remedy ? `; ${error.remedy}` : ""}`;
}

/** Show a refusal at its fields; what belongs to none of them is in `rest`. The first faulty field gets the focus. */
export function showRefusal(error, fields, rest) {
  const errors = error.document?.errors ?? [];
  const faults = faultsByField(errors, fields.map((field) => field.name));
  for (const field of fields) field.show((faults.get(field.name) ?? []).map(faultText));
  const others = faults.get("").map(faultText);
  rest.textContent = errors.length ? others.join(" ") : error.message;
  speak(error.message);
  fields.find((field) => faults.has(field.name))?.control.focus();
}

/** Ask in a dialog. `send(values)` is tried until it is taken, refusals stand at their fields; gives what it gave, null when dismissed. */
export function askForm({ title, before = [], fields, label, send, wide = false }) {
  return new Promise((resolve) => {
    const rest = h("p", { class: "form-problem", role: "alert" });
    const go = h("button", { type: "submit", class: "button primary", text: label });
    const cancel = h("button", { type: "button", class: "button", text: "Cancel", on: { click: () => dialog.close() } });
    const form = h(
      "form",
      { novalidate: true },
      h("div", { class: "dialog-body" }, ...before, h("div", { class: "form-fields" }, ...fields.map((field) => field.element)), rest),
      h("div", { class: "dialog-answers" }, cancel, go),
    );
    const dialog = h("dialog", { class: wide ? "dialog wide" : "dialog", "aria-labelledby": "form-title" }, h("h2", { id: "form-title", text: title }), form);
    let given = null;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      go.disabled = true;
      rest.textContent = "";
      try {
        given = await send(Object.fromEntries(fields.map((field) => [field.name, field.value])));
        dialog.close();
      } catch (error) {
        showRefusal(error, fields, rest);
      } finally {
        go.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(given);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function select(options, value, props = {}) {
  const element = h("select", props, ...options.map(([each, text]) => h("option", { value: String(each), text })));
  if (value !== undefined && value !== null) element.value = String(value);
  return element;
}
