/* Lists of upstream channels: imported, fetched again, exported, and what of them is relayed. */

import { ask, get, mayAdminister, post } from "./api.js";
import { button, h, say } from "./dom.js";
import { askForm, Field, select } from "./form.js";
import { fullMoment, moment, plural, span } from "./format.js";
import { complain, confirm, notice } from "./notices.js";
import { ListChannels } from "./relay_channels.js";

const EVERY = [["", "only when asked"], [600, "each 10 minutes"], [3600, "each hour"], [21_600, "each 6 hours"], [86_400, "each day"], [604_800, "each week"]];

export function proxyPath(proxy, rest = "") {
  return `/api/v1/proxies/${encodeURIComponent(proxy)}${rest}`;
}

export function openLists(place, page, store, rest) {
  return new Lists(place, page, store, rest);
}

class Lists {
  constructor(place, page, store, [wanted]) {
    Object.assign(this, { page, store, lists: null, wanted });
    this.count = h("p", { class: "wall-count", role: "status" });
    const bring = mayAdminister() ? button("plus", "Import a list…", () => this.#import(), { shown: true, kind: "primary" }) : null;
    this.index = h("ul", { class: "list-index", "aria-label": "Lists" });
    this.none = h("p", { class: "empty" });
    this.body = h("section", { class: "list-body", "aria-label": "The list" });
    place.append(h("div", { class: "toolbar" }, this.count, h("span", { class: "gap" }), bring), h("div", { class: "lists" }, h("div", {}, this.index, this.none), this.body));
    this.end = page.on((event) => event.kind === "page_resync" && this.channels?.load());
    this.renew();
  }

  stays([wanted]) {
    this.wanted = wanted;
    this.#show();
    return true;
  }

  async renew() {
    this.channels?.renew();
    if (this.isAsking) return;
    this.isAsking = true;
    try {
      this.lists = await get("/api/v1/proxies");
      if (!this.isClosed) this.#show();
    } catch (error) {
      if (error.status && error.status !== 401) complain(error);
    } finally {
      this.isAsking = false;
    }
  }

  #show() {
    if (!this.lists) return;
    say(this.count, plural(this.lists.length, "list"));
    say(this.none, this.lists.length ? "" : `No list has been imported yet.${mayAdminister() ? " An M3U list of upstream channels comes from a URL, or from a file in a channel's media folder." : ""}`);
    const shown = this.lists.find((list) => list.id === this.wanted) ?? this.lists[0] ?? null;
    const key = JSON.stringify([this.lists.map((list) => [list.id, list.name, list.channels, list.relayed, Boolean(list.last_error)]), shown?.id]);
    if (key !== this.indexKey) {
      this.indexKey = key;
      this.#showIndex(shown);
    }
    if (shown?.id !== this.shownId) {
      this.shownId = shown?.id;
      this.#open(shown);
    }
    if (shown) this.#showHead(shown);
  }

