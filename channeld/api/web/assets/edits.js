/* Edits of one playlist: sent against the revision that was seen, so that nobody's work is lost, and taken back when wanted.

   Rule: an edit that meets another's (412) is never dropped or forced by itself: people choose. What gives way can be had again. */

import { ask, channelPath } from "./api.js";
import { h } from "./dom.js";
import { moment, nameOf } from "./format.js";
import { complain, choose, notice, speak } from "./notices.js";
import { changedLines } from "./lines.js";

const KEPT = 30;

export class Edits {
  /** `tell()` when the list is known anew. */
  constructor(channel, tell) {
    Object.assign(this, { channel, tell });
    this.list = null;
    this.past = []; // {label, text, tag}: what the file was before each edit, and the tag that the edit made
    this.queue = Promise.resolve();
  }

  async load() {
    this.list = await this.#read();
    this.tell();
    return this.list;
  }

  /** The list with its tag: what an edit is sent against. */
  async #read() {
    const response = await ask(channelPath(this.channel, "/playlist"));
    return { ...(await response.json()), tag: response.headers.get("ETag") };
  }

  /** One edit: {label, method, rest, body | text, match}. `match`: the tag of the list that it was made on, by default the one that is shown.
      Edits go one after the other; gives whether it was taken. */
  send(edit) {
    const done = this.queue.then(() => this.#send(edit));
    this.queue = done.catch(() => {});
    return done;
  }

  async #send(edit, { isUndo = false } = {}) {
    const before = { label: edit.label, text: this.list.text };
    let answer;
    try {
      answer = await this.#order(edit, edit.match ?? this.list.tag);
    } catch (error) {
      if (error.status === 412) return this.#conflict(edit, error);
      if (error.status === 422 && edit.onInvalid) edit.onInvalid(error);
      else complain(error);
      await this.load().catch(() => {});
      return false;
    }
    if (!isUndo) this.past = [...this.past.slice(1 - KEPT), { ...before, tag: answer.tag }];
    else if (this.past.length) this.past.at(-1).tag = answer.tag; // the file is again what that edit made of it
    await this.load().catch(() => {});
    this.#told(edit, answer, isUndo);
    return true;
  }

  async #order({ method, rest = "", body, text }, match) {
    const response = await ask(channelPath(this.channel, `/playlist${rest}`), { method, body, text, match });
    return { ...(await response.json()), tag: response.headers.get("ETag") };
  }

  #told(edit, answer, isUndo) {
    const first = answer.airs?.find((change) => change.after);
    const airs = first ? ` ${nameOf(first)} airs at ${moment(first.after)}.` : "";
    speak(`${edit.label}.${airs}`);
    const action = isUndo ? null : { label: "Undo", run: () => this.undo() };
    this.closeNotice?.(); // one at a time: what it offers to undo is the last edit
    this.closeNotice = notice(`${edit.label}.${airs}`, { kind: "ok", action });
  }

  /** What an edit of the whole text would do; changes nothing. Raises Problem 422 with its line. */
  async rehearse(text) {
    const options = { method: "PUT", text, match: "*" };
    const response = await ask(channelPath(this.channel, "/playlist?dry_run=true"), options);
    return response.json();
  }

  get canUndo() {
    return this.past.length > 0;
  }

  undo() {
    this.closeNotice?.();
    const done = this.queue.then(() => this.#undo());
    this.queue = done.catch(() => {});
    return done;
  }

  /** The last edit of those that were made when its turn comes; one that could not be taken back can be tried again. */
  async #undo() {
    const last = this.past.pop();
    if (!last) return false;
    const edit = { label: `Undone: ${last.label}`, method: "PUT", text: last.text, match: last.tag };
    const isTaken = await this.#send(edit, { isUndo: true });
    if (!isTaken) this.past.push(last);
    return isTaken;
  }

  // -- two editors at once ------------------------------------------------------------------------------------------------

  async #conflict(edit, error) {
    const mine = { revision: edit.revision ?? this.list.revision, text: edit.from ?? this.list.text };
    const theirs = await this.#read();
    const answer = await choose({
      title: "Somebody else changed this playlist",
      wide: true,
      body: [
        h("p", { text: `While you worked, revision ${mine.revision} became revision ${error.document.revision ?? theirs.revision}. Yours: ${edit.label}. Nothing is lost whatever you choose.` }),
        h("h3", { text: "What they changed" }),
        shownChange(mine.text, theirs.text),
      ],
      answers: [
        { label: "Take theirs", value: "theirs" },
        { label: "Keep mine", value: "mine", kind: "primary" },
      ],
    });
    this.list = theirs;
    this.tell();
    if (answer === "mine") return this.#send({ ...edit, match: theirs.tag, label: `${edit.label}, over theirs` });
    edit.onTheirs?.();
    if (edit.text !== undefined) {
      const restore = () => edit.onRestore?.(edit.text);
      notice("Theirs stays. Your text is kept.", { action: edit.onRestore ? { label: "Show mine", run: restore } : null });
    } else {
      notice(`Theirs stays. Not done: ${edit.label}.`, { action: { label: "Do it after all", run: () => this.send({ ...edit, match: undefined }) } });
    }
    return false;
  }
}

/** Two texts' difference as a short list of lines. */
export function shownChange(before, after) {
  const lines = changedLines(before, after);
  if (!lines.length) return h("p", { class: "hint", text: "The text is the same; only its revision is another." });
  const items = lines.slice(0, 60).map(({ kind, text }) => h("li", { class: kind }, h("span", { class: "unseen", text: kind }), text || " "));
  if (lines.length > 60) items.push(h("li", { class: "more", text: `… and ${lines.length - 60} more lines` }));
  return h("ul", { class: "difference" }, ...items);
}
