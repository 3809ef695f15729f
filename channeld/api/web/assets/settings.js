/* The configuration in force, read-only, with the line where each key stands. */

import { get } from "./api.js";
import { h, say } from "./dom.js";
import { complain } from "./notices.js";
import { plural } from "./format.js";

export function open(place, page) {
  document.title = "Settings · channeld";
  const view = new Settings(place);
  const end = page.on((event) => ["config_reloaded", "config_refused", "page_resync"].includes(event.kind) && view.load());
  return end;
}

class Settings {
  constructor(place) {
    this.count = h("p", { class: "wall-count", role: "status" });
    this.word = h("input", { type: "search", placeholder: "Find a key or value", "aria-label": "Find a key or value", on: { input: () => this.#filter() } });
    this.written = h("input", { type: "checkbox", id: "written", on: { change: () => this.#filter() } });
    const only = h("label", { class: "check", for: "written" }, this.written, "only what the file says");
    this.told = h("div", {});
    this.body = h("div", { class: "settings" });
    place.append(h("div", { class: "toolbar" }, h("h1", { text: "Settings" }), this.count, h("span", { class: "gap" }), only, this.word), this.told, this.body);
    this.load();
  }

  async load() {
    try {
      const found = await get("/api/v1/settings");
      this.#show(found);
    } catch (error) {
      complain(error);
    }
  }

  #show({ path, error, needs_restart: waiting, settings }) {
    const lines = [h("p", { class: "hint", text: `From ${path}. It is changed there, and taken by reload.` })];
    if (error) lines.push(h("p", { class: "fault" }, h("strong", { text: `The newest file is not in use${error.line ? `: line ${error.line}` : ""}. ` }), error.message));
    if (waiting.length) lines.push(h("p", { class: "fault", text: `Changed in the file, and taken at the next start: ${waiting.join(", ")}.` }));
    this.told.replaceChildren(...lines);
    const groups = new Map();
    for (const setting of settings) {
      const [first, second] = setting.key.split(".");
      const name = first === "channels" || first === "profiles" ? `${first}.${second}` : setting.key.includes(".") ? first : "daemon";
      groups.set(name, [...(groups.get(name) ?? []), setting]);
    }
    this.rows = [];
    this.body.replaceChildren(...[...groups].map(([name, group]) => this.#group(name, group)));
    say(this.count, plural(settings.length, "key"));
    this.#filter();
  }

  #group(name, settings) {
    const rows = settings.map((setting) => {
      const source = setting.line === null ? h("td", { class: "default", text: "default" }) : h("td", { text: `line ${setting.line}` });
      const row = h("tr", {}, h("th", { scope: "row", text: setting.key }), h("td", { class: "value", text: setting.value ?? "none" }), source);
      this.rows.push({ row, setting });
      return row;
    });
    const section = h("section", { class: "panel" }, h("h2", { text: name }), h("table", {}, h("tbody", {}, ...rows)));
    return section;
  }

  #filter() {
    const word = this.word.value.trim().toLowerCase();
    for (const { row, setting } of this.rows ?? []) {
      const fits = `${setting.key} ${setting.value}`.toLowerCase().includes(word) && (!this.written.checked || setting.line !== null);
      row.hidden = !fits;
    }
    for (const section of this.body.children) section.hidden = !section.querySelector("tr:not([hidden])");
  }
}
