/* The library: a channel's files, what is sent to it, and the catalogue of what was prepared. */

import { ask, channelPath, mayEdit } from "./api.js";
import { h } from "./dom.js";
import { openClips } from "./clips.js";
import { Files } from "./files.js";
import { complain, notice, speak } from "./notices.js";
import { UploadBox } from "./upload_box.js";

const CLIPS = "clips";
const FRESH = new Set(["clip_uploaded", "playlist_applied", "clip_prepared", "clip_refused", "page_resync"]);
const AGAIN_MS = 700;

export function open(place, page, [wanted = ""]) {
  document.title = "Library · channeld";
  const channels = page.channels.list();
  const shown = wanted || channels[0]?.id || CLIPS;
  const options = [...channels.map((one) => h("option", { value: one.id, text: one.name })), h("option", { value: CLIPS, text: "All that was prepared" })];
  const select = h("select", { "aria-label": "Files of", on: { change: () => page.go(`library/${encodeURIComponent(select.value)}`) } }, ...options);
  select.value = shown;
  place.append(h("div", { class: "toolbar" }, h("h1", { text: "Library" }), select));
  return shown === CLIPS ? openClips(place, page) : openTab(place, page, shown);
}

/** A channel's library; gives how to end it. */
export function openTab(place, page, id) {
  const view = new Library(place, page, id);
  return () => view.close();
}

class Library {
  constructor(place, page, id) {
    this.files = new Files(id, { add: (file) => addToList(id, file.path) });
    this.uploads = new UploadBox(id, { done: (path) => this.#sent(id, path) });
    this.uploads.takeDrops(place);
    place.append(this.uploads.element, this.files.element);
    this.end = page.on((event) => (event.channel === id || event.kind === "page_resync") && FRESH.has(event.kind) && this.#soon());
    this.files.load();
  }

  #sent(id, path) {
    this.#soon();
    notice(`${path} was sent.`, { kind: "ok", action: mayEdit() ? { label: "Add to the list", run: () => addToList(id, path) } : null });
    speak(`${path} was sent.`);
  }

  #soon() {
    this.waiting ??= setTimeout(() => {
      this.waiting = null;
      this.files.load();
    }, AGAIN_MS);
  }

  close() {
    clearTimeout(this.waiting);
    this.end();
    this.files.close();
    this.uploads.close();
  }
}

/** At the end of the channel's list, whatever it is by now. */
async function addToList(id, path) {
  try {
    const list = await ask(channelPath(id, "/playlist"));
    const match = list.headers.get("ETag");
    await ask(channelPath(id, "/playlist/entries"), { method: "POST", body: { path }, match });
    notice(`Added ${path} at the end of the list.`, { kind: "ok" });
    speak(`Added ${path}.`);
  } catch (error) {
    complain(error);
  }
}
