/* One channel: its picture, what airs, what can be done with it, and a tab for each thing that people look up. */

import { channelPath, mayEdit, post } from "./api.js";
import { mood } from "./card.js";
import { isLive, left, position, share } from "./channels.js";
import { onTick } from "./clock.js";
import { button, h, icon, say, toggle } from "./dom.js";
import { length, moment, nameOf, span, STATES, words } from "./format.js";
import { complain, confirm, notice } from "./notices.js";
import { hasPreview, Preview } from "./preview.js";
import { orderOverride, overrideBar, sourceItems } from "./sources.js";

const TABS = {
  playlist: ["Playlist", () => import("./playlist.js")],
  library: ["Library", () => import("./library.js")],
  graphs: ["Graphs", () => import("./graphs.js")],
  viewers: ["Viewers", () => import("./viewers.js")],
  "as-run": ["As-run", () => import("./as_run.js")],
  events: ["Events", () => import("./events.js")],
};

/** Have what the tabs are made of at hand. */
export function prefetchTabs() {
  return Promise.all(Object.values(TABS).map(([, load]) => load()));
}

export function open(place, page, [id, tab = "playlist"]) {
  const view = new ChannelView(place, page, id);
  view.openTab(tab);
  const close = () => view.close();
  /** Another tab of the same channel keeps its picture playing. */
  close.stays = (name, [other, wanted = "playlist"]) => name === "channel" && other === id && view.openTab(wanted);
  return close;
}

