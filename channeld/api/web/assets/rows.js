/* A list of entries, however long: only the rows in sight exist. Rows are moved by pointer or by keyboard.

   Rule: the list shows and asks; what an edit does is decided by who made it (`moved`, `act`). */

import { h } from "./dom.js";
import { EntryRow, ROW_PX } from "./row.js";

const SPARE = 6;
const EDGE_PX = 48;
const SETTLE_MS = 900;

export class Rows {
  /** `moved(entry, index)`: put it at that place; `act(name, entry)`: a row's order; `speak(text)`. */
  constructor({ moved, act, speak, mayEdit }) {
    Object.assign(this, { moved, act, speak, mayEdit });
    this.entries = [];
    this.rows = new Map(); // entry id -> EntryRow
    this.wish = null; // a move by keyboard that is not sent yet: {id, from, to}
    this.space = h("ol", { class: "rows-space", "aria-label": "Playlist" });
    this.mark = h("li", { class: "drop-mark", "aria-hidden": "true", hidden: true });
    this.element = h("div", { class: "rows-scroll", tabindex: "-1" }, this.space);
    this.element.addEventListener("scroll", () => this.#fill(), { passive: true });
    this.resize = new ResizeObserver(() => this.#fill());
    this.resize.observe(this.element);
  }

  show(entries) {
    if (this.drag || this.wish) {
      this.waiting = entries; // what is being moved must not slip away under the hand
      return;
    }
    this.entries = entries;
    this.space.style.height = `${entries.length * ROW_PX}px`;
    this.#fill(true);
  }

  /** Scroll a row into sight. */
  reveal(index) {
    const top = index * ROW_PX;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop || top + ROW_PX > scrollTop + clientHeight) this.element.scrollTop = Math.max(0, top - clientHeight / 3);
    this.#fill();
  }

  tick(channel) {
    for (const row of this.rows.values()) row.tick(channel);
  }

  #fill(isNew = false) {
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW_PX) - SPARE);
    const last = Math.min(this.entries.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / ROW_PX) + SPARE);
    const wanted = new Set();
    for (let index = first; index < last; index++) {
      const entry = this.entries[index];
      wanted.add(entry.entry);
      let row = this.rows.get(entry.entry);
      if (!row) {
        row = new EntryRow(this);
        this.rows.set(entry.entry, row);
        this.space.append(row.element);
        row.show(entry, index, this.entries.length);
      } else if (isNew || row.index !== index) row.show(entry, index, this.entries.length);
    }
    for (const [id, row] of this.rows) {
      if (wanted.has(id) || this.drag?.id === id) continue;
      const isFocused = row.element.contains(document.activeElement);
      if (isFocused && this.entries[row.index]?.entry === id) continue; // out of sight, yet the keyboard is there
      row.element.remove();
      this.rows.delete(id);
      if (isFocused) this.#focusNear(row.index);
    }
  }

  /** The row that had the keyboard is gone: the one in its place has it. */
  #focusNear(index) {
    const near = [...this.rows.values()].find((row) => row.index === Math.min(index, this.entries.length - 1));
    (near?.handle ?? this.element).focus();
  }

  // -- by pointer -----------------------------------------------------------------------------------------------------------

  /** A row's handle was taken. The pointer may leave the window: it is captured until it is let go. */
  take(row, event) {
    if (event.button || this.wish) return;
    event.preventDefault();
    const { handle } = row;
    handle.setPointerCapture(event.pointerId);
    this.drag = { id: row.entry.entry, row, from: row.index, to: row.index, y: event.clientY, start: event.clientY, scroll: this.element.scrollTop };
    row.element.classList.add("dragged");
    this.space.append(this.mark);
    const move = (moved) => this.#dragged(moved);
    const end = (ended) => {
      handle.removeEventListener("pointermove", move);
      handle.removeEventListener("pointerup", end);
      handle.removeEventListener("pointercancel", end);
      removeEventListener("keydown", escape, true);
      this.#dropped(ended.type === "pointerup");
    };
    const escape = (pressed) => pressed.key === "Escape" && end(pressed);
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", end);
    handle.addEventListener("pointercancel", end);
    addEventListener("keydown", escape, true);
  }

  #dragged(event) {
    this.drag.y = event.clientY;
    this.#place();
    this.drag.rolling ??= requestAnimationFrame(() => this.#roll());
  }

  #place() {
    const { drag } = this;
    const offset = drag.y - drag.start + this.element.scrollTop - drag.scroll;
    drag.row.element.style.transform = `translateY(${drag.from * ROW_PX + offset}px)`;
    const centre = drag.from * ROW_PX + offset + ROW_PX / 2;
    drag.to = Math.max(0, Math.min(this.entries.length - 1, Math.floor(centre / ROW_PX)));
    this.mark.hidden = drag.to === drag.from;
    this.mark.style.transform = `translateY(${(drag.to > drag.from ? drag.to + 1 : drag.to) * ROW_PX}px)`;
  }

  /** Near an edge the list goes on by itself. */
  #roll() {
    if (!this.drag) return;
    const { top, bottom } = this.element.getBoundingClientRect();
    const { y } = this.drag;
    const step = y < top + EDGE_PX ? y - top - EDGE_PX : y > bottom - EDGE_PX ? y - bottom + EDGE_PX : 0;
    this.drag.rolling = null;
    if (!step) return;
    this.element.scrollTop += step / 4;
    this.#place();
    this.drag.rolling = requestAnimationFrame(() => this.#roll());
  }

  #dropped(isMeant) {
    const { drag } = this;
    cancelAnimationFrame(drag.rolling);
    drag.row.element.classList.remove("dragged");
    this.mark.remove();
    this.drag = null;
    if (isMeant && drag.to !== drag.from) {
      this.#reorder(drag.from, drag.to);
      this.moved(this.entries[drag.to], drag.to);
    }
    this.#settle();
  }

  // -- by keyboard ----------------------------------------------------------------------------------------------------------

  /** Arrow keys on a handle move the row at once, and the daemon is asked when they rest. */
  key(row, event) {
    const target = { ArrowUp: row.index - 1, ArrowDown: row.index + 1, Home: 0, End: this.entries.length - 1 }[event.key];
    if (target === undefined) {
      if (event.key === "Escape" && this.wish) this.#wish(this.wish.from, true);
      else if (event.key === "Enter" && this.wish) this.send();
      else return;
    } else this.#wish(Math.max(0, Math.min(this.entries.length - 1, target)));
    event.preventDefault();
  }

  /** Move a row by a menu's word. */
  step(row, target) {
    row.handle.focus();
    this.wish ??= { id: row.entry.entry, from: row.index, to: row.index };
    this.#wish(Math.max(0, Math.min(this.entries.length - 1, target)));
  }

  #wish(target, isOver = false) {
    const row = [...this.rows.values()].find(({ element }) => element.contains(document.activeElement));
    if (!row) return;
    this.wish ??= { id: row.entry.entry, from: row.index, to: row.index };
    this.#reorder(this.wish.to, target);
    this.wish.to = target;
    this.reveal(target);
    clearTimeout(this.settling);
    this.speak(isOver ? "Back where it was." : `Position ${target + 1} of ${this.entries.length}.`);
    if (isOver) this.send();
    else this.settling = setTimeout(() => this.send(), SETTLE_MS);
  }

  /** Send the move that is waiting. */
  send() {
    const { wish } = this;
    if (!wish) return;
    clearTimeout(this.settling);
    this.wish = null;
    if (wish.to !== wish.from) this.moved(this.entries[wish.to], wish.to);
    this.#settle();
  }

  #reorder(from, to) {
    const entries = [...this.entries];
    entries.splice(to, 0, ...entries.splice(from, 1));
    this.entries = entries;
    this.#fill(true);
  }

  #settle() {
    const entries = this.waiting ?? this.entries;
    this.waiting = null;
    this.show(entries);
  }

  close() {
    this.send();
    this.resize.disconnect();
  }
}
