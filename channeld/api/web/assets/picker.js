/* Choosing files of the library for a playlist, in a dialog: as many as one likes, one after the other. */

import { h } from "./dom.js";
import { Files } from "./files.js";

/** `add(path)` for each that is chosen; the dialog stays until it is closed. */
export function pickFiles(channel, add) {
  const files = new Files(channel, { add: (file) => add(file.path) });
  const close = h("button", { type: "button", class: "button primary", text: "Done", on: { click: () => dialog.close() } });
  const dialog = h(
    "dialog",
    { class: "dialog picker", "aria-labelledby": "picker-title" },
    h("h2", { id: "picker-title", text: "Add from the library" }),
    files.element,
    h("div", { class: "dialog-answers" }, close),
  );
  dialog.addEventListener("close", () => {
    files.close();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
  files.word.focus();
  files.load();
}