class ChannelView {
  constructor(place, page, id) {
    Object.assign(this, { page, id });
    this.#build(place);
    page.channels.watch(id);
    this.ends = [
      page.channels.listen((known) => (known === id || known === null) && this.#show()),
      onTick(() => this.#tick()),
      page.on((event) => event.kind === "page_resync" && this.failedTab && this.tab === null && this.openTab(this.failedTab)),
      () => page.channels.unwatch(id),
    ];
    this.#show();
    page.channels.refresh(id).catch((error) => this.#missing(error));
  }

  #build(place) {
    this.name = h("h1", {});
    this.state = h("span", { class: "state" });
    this.orders = h("div", { class: "orders", role: "group", "aria-label": "Orders" });
    this.fault = h("div", { class: "fault", role: "alert", hidden: true });
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "About this channel", on: { keydown: (event) => this.#turnTab(event) } });
    this.panel = h("div", { class: "tab-panel", role: "tabpanel", id: "tab-panel", tabindex: "-1" });
    for (const [key, [label]] of Object.entries(TABS)) {
      const opens = () => this.page.go(`channel/${encodeURIComponent(this.id)}/${key}`);
      this.tabs.append(h("button", { type: "button", role: "tab", id: `tab-${key}`, data: { key }, "aria-controls": "tab-panel", text: label, on: { click: opens } }));
    }
    const back = h("a", { class: "back", href: "#/", text: "Channels" });
    const head = h("div", { class: "channel-head" }, back, this.name, this.state, h("span", { class: "gap" }), this.orders);
    this.ordered = h("div", { class: "ordered", role: "status", hidden: true });
    place.append(head, this.ordered, this.fault, h("div", { class: "channel-body" }, this.#buildSide(), h("section", { class: "channel-main" }, this.tabs, this.panel)));
  }

  #buildSide() {
    this.video = h("video", { muted: true, playsinline: true, "aria-label": "Live preview", tabindex: "-1" });
    this.told = h("p", { class: "screen-word" });
    this.preview = new Preview(this.video, (text) => say(this.told, text));
    this.sound = button("mute", "Sound on", () => this.#toggleSound(), { class: "button round" });
    this.play = button("play", "Play the preview", () => this.#togglePlay(), { class: "button round" });
    this.screen = h("div", { class: "screen large" }, this.video, this.told, h("div", { class: "screen-buttons" }, this.play, this.sound));
    this.preview.onStop = () => this.#showPlaying();
    this.nowTitle = h("span", { class: "now-title" });
    this.nowPath = h("span", { class: "now-path" });
    this.bar = h("i");
    this.elapsed = h("span", {});
    this.left = h("span", {});
    this.next = h("ol", { class: "next-list" });
    this.outputs = h("ul", { class: "output-list" });
    this.prepared = h("p", { class: "prepared" });
    this.readers = h("p", { class: "prepared", hidden: true });
    const now = h(
      "section",
      { class: "panel", "aria-label": "On air now" },
      h("h2", { text: "Now" }),
      h("p", { class: "now" }, this.nowTitle, this.nowPath),
      h("div", { class: "progress", "aria-hidden": "true" }, this.bar),
      h("p", { class: "now-times" }, this.elapsed, this.left),
      h("h2", { text: "Next" }),
      this.next,
    );
    const outputs = h("section", { class: "panel" }, h("h2", { text: "Outputs" }), this.outputs, this.readers, this.prepared);
    this.sources = h("ul", { class: "output-list" });
    this.sourcesPanel = h("section", { class: "panel", hidden: true }, h("h2", { text: "Sources" }), this.sources);
    return h("aside", { class: "channel-side" }, this.screen, now, this.sourcesPanel, outputs);
  }

  openTab(wanted) {
    const key = wanted in TABS ? wanted : "playlist";
    if (key === this.tab) return true;
    this.tab = key;
    for (const tab of this.tabs.children) {
      const isOpen = tab.dataset.key === key;
      tab.setAttribute("aria-selected", String(isOpen));
      tab.tabIndex = isOpen ? 0 : -1;
    }
    this.panel.setAttribute("aria-labelledby", `tab-${key}`);
    this.#closeTab();
    TABS[key][1]()
      .then((view) => {
        if (this.tab !== key || this.isClosed) return;
        this.panel.replaceChildren();
        this.closeTab = view.openTab(this.panel, this.page, this.id);
      })
      .catch((error) => {
        this.failedTab = key; // the daemon was away just now: once more when it is back
        if (this.tab === key) this.tab = null;
        complain(error);
      });
    return true;
  }

  #closeTab() {
    this.closeTab?.();
    this.closeTab = null;
  }

  /** Arrow keys go from tab to tab (ARIA practices, tabs). */
  #turnTab(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...this.tabs.children];
    const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    next.focus();
    next.click();
  }

  #missing(error) {
    if (error.status === 404) {
      this.page.go("");
      notice(`There is no channel ${this.id}.`, { kind: "bad" });
    } else if (error.status) complain(error);
  }

  // -- what is shown ----------------------------------------------------------------------------------------------------

  #show() {
    const channel = this.page.channels.get(this.id);
    if (!channel) return;
    this.channel = channel;
    document.title = `${channel.name} · channeld`;
    say(this.name, channel.name);
    say(this.state, STATES[channel.state] ?? channel.state);
    this.state.dataset.state = channel.state;
    say(this.nowTitle, channel.now ? nameOf(channel.now) : channel.state === "filler" ? "Filler" : "Nothing airs");
    say(this.nowPath, channel.now && channel.now.title ? channel.now.path : "");
    this.#showOrders(channel);
    this.#showFault(channel.edit_error);
    this.#showNext(channel);
    this.#showSources(channel);
    this.#showOutputs(channel);
    this.readers.hidden = !channel.readers;
    say(this.readers, channel.readers === 1 ? "One program on the machine reads it." : `${channel.readers} programs on the machine read it.`);
    this.#showPrepared(channel.prepared);
    this.#followPicture(channel);
    this.#tick();
  }

  #showOrders(channel) {
    const isOn = !["stopped", "failed", "stopping"].includes(channel.state);
    const key = `${isOn}${mayEdit()}`;
    if (key === this.ordersKey) return;
    this.ordersKey = key;
    if (!mayEdit()) {
      this.orders.replaceChildren();
      return;
    }
    const skip = button("skip", "Skip", () => this.#order("skip", "Skipping"), { shown: true, kind: "primary" });
    const stop = button("stop", "Stop", () => this.#stop(), { shown: true });
    const restart = button("restart", "Restart", () => this.#restart(), { shown: true });
    const start = button("play", "Start", () => this.#order("start", "Starting"), { shown: true, kind: "primary" });
    const instead = button("warn", "Instead…", () => orderOverride(this.channel), { shown: true });
    this.orders.replaceChildren(...(isOn ? [skip, instead, restart, stop] : [start]));
  }

  #showSources(channel) {
    const items = sourceItems(channel);
    this.sourcesPanel.hidden = items.length === 0;
    this.sources.replaceChildren(...items);
    const key = JSON.stringify(channel.override ?? null);
    if (key === this.orderedKey) return;
    this.orderedKey = key;
    const bar = overrideBar(channel);
    this.ordered.hidden = bar === null;
    this.ordered.replaceChildren(...(bar ?? []));
  }

  #showFault(fault) {
    const key = fault ? JSON.stringify(fault) : "";
    if (key === this.faultKey) return;
    this.faultKey = key;
    this.fault.hidden = !fault;
    if (!fault) return;
    const where = `${fault.file.split("/").at(-1)}${fault.line ? `, line ${fault.line}` : ""}`;
    const look = h("button", { type: "button", class: "button", text: "Show the line", on: { click: () => this.#showLine(fault.line ?? 1) } });
    const words = h("p", {}, h("strong", { text: `The newest edit is not in use: ${where}. ` }), fault.message, " The last valid list stays on air.");
    this.fault.replaceChildren(icon("warn"), words, look);
  }

  #showLine(line) {
    this.page.wantedLine = line;
    if (this.tab === "playlist") this.panel.dispatchEvent(new CustomEvent("show-line"));
    else this.page.go(`channel/${encodeURIComponent(this.id)}/playlist`);
  }

  #showNext(channel) {
    const items = channel.next.slice(0, 5).map((entry) =>
      h(
        "li",
        {},
        h("time", { datetime: entry.starts_at ?? "", text: entry.starts_at ? moment(entry.starts_at) : "–" }),
        h("span", { text: nameOf(entry), title: entry.path }),
        entry.ready ? null : h("span", { class: "tag", text: "not ready" }),
      ),
    );
    this.next.replaceChildren(...(items.length ? items : [h("li", { class: "empty", text: "Nothing is listed." })]));
  }

  #showOutputs(channel) {
    const items = channel.outputs.map((output) => {
      const { kind, word } = output.state === "disabled" ? { kind: "idle", word: "disabled" } : mood(output, channel.state);
      const facts = [];
      if (output.verdict?.manifest_age_s !== null && output.verdict?.manifest_age_s !== undefined) facts.push(`manifest ${output.verdict.manifest_age_s.toFixed(1)} s old`);
      if (output.readers) facts.push(output.readers === 1 ? "1 reader" : `${output.readers} readers`);
      if (output.restarts) facts.push(`${output.restarts} restarts`);
      const where = output.url ?? (output.paths ?? []).join(", ");
      const trouble = kind === "ok" || kind === "idle" ? null : output.verdict?.reason || output.last_error;
      return h(
        "li",
        {},
        h("span", { class: `chip ${kind}` }, h("i"), output.name),
        h("span", { class: "output-word", text: [words(word), ...facts].join(" · ") }),
        h("span", { class: "output-url", text: where, title: where }),
        trouble ? h("span", { class: "output-trouble", text: trouble }) : null,
      );
    });
    this.outputs.replaceChildren(...(items.length ? items : [h("li", { class: "empty", text: "No outputs." })]));
  }

  #showPrepared(prepared) {
    const isAll = prepared.ready_s >= prepared.needed_s;
    let text = isAll ? `All of ${span(prepared.needed_s)} is prepared.` : `${span(prepared.ready_s)} of ${span(prepared.needed_s)} prepared`;
    if (!isAll) text += prepared.eta_s === null ? "." : `, the rest in ${span(prepared.eta_s)}.`;
    if (prepared.dry_at) text += ` The first clip that is not prepared is due at ${moment(prepared.dry_at)}.`;
    if (!prepared.fits_cache) text += " The loops of all channels together are larger than the cache.";
    say(this.prepared, text);
  }

  #tick() {
    if (!this.channel) return;
    const at = position(this.channel);
    const rest = left(this.channel);
    this.bar.style.transform = `scaleX(${share(this.channel).toFixed(4)})`;
    say(this.elapsed, at === null ? "" : length(at));
    say(this.left, isLive(this.channel) ? "live" : rest === null ? "" : `next in ${length(rest)}`);
  }

  // -- the picture ------------------------------------------------------------------------------------------------------

  #followPicture(channel) {
    const can = hasPreview(channel);
    if (can && !this.preview.isWanted && !this.isPaused) this.preview.start(channel);
    if (!can && this.preview.isWanted) this.preview.stop();
    if (!can) say(this.told, channel.outputs.some((output) => output.type === "hls") ? "Off air" : "No picture here: this channel has no HLS output.");
    this.#showPlaying();
  }

