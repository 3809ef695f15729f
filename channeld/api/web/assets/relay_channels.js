/* The channels of one list: found by title and group, and relayed or not. A page of them at a time, whatever the list holds. */

import { get, mayAdminister, mayEdit } from "./api.js";
import { button, h, say } from "./dom.js";
import { complain } from "./notices.js";
import { Pager } from "./pager.js";
import { changeRelay, orderRun, relayChannel, removeRelay, stopRun } from "./relay_orders.js";
import { Watching } from "./relay_store.js";
import { standing } from "./relay_words.js";

const PAGE = 50;
const TYPED_MS = 250;
const NO_GROUP = "(none)";

export class ListChannels {
  /** `changed()`: what is relayed of the list is another now. */
  constructor(page, store, proxy, changed) {
    Object.assign(this, { page, store, proxy, changed, starts: [null], channels: [], first: 0 });
    this.word = h("input", { type: "search", placeholder: "Find a channel", "aria-label": "Find a channel of the list", on: { input: () => this.#typed() } });
    this.group = h("select", { "aria-label": "Group", on: { change: () => this.#anew() } });
    this.profile = h("select", { id: "relay-profile" });
    const by = mayAdminister() ? h("label", { class: "by-profile", for: "relay-profile" }, "Relay by ", this.profile) : null;
    this.list = h("ul", { class: "upstreams", "aria-label": "Channels of the list" });
    this.none = h("p", { class: "empty", role: "status" });
    this.pager = new Pager((step) => this.#turn(step));
    this.element = h("div", {}, h("div", { class: "toolbar" }, this.word, this.group, h("span", { class: "gap" }), by), this.list, this.none, this.pager.element);
    this.watching = new Watching(page.channels);
    this.end = page.channels.listen((id) => this.watching.ids.has(id) && this.renew());
    this.#showProfiles();
    this.load();
  }

  /** The list itself is known anew: another count means other channels. */
  known({ channels, fetched_at: at }) {
    const key = `${channels} ${at}`;
    if (this.knownKey !== undefined && key !== this.knownKey) this.load();
    this.knownKey = key;
  }

  /** What runs stands otherwise; the list is as it was. */
  renew() {
    this.#showProfiles();
    this.#show();
  }

  async load() {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (this.word.value.trim()) query.set("search", this.word.value.trim());
    if (this.group.value) query.set("group", this.group.value);
    const after = this.starts.at(-1);
    if (after !== null) query.set("after", String(after));
    this.asking?.abort();
    const mine = (this.asking = new AbortController());
    const path = `/api/v1/proxies/${encodeURIComponent(this.proxy)}`;
    try {
      const [list, found] = await Promise.all([get(path, mine), get(`${path}/channels?${query}`, mine)]);
      this.#showGroups(list);
      this.channels = found.channels;
      this.next = found.next;
      this.#show();
      this.pager.show(this.first, found.channels.length, null, found.next !== null);
    } catch (error) {
      if (error.name !== "AbortError" && error.status && error.status !== 404) complain(error);
    }
  }

  #typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.#anew(), TYPED_MS);
  }

  #anew() {
    this.starts = [null];
    this.first = 0;
    this.load();
  }

  #turn(step) {
    if (step > 0) {
      this.starts.push(this.next);
      this.first += this.channels.length;
    } else {
      this.starts.pop();
      this.first = this.starts.length === 1 ? 0 : Math.max(0, this.first - PAGE);
    }
    this.load();
  }

  #showGroups({ groups }) {
    const named = groups.filter(({ group }) => group !== null);
    const key = JSON.stringify(named);
    if (key === this.groupsKey) return;
    this.groupsKey = key;
    const kept = this.group.value;
    this.group.replaceChildren(h("option", { value: "", text: "All groups" }), ...named.map(({ group, channels }) => h("option", { value: group, text: `${group || NO_GROUP} (${channels.toLocaleString()})` })));
    this.group.value = named.some(({ group }) => group === kept) ? kept : "";
    this.group.hidden = named.length === 0;
  }

  #showProfiles() {
    const active = this.store.profiles.filter((profile) => profile.is_active);
    const key = JSON.stringify(active.map((profile) => [profile.id, profile.name]));
    if (key === this.profilesKey) return;
    this.profilesKey = key;
    const kept = this.profile.value;
    this.profile.replaceChildren(...active.map((profile) => h("option", { value: String(profile.id), text: profile.name })));
    // What works everywhere, until somebody chooses another.
    const plain = active.filter((profile) => profile.hardware_acceleration === "none").sort((a, b) => a.id - b.id)[0];
    this.profile.value = active.some((profile) => String(profile.id) === kept) ? kept : String((plain ?? active[0])?.id ?? "");
  }

  #show() {
    const runs = new Map(this.store.runs().filter((run) => run.isRelay).map((run) => [run.figures.config_id, run]));
    const rows = this.channels.map((channel) => ({ channel, run: channel.relay === null ? null : (runs.get(channel.relay) ?? null) }));
    this.watching.set(rows.filter(({ run }) => run?.channel).map(({ run }) => run.key));
    const key = JSON.stringify(rows.map(({ channel, run }) => [channel, run && standing(run), run?.channel?.state, run?.figures.name]));
    if (key === this.key) return;
    this.key = key;
    const held = document.activeElement?.dataset?.order;
    this.list.replaceChildren(...rows.map(({ channel, run }) => this.#row(channel, run)));
    if (held) this.list.querySelector(`[data-order="${CSS.escape(held)}"]`)?.focus();
    say(this.none, rows.length ? "" : this.word.value.trim() || this.group.value ? "No channel of the list fits." : "The list has no channels yet.");
  }

  #row(channel, run) {
    const { word, kind, why } = run ? standing(run) : { word: "", kind: "idle", why: "" };
    const chip = channel.relay === null ? null : h("span", { class: `chip ${kind}`, title: why }, h("i"), word || "Relayed");
    return h(
      "li",
      { class: "upstream", data: { channel: channel.channel_id } },
      h(
        "div",
        { class: "upstream-what" },
        run?.channel ? h("a", { class: "run-name", href: `#/channel/${encodeURIComponent(run.key)}`, text: channel.title }) : h("span", { class: "run-name", text: channel.title }),
        channel.is_listed ? null : h("span", { class: "tag", text: "no longer listed" }),
        h("span", { class: "row-path", text: [channel.group, channel.url].filter(Boolean).join(" · ") }),
        why ? h("span", { class: "output-trouble", text: why }) : null,
      ),
      h("span", { class: "upstream-state" }, chip),
      h("div", { class: "run-orders" }, ...this.#orders(channel, run)),
    );
  }

  #orders(channel, run) {
    const named = (order, label) => ({ "aria-label": `${label} ${channel.title}`, title: label, data: { order: `${order} ${channel.channel_id}` } });
    if (channel.relay === null) {
      if (!mayAdminister()) return [];
      const relay = h("button", { type: "button", class: "button", text: "Relay", ...named("relay", "Relay"), on: { click: () => this.#relay(channel) } });
      return [relay];
    }
    const found = [];
    if (mayEdit() && run && !run.figures.refused) {
      const isOn = !["stopped", "failed", "stopping"].includes(run.channel?.state ?? run.figures.state);
      found.push(isOn ? button("stop", "Stop", () => stopRun(this.page, this.store, run), named("turn", "Stop")) : button("play", "Start", () => orderRun(this.page, this.store, run, "start"), named("turn", "Start")));
    }
    if (mayAdminister()) {
      const facts = { proxy_id: this.proxy, channel_id: channel.channel_id, name: run?.figures.name ?? channel.title };
      found.push(button("edit", "Relay otherwise", () => changeRelay(this.store, facts), named("edit", "Relay otherwise:")));
      found.push(button("trash", "Relay no more", () => removeRelay(this.page, this.store, facts).then((done) => done && this.#after()), named("remove", "Relay no more:")));
    }
    return found;
  }

  async #relay(channel) {
    if (await relayChannel(this.store, this.proxy, channel, Number(this.profile.value))) await this.#after();
  }

  async #after() {
    await this.load();
    this.changed();
  }

  close() {
    clearTimeout(this.typing);
    this.asking?.abort();
    this.end();
    this.watching.set([]);
  }
}
