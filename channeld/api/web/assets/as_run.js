/* What aired: the as-run log with its filters, page by page, and as a file. */

import { ask } from "./api.js";
import { h, say } from "./dom.js";
import { fullMoment, length, moment, words } from "./format.js";
import { complain } from "./notices.js";

const PAGE = 100;
const OUTCOMES = [["", "All that aired"], ["any", "Everything"], ["cut", "Cut"], ["underrun,damaged,lost", "Broken off"], ["skipped,passed_over,substituted", "Did not air"]];
const FRESH = new Set(["entry_started", "entry_ended", "entry_skipped", "entry_substituted", "entry_passed_over", "page_resync"]);
const AGAIN_MS = 1500;

export function open(place, page) {
  document.title = "As-run · channeld";
  place.append(h("div", { class: "toolbar" }, h("h1", { text: "As-run" })));
  const view = new AsRun(place, page, null);
  return () => view.close();
}

export function openTab(place, page, id) {
  const view = new AsRun(place, page, id);
  return () => view.close();
}

class AsRun {
  constructor(place, page, channel) {
    Object.assign(this, { place, page, channel, rows: [], turn: 0 });
    this.#build();
    this.end = page.on((event) => this.#heard(event));
    this.#load();
  }

  #build() {
    const field = (label, input) => h("label", {}, h("span", { text: label }), input);
    const changed = { on: { change: () => this.#load() } };
    this.ofChannel = h("select", changed, h("option", { value: "", text: "All channels" }), ...this.page.channels.list().map((one) => h("option", { value: one.id, text: one.name })));
    this.from = h("input", { type: "datetime-local", ...changed });
    this.to = h("input", { type: "datetime-local", ...changed });
    this.path = h("input", { type: "search", placeholder: "a.mp4", ...changed });
    this.outcome = h("select", changed, ...OUTCOMES.map(([value, text]) => h("option", { value, text })));
    this.file = h("a", { class: "button", download: "as-run.csv", text: "CSV" });
    const filters = [field("From", this.from), field("To", this.to), field("File", this.path), field("Outcome", this.outcome), this.file];
    if (!this.channel) filters.unshift(field("Channel", this.ofChannel));
    this.body = h("tbody", {});
    const heads = ["Began", ...(this.channel ? [] : ["Channel"]), "What", "Planned", "Length", "Outcome"].map((text) => h("th", { scope: "col", text }));
    this.none = h("p", { class: "empty", role: "status" });
    this.more = h("button", { type: "button", class: "button more", text: "Show more", hidden: true, on: { click: () => this.#load(this.rows.at(-1)?.id) } });
    const table = h("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "As-run log" }, h("table", {}, h("thead", {}, h("tr", {}, ...heads)), this.body));
    this.place.append(h("div", { class: "filters" }, ...filters), table, this.none, this.more);
  }

  #query() {
    const query = new URLSearchParams();
    const wanted = {
      channel: this.channel ?? this.ofChannel.value,
      from: this.from.value && new Date(this.from.value).toISOString(),
      to: this.to.value && new Date(this.to.value).toISOString(),
      path: this.path.value.trim(),
      outcome: this.outcome.value,
    };
    for (const [name, value] of Object.entries(wanted)) if (value) query.set(name, value);
    return query;
  }

  async #load(before = null) {
    const mine = ++this.turn;
    const query = this.#query();
    this.file.href = `/api/v1/as-run?${query}&limit=10000&format=csv`;
    query.set("limit", PAGE);
    if (before !== null) query.set("before", before);
    try {
      const response = await ask(`/api/v1/as-run?${query}`);
      const found = await response.json();
      if (mine !== this.turn) return;
      this.rows = before === null ? found : [...this.rows, ...found];
      if (before === null) this.body.replaceChildren();
      this.body.append(...found.map((row) => this.#row(row)));
      this.more.hidden = found.length < PAGE;
      say(this.none, this.rows.length ? "" : "Nothing fits these filters.");
    } catch (error) {
      if (error.status) complain(error);
    }
  }

  #row(row) {
    const name = row.path === null ? "Filler" : row.title || row.path.split("/").at(-1);
    const drift = row.planned_at && row.started_at ? (Date.parse(row.started_at) - Date.parse(row.planned_at)) / 1000 : null;
    const lasted = row.ended_at && row.started_at ? (Date.parse(row.ended_at) - Date.parse(row.started_at)) / 1000 : null;
    const word = words(row.outcome === "end" ? "to its end" : row.outcome);
    return h(
      "tr",
      {},
      h("td", {}, h("time", { datetime: row.started_at, title: fullMoment(row.started_at), text: moment(row.started_at) })),
      this.channel ? null : h("td", {}, h("a", { href: `#/channel/${encodeURIComponent(row.channel)}`, text: row.channel })),
      h("td", { class: "what" }, h("span", { text: name }), row.path && row.title ? h("span", { class: "row-path", text: row.path }) : null),
      h("td", { text: drift === null ? "–" : Math.abs(drift) < 0.1 ? "on time" : `${drift > 0 ? "+" : "−"}${Math.abs(drift).toFixed(1)} s` }),
      h("td", { text: lasted === null ? "–" : length(lasted) }),
      h("td", {}, h("span", { class: `outcome-word ${row.path === null && row.outcome === "cut" ? "calm" : row.outcome}`, text: word }), row.reason ? h("span", { class: "row-path", text: row.reason }) : null),
    );
  }

  /** While the first page is shown, it stays the newest one. */
  #heard(event) {
    const isOurs = event.kind === "page_resync" || !this.channel || event.channel === this.channel;
    if (!isOurs || !FRESH.has(event.kind) || this.rows.length > PAGE || document.hidden) return;
    this.again ??= setTimeout(() => {
      this.again = null;
      this.#load();
    }, AGAIN_MS * (this.channel ? 1 : 3.5));
  }

  close() {
    this.turn = -1;
    clearTimeout(this.again);
    this.end();
  }
}
