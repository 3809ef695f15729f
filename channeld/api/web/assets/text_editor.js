/* The playlist's file as it is, with numbered lines; a fault is shown at its line. */

import { session } from "./api.js";
import { h, say } from "./dom.js";
import { moment, nameOf } from "./format.js";
import { complain, speak } from "./notices.js";
import { shownChange } from "./edits.js";

/** As a textarea has it. */
function unixLines(text) {
  return text.replaceAll("\r\n", "\n");
}

const drafts = new Map(); // what people left without saving it, until they come back or the page is closed

export class TextEditor {
  constructor(edits) {
    this.edits = edits;
    this.base = null; // the text that was begun from
    this.#build();
    this.#takeUp();
  }

  get #draftKey() {
    return JSON.stringify([session.name, this.edits.channel]);
  }

  /** Have what is not saved here when somebody comes back. */
  keep() {
    if (this.isDirty) drafts.set(this.#draftKey, { text: this.area.value, base: this.base, seen: this.seen });
  }

  #takeUp() {
    const draft = drafts.get(this.#draftKey);
    if (!draft) return;
    drafts.delete(this.#draftKey);
    Object.assign(this, { base: draft.base, seen: draft.seen });
    this.area.value = draft.text;
    this.#changed();
    say(this.note, "What you had not saved is back.");
  }

  #build() {
    this.numbers = h("div", { class: "text-numbers", "aria-hidden": "true" });
    this.area = h("textarea", { class: "text-area", id: "playlist-text", spellcheck: "false", wrap: "off", autocapitalize: "off", "aria-label": "The playlist file", "aria-describedby": "text-problem" });
    this.area.readOnly = true; // until the text is there: what is typed before it comes would be lost
    this.problem = h("p", { class: "text-problem", id: "text-problem", role: "alert", hidden: true });
    this.check = h("button", { type: "button", class: "button", text: "What would change?", on: { click: () => this.#rehearse() } });
    this.save = h("button", { type: "button", class: "button primary", text: "Save", on: { click: () => this.#save() } });
    this.revert = h("button", { type: "button", class: "button", text: "Discard", on: { click: () => this.#take(this.edits.list.text) } });
    this.note = h("p", { class: "hint", role: "status" });
    this.outcome = h("div", { class: "outcome", hidden: true });
    const orders = h("div", { class: "text-orders" }, this.save, this.check, this.revert, this.note);
    this.element = h("div", { class: "text-editor" }, this.problem, h("div", { class: "text-frame" }, this.numbers, this.area), orders, this.outcome);
    this.area.addEventListener("scroll", () => (this.numbers.scrollTop = this.area.scrollTop), { passive: true });
    this.area.addEventListener("input", () => this.#changed());
    this.area.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "s") {
        event.preventDefault();
        this.#save();
      }
    });
  }

  get isDirty() {
    return this.base !== null && this.area.value !== unixLines(this.base);
  }

  /** The list is known anew: what nobody has touched here follows it. */
  known({ mayEdit, fault }) {
    this.area.readOnly = !mayEdit;
    this.save.hidden = this.check.hidden = this.revert.hidden = !mayEdit;
    this.fault = fault;
    if (this.isSaving) return;
    if (this.isDirty) {
      if (this.edits.list.text !== this.base) say(this.note, "The file has changed meanwhile; saving asks what is to stay.");
    } else this.#take(this.edits.list.text);
  }

  /** Begin; `line` is to be looked at. */
  open(line) {
    if (!this.isDirty && this.edits.list) this.#take(this.edits.list.text);
    this.#number();
    if (line) this.#goTo(line);
  }

  #take(text) {
    this.seen = this.edits.list;
    if (this.area.value !== unixLines(text) || this.base !== text) {
      this.area.value = text;
      this.base = text;
      this.outcome.hidden = true;
      say(this.note, "");
    }
    this.#show(this.fault);
    this.#changed();
  }

  /** What is in the area, with the line ends of the file: a textarea knows one kind only. */
  get #text() {
    return this.base?.includes("\r\n") ? this.area.value.replaceAll("\n", "\r\n") : this.area.value;
  }

  #changed() {
    this.save.disabled = this.check.disabled = this.revert.disabled = !this.isDirty;
    this.#number();
  }

  #number() {
    const count = this.area.value.split("\n").length;
    const wanted = `${count} ${this.problemLine ?? 0}`;
    if (wanted === this.numbered) return;
    this.numbered = wanted;
    const before = Array.from({ length: count }, (_, index) => index + 1);
    if (!this.problemLine || this.problemLine > count) {
      this.numbers.textContent = before.join("\n");
      return;
    }
    const bad = h("b", { text: String(this.problemLine) });
    this.numbers.replaceChildren(before.slice(0, this.problemLine - 1).map((n) => `${n}\n`).join(""), bad, before.slice(this.problemLine).map((n) => `\n${n}`).join(""));
  }

  #show(fault) {
    this.problemLine = fault?.line ?? null;
    this.problem.hidden = !fault;
    if (fault) say(this.problem, fault.line ? `Line ${fault.line}: ${fault.message}` : fault.message);
    this.#number();
  }

  #goTo(line) {
    const lines = this.area.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    this.area.focus();
    this.area.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
    const height = this.area.scrollHeight / Math.max(1, lines.length);
    this.area.scrollTop = Math.max(0, (line - 4) * height);
  }

  #refused(error) {
    this.#show({ line: error.document.line ?? null, message: error.message });
    if (error.document.line) this.#goTo(error.document.line);
  }

  async #save() {
    if (!this.isDirty) return;
    const text = this.#text;
    const edit = {
      label: "Saved the text",
      method: "PUT",
      text,
      match: this.seen.tag,
      revision: this.seen.revision,
      from: this.base,
      onInvalid: (error) => this.#refused(error),
      onTheirs: () => this.#take(this.edits.list.text),
      onRestore: (mine) => {
        this.area.value = mine;
        this.#changed();
      },
    };
    this.isSaving = true;
    const isTaken = await this.edits.send(edit);
    this.isSaving = false;
    if (isTaken) this.#take(this.edits.list.text);
    else this.#changed();
  }

  async #rehearse() {
    try {
      const found = await this.edits.rehearse(this.#text);
      this.#show(null);
      const airs = (found.airs ?? []).slice(0, 12).map((change) =>
        h("li", {}, h("b", { text: nameOf(change) }), ` ${change.before ? moment(change.before) : "not before"} → ${change.after ? moment(change.after) : "no more"}`),
      );
      const parts = [h("h3", { text: "What would change" }), shownChange(this.edits.list.text, this.#text)];
      if (airs.length) parts.push(h("h3", { text: "When they air" }), h("ul", { class: "airs" }, ...airs));
      this.outcome.replaceChildren(...parts);
      this.outcome.hidden = false;
      speak("What would change is shown below the text.");
    } catch (error) {
      if (error.status === 422) this.#refused(error);
      else complain(error);
    }
  }
}