  #showPlaying() {
    const isPlaying = this.preview.isWanted;
    toggle(this.sound, "hidden", !isPlaying);
    toggle(this.play, "hidden", !this.channel || !hasPreview(this.channel));
    this.play.firstChild.replaceWith(icon(isPlaying ? "pause" : "play"));
    this.play.setAttribute("aria-label", isPlaying ? "Stop the preview" : "Play the preview");
  }

  #togglePlay() {
    this.isPaused = this.preview.isWanted;
    if (this.isPaused) this.preview.stop();
    else this.preview.start(this.channel);
    this.#showPlaying();
  }

  #toggleSound() {
    this.video.muted = !this.video.muted;
    this.sound.firstChild.replaceWith(icon(this.video.muted ? "mute" : "sound"));
    this.sound.setAttribute("aria-label", this.video.muted ? "Sound on" : "Sound off");
  }

  // -- orders -----------------------------------------------------------------------------------------------------------

  async #order(action, doing) {
    try {
      await post(channelPath(this.id, `/${action}`));
      notice(`${doing} ${this.channel.name}.`, { kind: "ok" });
      await this.page.channels.refresh(this.id);
    } catch (error) {
      complain(error);
    }
  }

  async #stop() {
    const text = `${this.channel.name} goes off the air, and its viewers see no more until it is started again.`;
    if (await confirm("Stop the channel?", text, "Stop")) this.#order("stop", "Stopping");
  }

  async #restart() {
    const text = `${this.channel.name} goes off the air for a moment and begins anew. To go on to the next clip, skip is enough.`;
    if (await confirm("Restart the channel?", text, "Restart")) this.#order("restart", "Restarting");
  }

  close() {
    this.isClosed = true;
    this.#closeTab();
    this.preview.stop();
    this.ends.forEach((end) => end());
  }
}