  #showIndex(shown) {
    const held = document.activeElement?.dataset?.list;
    this.index.replaceChildren(
      ...this.lists.map((list) =>
        h(
          "li",
          {},
          h(
            "a",
            { href: `#/relay/lists/${encodeURIComponent(list.id)}`, data: { list: list.id }, "aria-current": list.id === shown?.id ? "true" : null },
            h("b", { text: list.name }),
            h("span", { class: "hint", text: `${plural(list.channels, "channel")}, ${list.relayed.toLocaleString()} relayed` }),
            list.last_error ? h("span", { class: "chip bad" }, h("i"), "not fetched") : null,
          ),
        ),
      ),
    );
    if (held) this.index.querySelector(`[data-list="${CSS.escape(held)}"]`)?.focus();
  }

  #open(list) {
    this.channels?.close();
    this.channels = null;
    if (!list) {
      this.body.replaceChildren();
      return;
    }
    this.head = { name: h("h2", { class: "list-name" }), facts: h("p", { class: "hint" }), error: h("p", { class: "fault", role: "status", hidden: true }) };
    const orders = h("div", { class: "orders" });
    if (mayAdminister()) orders.append(button("restart", "Fetch now", () => this.#fetch(list.id), { shown: true }));
    orders.append(h("a", { class: "button", href: proxyPath(list.id, "/playlist.m3u"), download: `${list.id}.m3u`, text: "Export what is relayed" }));
    if (mayAdminister()) {
      orders.append(button("edit", "Edit the list…", () => this.#edit(list.id)), button("trash", "Delete the list", () => this.#remove(list.id)));
    }
    this.channels = new ListChannels(this.page, this.store, list.id, () => this.renew());
    this.body.replaceChildren(h("div", { class: "list-head" }, this.head.name, this.head.facts, orders), this.head.error, this.channels.element);
  }

  #showHead(list) {
    const { name, facts, error } = this.head;
    say(name, list.name);
    const fetched = list.fetched_at ? `fetched ${moment(list.fetched_at)}` : "not fetched yet";
    say(facts, `${list.source} · ${fetched}, ${list.refresh_s ? `again ${often(list.refresh_s)}` : "again when asked"}`);
    facts.title = fullMoment(list.fetched_at);
    error.hidden = !list.last_error;
    say(error, list.last_error ? `It could not be fetched: ${list.last_error}. Its channels are those of before.` : "");
    this.channels.known(list);
  }

  // -- orders -----------------------------------------------------------------------------------------------------------

  async #import() {
    const fields = [
      new Field("name", "Name", h("input", { autocomplete: "off", maxlength: 100 })),
      new Field("refresh_s", "Fetched again", select(EVERY, 86_400)),
      new Field("source", "URL or file", h("input", { autocomplete: "off", spellcheck: "false", placeholder: "https://… or lists/tv.m3u" }), { span: "wide", hint: "A file is one below a channel's media folders, as seen from the configuration file." }),
    ];
    const send = async (values) => post("/api/v1/proxies", { ...values, refresh_s: Number(values.refresh_s) || null });
    const made = await askForm({ title: "Import a list of upstream channels", fields, label: "Import", send });
    if (!made) return;
    this.page.go(`relay/lists/${encodeURIComponent(made.id)}`);
    await this.renew();
    await this.#fetch(made.id);
  }

  async #fetch(id) {
    const end = notice("Fetching the list…");
    try {
      const found = await post(proxyPath(id, "/refresh"));
      if (found.pending) notice("It is still being fetched; its channels appear here.");
      else if (found.error) notice(found.error, { kind: "bad", title: "The list could not be fetched" });
      else tellFetched(found);
      await this.renew();
      await this.channels?.load();
    } catch (error) {
      complain(error);
    } finally {
      end();
    }
  }

  async #edit(id) {
    const list = this.lists.find((each) => each.id === id);
    const every = EVERY.some(([seconds]) => seconds === (list.refresh_s ?? "")) ? EVERY : [...EVERY, [list.refresh_s, often(list.refresh_s)]];
    const fields = [
      new Field("name", "Name", h("input", { value: list.name, autocomplete: "off", maxlength: 100 })),
      new Field("refresh_s", "Fetched again", select(every, list.refresh_s ?? "")),
      new Field("source", "Another URL or file", h("input", { autocomplete: "off", spellcheck: "false", placeholder: list.source }), { span: "wide", hint: "Empty: it stays, with its password." }),
    ];
    const send = (values) =>
      ask(proxyPath(id), { method: "PUT", body: { ...values, refresh_s: Number(values.refresh_s) || null, source: values.source.trim() || null } }).then((answer) => answer.json());
    const made = await askForm({ title: `Edit ${list.name}`, fields, label: "Save", send });
    if (!made) return;
    notice(`${made.name} is kept.`, { kind: "ok" });
    await this.renew();
  }

  async #remove(id) {
    const list = this.lists.find((each) => each.id === id);
    if (!(await confirm(`Delete ${list.name}?`, "The list and its channels are forgotten. What it came from stays where it is.", "Delete"))) return;
    try {
      await ask(proxyPath(id), { method: "DELETE" });
      notice(`${list.name} is deleted.`, { kind: "ok" });
      await this.renew();
    } catch (error) {
      complain(error);
    }
  }

  close() {
    this.isClosed = true;
    this.end();
    this.channels?.close();
  }
}

function often(seconds) {
  return EVERY.find(([each]) => each === seconds)?.[1] ?? `each ${span(seconds)}`;
}

function tellFetched({ channels, added, changed, removed, left_out: left, faults }) {
  const counts = [[added, "new"], [changed, "changed"], [removed, "gone"]].filter(([count]) => count).map(([count, word]) => `${count.toLocaleString()} ${word}`);
  const text = `${plural(channels, "channel")}${counts.length ? `: ${counts.join(", ")}` : ""}.`;
  if (!left) notice(text, { kind: "ok" });
  else {
    const first = faults.slice(0, 3).map((fault) => `line ${fault.line}: ${fault.message}`).join("; ");
    notice(`${text} ${plural(left, "entry", "entries")} left out: ${first}`, { kind: "bad", title: "Imported in part" });
  }
}
