/* The files that a channel's playlist could name: found by words, page by page, with what is known of each. */

import { ask, mayEdit } from "./api.js";
import { button, h, say } from "./dom.js";
import { bytes, fullMoment, length, moment, plural } from "./format.js";
import { complain } from "./notices.js";

const PAGE = 200;
const TYPING_MS = 250;
const FILL_MS = 2500; // while some of what is shown is not known yet
const STATES = {
  ready: ["ok", "prepared"],
  preparing: ["warn", "preparing"],
  waiting: ["warn", "waits"],
  usable: ["idle", "can air"],
  refused: ["bad", "cannot air"],
  unknown: ["idle", "not looked at yet"],
};

export class Files {
  /** `add(file)`: put it into the playlist; null where nobody may. */
  constructor(channel, { add = null } = {}) {
    Object.assign(this, { channel, add, turn: 0, files: [] });
    this.word = h("input", { type: "search", placeholder: "Find a file", "aria-label": "Find a file", on: { input: () => this.#typed() } });
    this.count = h("p", { class: "wall-count", role: "status" });
    this.body = h("tbody", {});
    const heads = ["File", "State", "Length", "Picture", "Size", "Aired", ...(add ? [""] : [])];
    const head = h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text || h("span", { class: "unseen", text: "Orders" }))));
    const frame = h("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Files" }, h("table", { class: "files" }, h("thead", {}, head), this.body));
    this.none = h("p", { class: "empty" });
    this.more = h("button", { type: "button", class: "button more", text: "Show more", hidden: true, on: { click: () => this.load(this.next) } });
    this.element = h("div", { class: "files-view" }, h("div", { class: "toolbar" }, this.count, h("span", { class: "gap" }), this.word), frame, this.none, this.more);
  }

  #typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.load(), TYPING_MS);
  }

  /** The first page, or the one at `next`. */
  async load(next = null) {
    const mine = ++this.turn;
    clearTimeout(this.filling);
    try {
      const answer = await ask(next ?? this.#address(PAGE));
      const files = await answer.json();
      if (mine !== this.turn || this.isClosed) return;
      this.files = next ? [...this.files, ...files] : files;
      this.#show(answer);
    } catch (error) {
      if (mine === this.turn && !this.isClosed) complain(error);
    }
  }

  #address(limit) {
    const asked = new URLSearchParams({ channel: this.channel, limit: String(limit) });
    if (this.word.value.trim()) asked.set("q", this.word.value.trim());
    return `/api/v1/library?${asked}`;
  }

  #show(answer) {
    this.next = /<([^>]+)>; *rel="next"/.exec(answer.headers.get("Link") ?? "")?.[1] ?? null;
    this.more.hidden = !this.next;
    this.body.replaceChildren(...this.files.map((file) => this.#row(file)));
    const total = Number(answer.headers.get("Channeld-Total"));
    say(this.count, plural(total, "file"));
    say(this.none, total ? "" : this.word.value.trim() ? "No file fits." : "There are no files yet. Send some, or put them below the playlist's folder.");
    const isOpen = this.files.some((file) => ["unknown", "preparing", "waiting"].includes(file.state));
    if (isOpen) this.filling = setTimeout(() => this.#again(), FILL_MS);
  }

  /** What is shown, as it is by now; where one looks stays where it is. */
  async #again() {
    if (document.hidden || this.body.contains(document.activeElement) || this.files.length > PAGE) {
      this.filling = setTimeout(() => this.#again(), FILL_MS);
      return;
    }
    await this.load();
  }

  #row(file) {
    const [folder, name] = split(file.path);
    const [kind, word] = STATES[file.state] ?? ["idle", file.state];
    const picture = file.width ? `${file.width}×${file.height}${file.fps ? `, ${+file.fps.toFixed(2)} fps` : ""}` : file.audio_codec ? "sound only" : "–";
    const codecs = [file.video_codec, file.audio_codec].filter(Boolean).join(", ");
    const aired = file.aired ? `${file.aired}×, ${moment(file.aired_at)}` : "never";
    const order = this.add && h("td", { class: "files-order" }, button("plus", `Add ${name}`, () => this.add(file), { disabled: !mayEdit() || file.state === "refused" }));
    return h(
      "tr",
      { data: { path: file.path } },
      h("td", { class: "what", title: `${file.path}\n${fullMoment(file.modified_at)}` }, h("span", { text: name }), h("span", { class: "row-path", text: file.reason || folder })),
      h("td", {}, h("span", { class: `chip ${kind}` }, h("i"), word), file.entries ? h("span", { class: "row-path", text: `in the list${file.entries > 1 ? ` ${file.entries}×` : ""}` }) : null),
      h("td", { text: length(file.duration_s) }),
      h("td", { title: codecs, text: picture }),
      h("td", { text: bytes(file.bytes) }),
      h("td", { text: aired }),
      order,
    );
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.typing);
    clearTimeout(this.filling);
  }
}

function split(path) {
  const at = path.lastIndexOf("/");
  return at < 0 ? ["", path] : [path.slice(0, at), path.slice(at + 1)];
}
