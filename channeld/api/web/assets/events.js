/* What happens: the newest events, and each that comes. */

import { get } from "./api.js";
import { h, say } from "./dom.js";
import { fullMoment, moment, words } from "./format.js";
import { complain } from "./notices.js";

const KEPT = 500;
const GROUPS = [
  ["", "All kinds", []],
  ["air", "On air", ["entry_started", "entry_continued", "entry_ended", "entry_skipped", "entry_substituted", "entry_passed_over", "channel_state", "channel_late"]],
  ["lists", "Playlists", ["playlist_applied", "playlist_refused"]],
  ["outputs", "Outputs", ["output_state", "output_verdict", "output_treated"]],
  ["sources", "Sources and orders", ["source_state", "override_ordered", "override_lifted", "timetable_turned"]],
  ["daemon", "The daemon", ["config_reloaded", "config_refused", "store_not_written", "store_written_again", "store_set_aside", "clock_jumped", "channel_removed"]],
  ["alarms", "Alarms", ["alarm", "alert"]],
];
const BAD = new Set(["playlist_refused", "config_refused", "store_not_written", "channel_late", "store_set_aside", "alarm", "alert"]);
const TOLD = new Set(["id", "kind", "at", "channel", "title", "path", "entry", "serial", "timeline", "ticks", "planned_at", "frames_planned", "frames", "ended_at", "faults"]);

export function open(place, page) {
  document.title = "Events · channeld";
  place.append(h("div", { class: "toolbar" }, h("h1", { text: "Events" })));
  const alarms = h("ul", { class: "alarms", "aria-label": "Alarms that stand now" });
  place.append(alarms);
  const showAlarms = () => {
    alarms.replaceChildren(
      ...page.alarms.map((alarm) =>
        h("li", { class: alarm.level }, h("b", { text: `${words(alarm.alarm)}: ${alarm.subject}` }), ` ${alarm.message}`, h("time", { datetime: alarm.since, text: ` since ${moment(alarm.since)}` })),
      ),
    );
  };
  showAlarms();
  const end = page.on((event) => (event.kind === "alarm" || event.kind === "page_resync") && setTimeout(showAlarms, 500));
  const view = new Events(place, page, null);
  return () => (end(), view.close());
}

export function openTab(place, page, id) {
  const view = new Events(place, page, id);
  return () => view.close();
}

class Events {
  constructor(place, page, channel) {
    Object.assign(this, { place, page, channel, events: [] });
    this.group = h("select", { on: { change: () => this.#show() } }, ...GROUPS.map(([value, text]) => h("option", { value, text })));
    this.list = h("ol", { class: "events", "aria-label": "Events, newest first" });
    this.none = h("p", { class: "empty", role: "status" });
    place.append(h("div", { class: "filters" }, h("label", {}, h("span", { text: "Kind" }), this.group)), this.list, this.none);
    this.end = page.on((event) => this.#heard(event));
    this.#load();
  }

  async #load() {
    const query = new URLSearchParams({ limit: "200" });
    if (this.channel) query.set("channel", this.channel);
    try {
      const found = await get(`/api/v1/events/recent?${query}`);
      const events = Array.isArray(found) ? found : found.events;
      this.events = events.sort((a, b) => b.id - a.id);
      this.#show();
    } catch (error) {
      if (error.status) complain(error);
    }
  }

  #heard(event) {
    if (event.kind === "page_resync") this.#load();
    else if (!this.channel || event.channel === this.channel) {
      this.events = [event, ...this.events].slice(0, KEPT);
      if (this.#fits(event)) {
        this.list.prepend(this.#row(event));
        if (this.list.children.length > KEPT) this.list.lastChild.remove();
        say(this.none, "");
      }
    }
  }

  #fits(event) {
    const [, , kinds] = GROUPS.find(([value]) => value === this.group.value);
    return !kinds.length || kinds.includes(event.kind);
  }

  #show() {
    const fitting = this.events.filter((event) => this.#fits(event));
    this.list.replaceChildren(...fitting.map((event) => this.#row(event)));
    say(this.none, fitting.length ? "" : "Nothing of this kind has happened lately.");
  }

  #row(event) {
    const isBad = BAD.has(event.kind) && event.state !== "cleared";
    const what = event.title || event.path || "";
    return h(
      "li",
      { class: isBad ? "bad" : "" },
      h("time", { datetime: event.at, title: fullMoment(event.at), text: moment(event.at) }),
      h("span", { class: "event-kind", text: words(event.kind) }),
      event.channel && !this.channel ? h("a", { href: `#/channel/${encodeURIComponent(event.channel)}`, text: event.channel }) : null,
      h("span", { class: "event-what", text: [what, facts(event)].filter(Boolean).join(" · ") }),
    );
  }

  close() {
    this.end();
  }
}

/** What an event says besides, in words. */
function facts(event) {
  return Object.entries(event)
    .filter(([name, value]) => !TOLD.has(name) && value !== null && value !== "" && !(Array.isArray(value) && !value.length))
    .map(([name, value]) => `${name.replaceAll("_", " ")}: ${shown(value)}`)
    .join(" · ");
}

function shown(value) {
  if (typeof value !== "object") return String(value).replaceAll("_", " ");
  if (value.message) return [value.file?.split("/").at(-1), value.line && `line ${value.line}`, value.message].filter(Boolean).join(", ");
  return Array.isArray(value) ? value.join(", ") : JSON.stringify(value);
}
