/* What a channel of live sources aired, and what became of its sources: the newest switches, and each that comes. */

import { get } from "./api.js";
import { h, say } from "./dom.js";
import { fullMoment, length, moment, words } from "./format.js";
import { complain } from "./notices.js";
import { reasonOf } from "./relay_words.js";

const KEPT = 60;
const AGAIN_MS = 500;
const SOURCES = ["source_state", "override_ordered", "override_lifted"];
const FRESH = new Set([...SOURCES, "entry_started", "page_resync"]);

export class Switches {
  constructor(page, channel) {
    this.channel = channel;
    this.list = h("ol", { class: "switches", "aria-label": "Switches, newest first" });
    this.none = h("p", { class: "empty", role: "status" });
    const frame = h("div", { class: "switches-frame", role: "region", tabindex: "0", "aria-label": "Switches" }, this.list);
    this.element = h("div", {}, frame, this.none);
    this.end = page.on((event) => FRESH.has(event.kind) && [channel, undefined].includes(event.channel) && this.#soon());
    this.#load();
  }

  #soon() {
    this.waiting ??= setTimeout(() => {
      this.waiting = null;
      this.#load();
    }, AGAIN_MS);
  }

  async #load() {
    const of = encodeURIComponent(this.channel);
    try {
      const [airings, events] = await Promise.all([
        get(`/api/v1/as-run?channel=${of}&limit=${KEPT}`),
        get(`/api/v1/events/recent?channel=${of}&kind=${SOURCES.join(",")}&limit=${KEPT}`),
      ]);
      this.#show([...airings.map(aired), ...events.map(happened)]);
    } catch (error) {
      if (error.status) complain(error);
    }
  }

  #show(lines) {
    lines.sort((a, b) => b.at.localeCompare(a.at));
    const shown = lines.slice(0, KEPT).map(({ at, kind, what, text }) =>
      h("li", { class: kind }, h("time", { datetime: at, title: fullMoment(at), text: moment(at) }), h("span", { class: "switch-what", text: what }), h("span", { class: "switch-text", text })),
    );
    this.list.replaceChildren(...shown);
    say(this.none, shown.length ? "" : "Nothing has aired yet.");
  }

  close() {
    clearTimeout(this.waiting);
    this.end();
  }
}

function aired({ entry, title, path, started_at: at, ended_at: end, reason }) {
  const lasted = end ? ` · for ${length((Date.parse(end) - Date.parse(at)) / 1000)}` : " · on air now";
  if (entry === null) return { at, kind: "filler", what: "Filler", text: `${reason ?? ""}${lasted}`.replace(/^ · /, "") };
  if (entry.startsWith("@slate/")) return { at, kind: "slate", what: "Slate aired", text: `${title ?? path}${lasted}` };
  const source = entry.startsWith("@live/") ? ` (${entry.slice(6)})` : "";
  return { at, kind: "aired", what: "Aired", text: `${title || path}${source}${lasted}` };
}

function happened(event) {
  const { at } = event;
  if (event.kind !== "source_state") return { at, kind: "order", what: words(event.kind), text: event.title ?? event.text ?? "" };
  return { at, kind: event.state, what: `${event.source} ${event.state}`, text: reasonOf(event) };
}
