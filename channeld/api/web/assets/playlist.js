/* The playlist tab: entries in their order with when each airs, and every edit. The file's own text is the other half. */

import { channelPath, mayEdit, post } from "./api.js";
import { onTick } from "./clock.js";
import { button, h, say } from "./dom.js";
import { Edits } from "./edits.js";
import { moment, nameOf, plural } from "./format.js";
import { complain, notice, speak } from "./notices.js";
import { pickFiles } from "./picker.js";
import { addForm, askEntry } from "./entry_form.js";
import { Rows } from "./rows.js";
import { TextEditor } from "./text_editor.js";

const AGAIN_MS = 400;
const GROWING_MS = 2000;
const LONG = 1000; // a list longer than this is asked for again only now and then
const LONG_AGAIN_MS = 20_000;
const TURNS = new Set(["entry_started", "entry_continued", "playlist_applied", "entry_skipped", "entry_passed_over", "channel_state", "page_resync"]);

export function openTab(place, page, id) {
  const tab = new PlaylistTab(place, page, id);
  return () => tab.close();
}

class PlaylistTab {
  constructor(place, page, id) {
    Object.assign(this, { place, page, id });
    this.edits = new Edits(id, () => this.#known());
    this.rows = new Rows({
      mayEdit: () => mayEdit() && this.edits.list?.can_edit !== false,
      moved: (entry, index) => this.#move(entry, index),
      act: (name, entry) => this.#act(name, entry),
      speak,
    });
    this.#build();
    const showLine = () => this.#showText(true);
    place.addEventListener("show-line", showLine);
    const keys = (event) => this.#key(event);
    addEventListener("keydown", keys);
    const leaving = (event) => this.text.isDirty && event.preventDefault();
    addEventListener("beforeunload", leaving);
    this.ends = [
      page.on((event) => (event.channel === id || event.kind === "page_resync") && TURNS.has(event.kind) && this.#soon()),
      onTick(() => this.rows.tick(page.channels.get(id))),
      () => place.removeEventListener("show-line", showLine),
      () => removeEventListener("keydown", keys),
      () => removeEventListener("beforeunload", leaving),
      () => this.text.keep(),
    ];
    this.edits.load().then(() => this.#first()).catch(complain);
  }

  #build() {
    this.facts = h("p", { class: "list-facts", role: "status" });
    this.undo = button("undo", "Undo", () => this.edits.undo(), { shown: true, disabled: true });
    this.add = button("plus", "Add", () => this.form.toggleAttribute("hidden") || this.form.querySelector("input").focus(), { shown: true });
    this.pick = button("plus", "From the library", () => pickFiles(this.id, (path) => this.#add({ path }, "")), { shown: true });
    this.asText = h("button", { type: "button", class: "button", text: "Edit as text", on: { click: () => this.#showText(!this.isText) } });
    this.tools = h("div", { class: "toolbar" }, this.facts, h("span", { class: "gap" }), this.undo, this.add, this.pick, this.asText);
    this.form = addForm({ add: (entry, where) => this.#add(entry, where), paths: () => this.#paths() });
    this.form.hidden = true;
    this.body = h("div", { class: "list-body" }, this.rows.element);
    this.empty = h("p", { class: "empty", hidden: true, text: "The list is empty: the filler airs. Add a clip, and it cuts in as soon as it is ready." });
    this.place.append(this.tools, this.form, this.empty, this.body);
    this.text = new TextEditor(this.edits);
  }

  #first() {
    if (this.isClosed) return;
    const playing = this.edits.list.entries.findIndex((entry) => entry.is_playing);
    if (playing > 3) this.rows.reveal(playing - 1);
    if (this.page.wantedLine || this.text.isDirty) this.#showText(true);
  }

  /** The list is known anew. */
  #known() {
    if (this.isClosed) return;
    const { entries, revision, can_edit: canEdit, reason } = this.edits.list;
    const isEditor = mayEdit() && canEdit !== false;
    this.rows.show(entries);
    this.rows.tick(this.page.channels.get(this.id));
    const why = canEdit === false ? ` · ${reason}` : "";
    say(this.facts, `${plural(entries.length, "entry", "entries")} · revision ${revision}${why}`);
    this.empty.hidden = entries.length > 0 || this.isText || canEdit === false;
    this.body.hidden = entries.length === 0 && canEdit === false && !this.isText;
    this.undo.disabled = !this.edits.canUndo;
    this.undo.hidden = this.add.hidden = this.pick.hidden = !isEditor;
    this.asText.textContent = this.isText ? "Show as list" : isEditor ? "Edit as text" : "Show as text";
    this.#followPreparing(entries);
    this.text.known({ mayEdit: isEditor, fault: this.page.channels.get(this.id)?.edit_error ?? null });
  }

  /** No event tells how far a clip is: asked again while some are on their way. */
  #followPreparing(entries) {
    clearTimeout(this.growing);
    const isGrowing = entries.length <= LONG && entries.some((entry) => entry.state === "preparing" || (entry.prepared > 0 && entry.prepared < 1));
    if (isGrowing) this.growing = setTimeout(() => (document.hidden ? this.#followPreparing(entries) : this.#soon()), GROWING_MS);
  }

  #soon() {
    const isLong = (this.edits.list?.entries.length ?? 0) > LONG;
    this.waiting ??= setTimeout(() => {
      this.waiting = null;
      this.edits.load().catch(() => {});
    }, isLong ? LONG_AGAIN_MS : AGAIN_MS);
  }

  #showText(isText) {
    this.isText = isText;
    this.body.replaceChildren(isText ? this.text.element : this.rows.element);
    this.form.hidden = true;
    if (this.edits.list) this.#known();
    if (isText) this.text.open(this.page.wantedLine);
    this.page.wantedLine = null;
  }

  #key(event) {
    const isTyping = event.target.closest?.("input, textarea, select, dialog");
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !event.shiftKey && !isTyping && this.edits.canUndo) {
      event.preventDefault();
      this.edits.undo();
    }
  }

  // -- edits ------------------------------------------------------------------------------------------------------------------

  /** By its neighbours rather than by its number: those mean the same in a list that has changed meanwhile. */
  async #move(entry, index) {
    const { entries } = this.rows;
    const body = index > 0 ? { after: entries[index - 1].entry } : { before: entries[1].entry };
    await this.edits.send({ label: `Moved ${nameOf(entry)} to place ${index + 1}`, method: "POST", rest: this.#rest(entry, "/move"), body });
  }

  #rest(entry, rest = "") {
    return `/entries/${encodeURIComponent(entry.entry)}${rest}`;
  }

  #act(name, entry) {
    if (name === "remove") return this.#remove(entry);
    if (name === "edit") return this.#edit(entry);
    return this.#playNext(entry);
  }

  #remove(entry) {
    return this.edits.send({ label: `Removed ${nameOf(entry)}`, method: "DELETE", rest: this.#rest(entry) });
  }

  async #edit(entry) {
    const body = await askEntry(entry, this.edits.list.media_type);
    if (!body) return;
    await this.edits.send({ label: `Changed ${nameOf(entry)}`, method: "PATCH", rest: this.#rest(entry), body });
  }

  #add(entry, where) {
    const [first] = this.edits.list.entries;
    const body = where === "top" && first ? { ...entry, before: first.entry } : entry;
    return this.edits.send({ label: `Added ${body.title || body.path}`, method: "POST", rest: "/entries", body });
  }

  async #playNext(entry) {
    try {
      const { effective_at: at } = await post(channelPath(this.id, "/play-next"), { path: entry.path });
      const text = `${nameOf(entry)} airs next${at ? `, at ${moment(at)}` : ""}. Then the list goes on where it was.`;
      notice(text, { kind: "ok" });
      speak(text);
    } catch (error) {
      complain(error);
    }
  }

  #paths() {
    return [...new Set(this.edits.list?.entries.map((entry) => entry.path) ?? [])];
  }

  close() {
    this.rows.close();
    this.isClosed = true;
    clearTimeout(this.waiting);
    clearTimeout(this.growing);
    this.ends.forEach((end) => end());
  }
}
