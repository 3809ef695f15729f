/* A channel's last ten minutes in four graphs; a step every five seconds. */

import { channelPath, get } from "./api.js";
import { h, say } from "./dom.js";
import { complain } from "./notices.js";
import { onTheme } from "./theme.js";
import UPlot from "./vendor/uplot.js";

const STEP_MS = 5000;
const KEPT_S = 600;
const HEIGHT_PX = 150;
const GRAPHS = [
  { key: "lateness_ms", title: "Release lateness (p99)", unit: "ms", digits: 1, hint: "How late slices were released; the same for all channels of a host." },
  { key: "ahead_s", title: "Playing clip ready ahead", unit: "s", digits: 1, hint: "What of the playing clip lies ready in memory; near its end that is little, as the next one lies beside it." },
  { key: "behind_slices", title: "Slowest reader behind the bus", unit: "slices", digits: 0, hint: "How far the slowest push is behind. Nothing without a push." },
  { key: "bitrate_kbps", title: "Bitrate", unit: "kbit/s", digits: 0, hint: "What the channel published." },
  { key: "manifest_age_s", title: "Manifest age", unit: "s", digits: 1, hint: "How long ago the oldest manifest of the channel grew." },
];

export function openTab(place, _page, id) {
  const view = new Graphs(place, id);
  return () => view.close();
}

class Graphs {
  constructor(place, id) {
    Object.assign(this, { place, id, samples: [], plots: [] });
    this.grid = h("div", { class: "graphs" });
    place.append(this.grid);
    this.#draw();
    this.resize = new ResizeObserver(() => this.plots.forEach(({ plot, frame }) => plot.setSize({ width: frame.clientWidth, height: HEIGHT_PX })));
    this.resize.observe(this.grid);
    this.endTheme = onTheme(() => this.#draw());
    this.#ask();
    this.timer = setInterval(() => document.hidden || this.#ask(), STEP_MS);
  }

  async #ask() {
    const since = this.samples.at(-1)?.at ?? "";
    try {
      const found = await get(channelPath(this.id, `/readings${since ? `?since=${encodeURIComponent(since)}` : ""}`));
      const samples = [...this.samples, ...found.samples];
      const newest = samples.length ? Date.parse(samples.at(-1).at) : 0;
      this.samples = samples.filter((sample) => newest - Date.parse(sample.at) <= KEPT_S * 1000);
      this.#show();
    } catch (error) {
      // Only a channel that is gone stays so; the daemon or a proxy before it may be away for a moment.
      if (error.status === 404) {
        clearInterval(this.timer);
        complain(error);
      }
    }
  }

  #draw() {
    this.plots.forEach(({ plot }) => plot.destroy());
    this.grid.replaceChildren();
    this.plots = GRAPHS.map((graph) => {
      const said = h("span", { class: "graph-now" });
      const frame = h("div", { class: "graph-frame", "aria-hidden": "true" });
      this.grid.append(h("figure", { class: "panel graph" }, h("figcaption", { title: graph.hint }, h("b", { text: graph.title }), said), frame));
      return { graph, said, frame, plot: new UPlot(drawing(graph, frame.clientWidth || 300), [[], []], frame) };
    });
    this.#show();
  }

  #show() {
    const times = this.samples.map((sample) => Date.parse(sample.at) / 1000);
    for (const { graph, said, plot } of this.plots) {
      const values = this.samples.map((sample) => sample[graph.key]);
      plot.setData([times, values]);
      const known = values.filter((value) => value !== null);
      const shown = (value) => `${value.toFixed(graph.digits)} ${graph.unit}`;
      const now = values.at(-1);
      say(said, known.length ? `${now === null ? "nothing now" : `${shown(now)} now`}, at most ${shown(Math.max(...known))}` : "nothing yet");
    }
  }

  close() {
    clearInterval(this.timer);
    this.endTheme();
    this.resize.disconnect();
    this.plots.forEach(({ plot }) => plot.destroy());
  }
}

/** How a graph over the last `kept_s` seconds looks, in the colours of now. */
export function drawing(graph, width, { height = HEIGHT_PX, kept_s: kept = KEPT_S } = {}) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const day = { month: "short", day: "numeric" };
  const named = (at) => (kept > 2 * 86_400 ? at.toLocaleDateString(undefined, day) : at.toTimeString().slice(0, 5));
  const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  return {
    width,
    height,
    padding: [6, 18, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    scales: { x: { range: (_plot, _first, last) => [last - kept, last] }, y: { range: (_plot, _low, high) => [0, Math.max(high ?? 0, 1) * 1.15] } },
    axes: [{ ...axis, size: 26, space: 70, values: (_plot, splits) => splits.map((at) => named(new Date(at * 1000))) }, { ...axis, size: 48 }],
    series: [{}, { label: graph.title, stroke: colour("--accent"), fill: colour("--accent-soft"), width: 1.5, points: { show: false }, spanGaps: false }],
  };
}
