/* What runs: every relay, and every channel of the configuration with live sources. At most a page of them is in the document. */

import { h, say } from "./dom.js";
import { plural } from "./format.js";
import { Pager } from "./pager.js";
import { RunRow } from "./relay_row.js";
import { Watching } from "./relay_store.js";
import { standing } from "./relay_words.js";

const PAGE = 50;
const COUNT_MS = 200;
const KINDS = [["", "All states"], ["ok", "Live"], ["trouble", "In trouble"], ["idle", "Stopped or standing by"]];

export function openRuns(place, page, store) {
  return new Runs(place, page, store);
}

class Runs {
  constructor(place, page, store) {
    Object.assign(this, { page, store, rows: new Map(), first: 0 });
    this.count = h("p", { class: "wall-count", role: "status" });
    const again = () => {
      this.first = 0;
      this.renew();
    };
    this.word = h("input", { type: "search", placeholder: "Find a relay", "aria-label": "Find a relay", on: { input: again } });
    this.kind = h("select", { "aria-label": "State", on: { change: again } }, ...KINDS.map(([value, text]) => h("option", { value, text })));
    this.list = h("ul", { class: "runs", "aria-label": "Relays" });
    this.none = h("p", { class: "empty", role: "status" });
    this.pager = new Pager((step) => {
      this.first += step * PAGE;
      this.renew();
    });
    place.append(h("div", { class: "toolbar" }, this.count, h("span", { class: "gap" }), this.word, this.kind), this.list, this.none, this.pager.element);
    this.watching = new Watching(page.channels);
    this.end = page.channels.listen((id) => (id === null ? this.renew() : this.#known(id)));
    this.renew();
  }

  stays() {
    return true;
  }

  #known(id) {
    const row = this.rows.get(id);
    if (!row) return;
    row.show({ ...row.run, channel: row.run.figures.refused ? null : (this.page.channels.get(id) ?? null) });
    // Counting goes over all of them: once for a whole answer.
    this.counting ??= setTimeout(() => {
      this.counting = null;
      this.#count();
    }, COUNT_MS);
  }

  renew() {
    if (!this.store.metrics) return;
    const runs = this.store.runs().sort((a, b) => a.figures.name.localeCompare(b.figures.name, undefined, { numeric: true }));
    const word = this.word.value.trim().toLowerCase();
    const fitting = runs.filter((run) => fits(run, word, this.kind.value));
    this.first = Math.max(0, Math.min(this.first, Math.floor(Math.max(0, fitting.length - 1) / PAGE) * PAGE));
    const shown = fitting.slice(this.first, this.first + PAGE);
    this.runs = runs;
    this.#fill(shown);
    this.pager.show(this.first, shown.length, fitting.length);
    this.#count();
    say(this.none, fitting.length ? "" : runs.length ? "No relay fits." : "Nothing is relayed yet. Import a list under Lists and choose what to relay of it, or give a channel `sources` in the configuration.");
  }

  #count() {
    const live = this.runs.filter((run) => standing({ ...run, channel: this.page.channels.get(run.key) ?? run.channel }).kind === "ok").length;
    say(this.count, `${live} of ${plural(this.runs.length, "relay")} live`);
  }

  /** Rows that stay keep their place in the document, so that focus and what is unfolded stay. */
  #fill(shown) {
    const keys = new Set(shown.map((run) => run.key));
    for (const [key, row] of this.rows) if (!keys.has(key)) this.#drop(key, row);
    let before = null;
    for (const run of shown) {
      let row = this.rows.get(run.key);
      if (!row) {
        row = new RunRow(this.page, this.store, run.key);
        this.rows.set(run.key, row);
      }
      const at = before ? before.nextSibling : this.list.firstChild;
      if (at !== row.element) this.list.insertBefore(row.element, at);
      before = row.element;
      row.show(run);
    }
    this.watching.set(keys);
  }

  #drop(key, row) {
    row.close();
    row.element.remove();
    this.rows.delete(key);
  }

  close() {
    this.end();
    clearTimeout(this.counting);
    for (const [key, row] of [...this.rows]) this.#drop(key, row);
    this.watching.set([]);
  }
}

function fits(run, word, wanted) {
  const { kind, word: said } = standing(run);
  if (wanted && !(wanted === "trouble" ? ["bad", "warn"].includes(kind) : kind === wanted)) return false;
  const sources = (run.channel?.sources ?? []).map((source) => `${source.name} ${source.url}`).join(" ");
  return !word || `${run.key} ${run.figures.name} ${run.figures.proxy_id ?? ""} ${said} ${sources}`.toLowerCase().includes(word);
}
