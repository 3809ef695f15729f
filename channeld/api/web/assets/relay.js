/* Relays: what runs, the lists of upstream channels, the profiles, and what all of it costs. */

import { h, say } from "./dom.js";
import { bytes, moment, plural } from "./format.js";
import { bits } from "./relay_words.js";
import { openLists } from "./relay_lists.js";
import { openProfiles } from "./relay_profiles.js";
import { openRuns } from "./relay_runs.js";
import { RelayStore } from "./relay_store.js";

const TABS = { running: ["Running", openRuns], lists: ["Lists", openLists], profiles: ["Profiles", openProfiles] };

export function open(place, page, [tab, ...rest]) {
  const view = new RelayView(place, page);
  view.openTab(tab, rest);
  const close = () => view.close();
  /** Another tab keeps the figures. */
  close.stays = (name, [wanted, ...more]) => name === "relay" && view.openTab(wanted, more);
  return close;
}

class RelayView {
  constructor(place, page) {
    document.title = "Relays · channeld";
    Object.assign(this, { page, shown: null });
    this.store = new RelayStore(page);
    this.system = new System();
    this.off = h("div", { class: "fault", role: "status", hidden: true }, h("p", { text: "Relays are off: relay.enabled is false in the configuration. No source is connected to." }));
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "About relays", on: { keydown: (event) => this.#turn(event) } });
    this.panel = h("div", { class: "tab-panel", role: "tabpanel", id: "relay-panel", tabindex: "-1" });
    for (const [key, [label]] of Object.entries(TABS)) {
      const opens = () => page.go(key === "running" ? "relay" : `relay/${key}`);
      this.tabs.append(h("button", { type: "button", role: "tab", id: `relay-tab-${key}`, data: { key }, "aria-controls": "relay-panel", text: label, on: { click: opens } }));
    }
    place.append(h("div", { class: "toolbar" }, h("h1", { text: "Relays" }), this.system.when), this.off, this.system.element, this.tabs, this.panel);
    this.end = this.store.listen(() => this.#show());
  }

  openTab(wanted, rest) {
    const key = wanted in TABS ? wanted : "running";
    if (key === this.tab && this.shown.stays?.(rest)) return true;
    this.tab = key;
    for (const tab of this.tabs.children) {
      const isOpen = tab.dataset.key === key;
      tab.setAttribute("aria-selected", String(isOpen));
      tab.tabIndex = isOpen ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", `relay-tab-${key}`);
    this.shown?.close();
    this.panel.replaceChildren();
    this.shown = TABS[key][1](this.panel, this.page, this.store, rest);
    return true;
  }

  /** Arrow keys go from tab to tab (ARIA practices, tabs). */
  #turn(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...this.tabs.children];
    const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    next.focus();
    next.click();
  }

  #show() {
    const { metrics, isOld } = this.store;
    if (metrics) {
      this.off.hidden = metrics.enabled !== false;
      this.system.show(metrics, isOld);
    }
    this.shown?.renew?.();
  }

  close() {
    this.end();
    this.shown?.close();
    this.store.close();
  }
}

/** What relays and their machine do, in a line of figures. */
class System {
  constructor() {
    this.tiles = new Map();
    this.when = h("p", { class: "wall-count" });
    this.element = h("dl", { class: "tiles", "aria-label": "System" });
    for (const [key, label] of [["clients", "Clients"], ["in", "Coming in"], ["processes", "Source processes"], ["cpu", "CPU"], ["memory", "Memory"], ["disk", "Disk of sources"]]) {
      const tile = { value: h("span", { class: "tile-value", text: "–" }), hint: h("span", { class: "tile-hint" }), bar: h("i") };
      const bar = h("span", { class: "progress", "aria-hidden": "true" }, tile.bar);
      this.tiles.set(key, tile);
      this.element.append(h("div", { class: "tile", data: { key } }, h("dt", { text: label }), h("dd", {}, tile.value, tile.hint, ["clients", "in"].includes(key) ? null : bar)));
    }
  }

  show({ at, totals, system }, isOld) {
    say(this.when, isOld ? `As of ${moment(at)}, and not renewed since` : `As of ${moment(at)}`);
    this.element.classList.toggle("old", isOld);
    this.#tile("clients", totals.clients.toLocaleString(), "of endless streams");
    this.#tile("in", bits(totals.bitrate_bps), `${bytes(totals.bytes)} so far`);
    const { processes, max_concurrent_processes: most } = totals;
    this.#tile("processes", `${processes} of ${most}`, processes >= most ? "no more may start" : `${plural(totals.relays, "relay")} kept`, processes / most);
    this.#tile("cpu", `${Math.round(system.cpu_percent)} %`, `${(totals.cpu_percent / system.cpus).toFixed(1)} % by sources · ${plural(system.cpus, "core")}`, system.cpu_percent / 100);
    const used = system.memory_bytes - system.memory_available_bytes;
    this.#tile("memory", `${bytes(used)} of ${bytes(system.memory_bytes)}`, `${bytes(totals.memory_bytes)} by sources`, used / system.memory_bytes);
    const { disk_bytes: room, disk_free_bytes: free } = system;
    if (room) this.#tile("disk", `${bytes(free)} free`, `of ${bytes(room)}`, 1 - free / room);
    else this.#tile("disk", "–", "nothing is kept yet", 0);
  }

  #tile(key, value, hint, share = null) {
    const tile = this.tiles.get(key);
    say(tile.value, value);
    say(tile.hint, hint);
    if (share === null) return;
    const level = share >= 0.95 ? "bad" : share >= 0.8 ? "warn" : "ok";
    tile.bar.style.transform = `scaleX(${Math.min(1, Math.max(0, share)).toFixed(3)})`;
    tile.bar.dataset.level = level;
  }
}
