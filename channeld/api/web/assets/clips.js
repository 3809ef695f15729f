/* What became of each clip that the daemon has looked at. */

import { get } from "./api.js";
import { h, say } from "./dom.js";
import { fullMoment, length, plural } from "./format.js";
import { complain } from "./notices.js";

const LIMIT = 1000;

/** Shows the catalogue; gives how to end it. */
export function openClips(place, page) {
  const view = new Clips(place);
  return page.on((event) => event.kind === "page_resync" && view.load());
}

class Clips {
  constructor(place) {
    this.count = h("p", { class: "wall-count", role: "status" });
    this.word = h("input", { type: "search", placeholder: "Find a clip", "aria-label": "Find a clip", on: { input: () => this.#show() } });
    this.body = h("tbody", {});
    this.none = h("p", { class: "empty" });
    const heads = ["Clip", "State", "Length", "Prepared", "Notes"].map((text) => h("th", { scope: "col", text }));
    const frame = h("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Clips" }, h("table", {}, h("thead", {}, h("tr", {}, ...heads)), this.body));
    place.append(h("div", { class: "toolbar" }, this.count, h("span", { class: "gap" }), this.word), frame, this.none);
    this.clips = [];
    this.load();
  }

  async load() {
    try {
      this.clips = await get(`/api/v1/clips?limit=${LIMIT}`);
      this.#show();
    } catch (error) {
      complain(error);
    }
  }

  #show() {
    const word = this.word.value.trim().toLowerCase();
    const fitting = this.clips.filter((clip) => clip.source.toLowerCase().includes(word));
    this.body.replaceChildren(...fitting.map((clip) => row(clip)));
    say(this.count, plural(this.clips.length, "clip"));
    say(this.none, this.clips.length ? (fitting.length ? "" : "No clip fits.") : "No clip has been prepared yet.");
  }
}

function row(clip) {
  const isRefused = Boolean(clip.refusal);
  return h(
    "tr",
    {},
    h("td", { class: "what" }, h("span", { text: clip.source.split("/").at(-1) }), h("span", { class: "row-path", text: clip.source })),
    h("td", {}, h("span", { class: `chip ${isRefused ? "bad" : "ok"}` }, h("i"), isRefused ? "refused" : "prepared")),
    h("td", { text: length(clip.duration_s) }),
    h("td", { text: clip.prepared_at ? fullMoment(clip.prepared_at) : "–" }),
    h("td", { class: "row-path", text: [clip.refusal, ...(clip.warnings ?? [])].filter(Boolean).join(" · ") }),
  );
}
