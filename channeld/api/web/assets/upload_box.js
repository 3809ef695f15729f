/* Where files are dropped or chosen, and how far each is. */

import { mayEdit } from "./api.js";
import { button, h, say } from "./dom.js";
import { bytes } from "./format.js";
import { cancel, onSending, retry, send, sendings } from "./uploads.js";

const WORDS = { waiting: "Waits", sending: "", done: "Sent", failed: "Failed", ended: "Ended" };

export class UploadBox {
  /** `done(path)`: a file lies in the channel's folder now. */
  constructor(channel, { done }) {
    Object.assign(this, { channel, done });
    this.rows = new Map();
    this.input = h("input", { type: "file", multiple: true, class: "unseen", tabindex: "-1", "aria-label": "Files to send", on: { change: () => this.#chosen() } });
    const choose = button("plus", "Send files", () => this.input.click(), { shown: true });
    this.list = h("ul", { class: "sendings", "aria-label": "Files on their way" });
    this.element = h("section", { class: "upload-box", "aria-label": "Send files", hidden: !mayEdit() }, h("p", {}, choose, this.input, h("span", { class: "hint", text: "or drop them here" })), this.list);
    this.end = onSending((sending) => sending.channel === channel && this.#show(sending));
    for (const sending of sendings(channel)) this.#show(sending, true);
  }

  /** Files may be dropped anywhere on this element. */
  takeDrops(place) {
    const isFiles = (event) => mayEdit() && [...(event.dataTransfer?.types ?? [])].includes("Files");
    place.addEventListener("dragover", (event) => {
      if (!isFiles(event)) return;
      event.preventDefault();
      this.element.classList.add("over");
    });
    place.addEventListener("dragleave", (event) => !place.contains(event.relatedTarget) && this.element.classList.remove("over"));
    place.addEventListener("drop", (event) => {
      if (!isFiles(event)) return;
      event.preventDefault();
      this.element.classList.remove("over");
      send(this.channel, event.dataTransfer.files);
    });
  }

  #chosen() {
    send(this.channel, this.input.files);
    this.input.value = "";
  }

  #show(sending, isOld = false) {
    const row = this.rows.get(sending) ?? this.#add(sending);
    const share = sending.size ? sending.sent / sending.size : 1;
    row.bar.style.transform = `scaleX(${share.toFixed(4)})`;
    row.progress.setAttribute("aria-valuenow", Math.round(share * 100));
    row.element.dataset.state = sending.state;
    const word = sending.reason || WORDS[sending.state] || `${bytes(sending.sent)} of ${bytes(sending.size)}`;
    say(row.word, sending.path && sending.path !== sending.name ? `${word} as ${sending.path}` : word);
    row.end.hidden = !["waiting", "sending"].includes(sending.state);
    row.again.hidden = sending.state !== "failed";
    if (sending.state === "done" && !row.isTold) {
      row.isTold = true;
      if (!isOld) this.done(sending.path);
    }
    this.#showOthers();
  }

  /** All that were chosen at once are shown, though the first only tells. */
  #showOthers() {
    for (const each of sendings(this.channel)) if (!this.rows.has(each)) this.#show(each, true);
  }

  #add(sending) {
    const bar = h("i");
    const progress = h("div", { class: "progress", role: "progressbar", "aria-label": `Sending ${sending.name}`, "aria-valuemin": 0, "aria-valuemax": 100 }, bar);
    const word = h("span", { class: "sending-word", role: "status" });
    const end = button("close", `End ${sending.name}`, () => cancel(sending));
    const again = button("restart", `Try ${sending.name} again`, () => retry(sending));
    const element = h("li", { class: "sending" }, h("span", { class: "sending-name", text: sending.name }), word, h("span", { class: "sending-orders" }, again, end), progress);
    const row = { bar, progress, word, end, again, element };
    this.rows.set(sending, row);
    this.list.append(element);
    return row;
  }

  close() {
    this.end();
  }
}
