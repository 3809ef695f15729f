/* How many watched a channel, over the last day or month: a graph, what they watched by, and the same as a file. */

import { channelPath, get } from "./api.js";
import { h, say } from "./dom.js";
import { span, words } from "./format.js";
import { drawing } from "./graphs.js";
import { complain } from "./notices.js";
import { onTheme } from "./theme.js";
import UPlot from "./vendor/uplot.js";

const AGAIN_MS = 30_000;
const HEIGHT_PX = 200;
const GRAPH = { title: "Viewers" };
const SPANS = { minute: ["The last day", 60, 86_400], hour: ["The last month", 3600, 31 * 86_400] };
const MOST_ROWS = 1500;
const PARTS = [["by_protocol", "By protocol"], ["by_agent", "By player"], ["by_place", "By place"]];
const MOST_LINES = 12;

export function openTab(place, _page, id) {
  const view = new Viewers(place, id);
  return () => view.close();
}

class Viewers {
  constructor(place, id) {
    Object.assign(this, { id, step: "minute", found: null, turn: 0 });
    const choices = Object.entries(SPANS).map(([value, [text]]) => h("option", { value, text }));
    this.chosen = h("select", { on: { change: () => this.#ask() } }, ...choices);
    this.file = h("a", { class: "button", download: `viewers-${id}.csv`, text: "CSV" });
    this.said = h("p", { class: "viewers-said", role: "status" });
    this.frame = h("div", { class: "graph-frame", "aria-hidden": "true" });
    this.parts = h("div", { class: "viewers-parts" });
    const filters = h("div", { class: "filters" }, h("label", {}, h("span", { text: "Time" }), this.chosen), this.file);
    place.append(filters, this.said, h("div", { class: "panel graph" }, this.frame), this.parts);
    this.resize = new ResizeObserver(() => this.plot?.setSize({ width: this.frame.clientWidth, height: HEIGHT_PX }));
    this.resize.observe(this.frame);
    this.endTheme = onTheme(() => this.#draw());
    this.#ask();
    this.timer = setInterval(() => document.hidden || this.#ask(), AGAIN_MS);
  }

  async #ask() {
    const turn = ++this.turn;
    this.step = this.chosen.value;
    const path = channelPath(this.id, `/clients/history?step=${this.step}&limit=${MOST_ROWS}`);
    this.file.href = `${path}&format=csv`;
    try {
      const found = await get(path);
      if (turn !== this.turn) return;
      this.found = found;
      this.#draw();
      this.#tell();
    } catch (error) {
      // Only a channel that is gone stays so; the daemon or a proxy before it may be away for a moment.
      if (error.status === 404) {
        clearInterval(this.timer);
        complain(error);
      }
    }
  }

  /** Every span of the time, also those in which nobody was there. */
  #series() {
    const [, step, kept] = SPANS[this.step];
    const last = Math.floor(Date.now() / 1000 / step) * step;
    const rows = new Map(this.found.rows.map((row) => [Math.round(Date.parse(row.at) / 1000 / step) * step, row]));
    const times = Array.from({ length: kept / step + 1 }, (_, number) => last - kept + number * step);
    return [times, times.map((at) => rows.get(at)?.viewers ?? 0), times.map((at) => rows.get(at)?.peak ?? 0)];
  }

  #draw() {
    this.plot?.destroy();
    if (!this.found) return;
    const base = drawing(GRAPH, this.frame.clientWidth || 300, { height: HEIGHT_PX, kept_s: SPANS[this.step][2] });
    const [, average] = base.series;
    const most = { ...average, label: "At most", fill: undefined, width: 1, dash: [4, 3] };
    this.plot = new UPlot({ ...base, series: [{}, average, most] }, this.#series(), this.frame);
  }

  #tell() {
    const { totals, problem } = this.found;
    const stayed = totals.ended ? `; ${totals.ended} left, after ${span(totals.ended_mean_s)} on average` : "";
    const all = totals.peak ? `${hours(totals.viewing_hours * 3600)} watched, at most ${totals.peak} at a time${stayed}.` : "Nobody watched.";
    say(this.said, problem ? `${all} ${problem}.` : all);
    this.parts.replaceChildren(...PARTS.filter(([key]) => Object.keys(totals[key]).length).map(([key, title]) => part(title, totals[key])));
  }

  close() {
    clearInterval(this.timer);
    this.turn++;
    this.endTheme();
    this.resize.disconnect();
    this.plot?.destroy();
  }
}

function hours(seconds) {
  return seconds < 5400 ? span(seconds) : `${(seconds / 3600).toFixed(1)} h`;
}

function part(title, seconds) {
  const lines = Object.entries(seconds).sort(([, one], [, other]) => other - one);
  const shown = lines.slice(0, MOST_LINES).map(([name, each]) => h("tr", {}, h("th", { scope: "row", text: words(name) }), h("td", { text: hours(each) })));
  const left = lines.length > MOST_LINES ? h("p", { class: "hint", text: `and ${lines.length - MOST_LINES} more, in the file` }) : null;
  return h("section", { class: "panel" }, h("h2", { text: title }), h("table", {}, h("tbody", {}, ...shown)), left);
}
