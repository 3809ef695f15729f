/* One entry of a playlist, as a row. */

import { position } from "./channels.js";
import { button, h, icon, say } from "./dom.js";
import { length, moment, nameOf } from "./format.js";

export const ROW_PX = 52;
const READY = { ready: "Ready", preparing: "Preparing", waiting: "Waits to be prepared", refused: "Cannot air", unknown: "Not looked at yet" };

export class EntryRow {
  constructor(rows) {
    this.rows = rows;
    this.#build();
  }

  #build() {
    const { rows } = this;
    this.handle = button("grip", "Move", () => {}, { class: "button bare handle" });
    this.handle.addEventListener("pointerdown", (event) => rows.take(this, event));
    this.handle.addEventListener("keydown", (event) => rows.key(this, event));
    this.handle.addEventListener("blur", () => rows.send());
    this.number = h("span", { class: "row-number" });
    this.airs = h("time", { class: "row-airs" });
    this.title = h("span", { class: "row-title" });
    this.path = h("span", { class: "row-path" });
    this.state = h("span", { class: "row-state" });
    this.length = h("span", { class: "row-length" });
    this.bar = h("i", { class: "row-bar", hidden: true });
    const next = button("next", "Play next", () => rows.act("next", this.entry));
    const remove = button("trash", "Remove", () => rows.act("remove", this.entry));
    this.more = button("more", "More", () => this.#menu(), { "aria-haspopup": "menu" });
    this.orders = h("span", { class: "row-orders" }, next, remove, this.more);
    this.element = h("li", { class: "row" }, this.bar, this.handle, this.number, this.airs, h("span", { class: "row-what" }, this.title, this.path), this.state, this.length, this.orders);
    this.named = [[this.handle, "Move"], [next, "Play next:"], [remove, "Remove"], [this.more, "More for"]];
  }

  show(entry, index, count) {
    this.entry = entry;
    this.index = index;
    const name = nameOf(entry);
    if (!this.element.classList.contains("dragged")) this.element.style.transform = `translateY(${index * ROW_PX}px)`;
    this.element.setAttribute("aria-posinset", index + 1);
    this.element.setAttribute("aria-setsize", count);
    this.element.classList.toggle("playing", Boolean(entry.is_playing));
    this.element.classList.toggle("refused", Boolean(entry.fault) || entry.state === "refused");
    this.element.dataset.entry = entry.entry;
    say(this.number, String(index + 1));
    say(this.airs, entry.is_playing ? "On air" : entry.airs_at ? moment(entry.airs_at) : "–");
    say(this.title, name);
    say(this.path, entry.fault || (entry.title ? entry.path : ""));
    this.path.title = entry.path;
    this.#showState(entry);
    const times = entry.repeat > 1 ? `${entry.repeat}× ` : "";
    say(this.length, `${times}${length(entry.duration_s)}`);
    for (const [control, word] of this.named) control.setAttribute("aria-label", `${word} ${name}`);
    const mayEdit = this.rows.mayEdit();
    this.handle.hidden = this.orders.hidden = !mayEdit;
    this.bar.hidden = !entry.is_playing;
  }

  #showState(entry) {
    const state = entry.fault ? "refused" : entry.state;
    const share = state !== "refused" && entry.prepared > 0 && entry.prepared < 1 ? entry.prepared : null;
    const key = `${state} ${share}`;
    if (key === this.stateShown) return;
    this.stateShown = key;
    this.state.className = `row-state ${state ?? ""}`;
    const word = `${READY[state] ?? ""}${share === null ? "" : `, ${Math.floor(share * 100)} %`}`;
    this.state.title = word;
    const ring = h("i");
    if (share !== null) {
      this.state.classList.add("growing");
      ring.style.setProperty("--share", `${share * 360}deg`);
    }
    this.state.replaceChildren(h("span", { class: "unseen", text: word }), state === "refused" ? icon("warn") : ring);
  }

  tick(channel) {
    if (!this.entry?.is_playing) return;
    const at = channel?.now?.entry === this.entry.entry ? position(channel) : null;
    this.bar.style.transform = `scaleX(${at === null ? 0 : (at / Math.max(0.001, channel.now.duration_s)).toFixed(4)})`;
  }

  #menu() {
    const { rows, entry, index } = this;
    const last = rows.entries.length - 1;
    const items = [
      ["Play next", () => rows.act("next", entry)],
      ["Edit…", () => rows.act("edit", entry)],
      ["Move up", () => rows.step(this, index - 1), index === 0],
      ["Move down", () => rows.step(this, index + 1), index === last],
      ["Move to the top", () => rows.step(this, 0), index === 0],
      ["Move to the end", () => rows.step(this, last), index === last],
      ["Remove", () => rows.act("remove", entry)],
    ];
    openMenu(this.more, items);
  }
}

/** A menu below a button: arrows, Escape and a click elsewhere do what they do everywhere. */
export function openMenu(owner, items) {
  const close = (isBack) => {
    menu.remove();
    owner.setAttribute("aria-expanded", "false");
    if (isBack) owner.focus();
  };
  const choices = items.map(([text, run, disabled = false]) =>
    h("button", { type: "button", role: "menuitem", text, disabled, on: { click: () => (close(true), run()) } }),
  );
  const menu = h("div", { class: "menu", role: "menu", popover: "auto" }, ...choices);
  menu.addEventListener("toggle", (event) => event.newState === "closed" && close(false));
  menu.addEventListener("keydown", (event) => {
    const usable = choices.filter((choice) => !choice.disabled);
    const at = usable.indexOf(document.activeElement);
    const target = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (target !== undefined) {
      event.preventDefault();
      usable.at(target % usable.length).focus();
    } else if (event.key === "Escape") close(true);
  });
  document.body.append(menu);
  menu.showPopover();
  const { right, bottom, top } = owner.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  menu.style.left = `${Math.max(8, right - width)}px`;
  menu.style.top = `${bottom + height + 8 > innerHeight ? Math.max(8, top - height - 4) : bottom + 4}px`;
  owner.setAttribute("aria-expanded", "true");
  choices.find((choice) => !choice.disabled)?.focus();
}
