/* What the page says to people: short notices, the live region, and questions that want an answer. */

import { button, h } from "./dom.js";

const SHOWN_MS = 7000;

/** For screen readers, politely. */
export function speak(text) {
  const place = document.getElementById("spoken");
  place.textContent = "";
  requestAnimationFrame(() => {
    place.textContent = text;
  });
}

/** A notice; `kind` ok, bad or plain; `action`: {label, run}. Bad ones stay until they are closed. */
export function notice(text, { kind = "plain", title = null, action = null } = {}) {
  const close = () => shown.remove();
  const act = action && h("button", { type: "button", class: "button", text: action.label, on: { click: () => (close(), action.run()) } });
  const words = h("div", { class: "toast-text" }, title ? h("strong", { text: title }) : null, h("span", { text }));
  const shown = h("div", { class: `toast ${kind}`, role: kind === "bad" ? "alert" : "status" }, words, act, button("close", "Close", close));
  const place = document.getElementById("toasts");
  while (place.children.length >= 4) place.firstChild.remove();
  place.append(shown);
  if (kind !== "bad") setTimeout(close, action ? SHOWN_MS * 2 : SHOWN_MS);
  return close;
}

export function complain(error) {
  notice(error.message, { kind: "bad", title: error.title ?? "Something failed in the page" });
}

/** A question in a dialog; gives the value of the chosen answer, null when it was dismissed. */
export function choose({ title, body = [], answers, wide = false }) {
  return new Promise((resolve) => {
    const buttons = answers.map(({ label, value, kind = "" }) =>
      h("button", { type: "button", class: `button ${kind}`, text: label, on: { click: () => dialog.close(value) } }),
    );
    const heading = h("h2", { id: "dialog-title", text: title });
    const dialog = h(
      "dialog",
      { class: wide ? "dialog wide" : "dialog", "aria-labelledby": "dialog-title" },
      heading,
      h("div", { class: "dialog-body" }, ...body),
      h("div", { class: "dialog-answers" }, ...buttons),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue || null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export async function confirm(title, text, label, kind = "danger") {
  const answers = [{ label: "Cancel", value: "" }, { label, value: "yes", kind }];
  return (await choose({ title, body: [h("p", { text })], answers })) === "yes";
}
