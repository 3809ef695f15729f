/* One relay among those that run, and what it unfolds to: its sources, its addresses, its switches. Built once; then only what differs is written. */

import { mayAdminister, mayEdit } from "./api.js";
import { button, h, say } from "./dom.js";
import { bytes, moment } from "./format.js";
import { changeRelay, orderRun, removeRelay, stopRun } from "./relay_orders.js";
import { Switches } from "./relay_switches.js";
import { age, bits, reasonOf, sourceFigures, sourceKind, standing } from "./relay_words.js";

const CELLS = [["clients", "Clients"], ["in", "Coming in"], ["up", "Up for"], ["losses", "Lost in 1 h"], ["cpu", "CPU"], ["memory", "Memory"]];
const OFF = new Set(["stopped", "stopping", "failed"]);

export class RunRow {
  constructor(page, store, key) {
    Object.assign(this, { page, store, key });
    this.#build();
  }

  #build() {
    this.name = h("a", { class: "run-name", href: `#/channel/${encodeURIComponent(this.key)}` });
    this.plain = h("span", { class: "run-name", hidden: true });
    this.of = h("span", { class: "run-of" });
    this.word = h("span", {});
    this.chip = h("span", { class: "chip idle" }, h("i"), this.word);
    this.why = h("p", { class: "run-why", hidden: true });
    this.sources = h("span", { class: "run-sources" });
    this.cells = new Map();
    const cells = CELLS.map(([name, text]) => {
      const value = h("dd", {});
      this.cells.set(name, value);
      return h("div", {}, h("dt", { text }), value);
    });
    this.orders = h("div", { class: "run-orders" });
    this.unfold = button("down", "Details", () => this.#toggle(), { "aria-expanded": "false" });
    const head = h("div", { class: "run-head" }, h("div", { class: "run-what" }, h("p", {}, this.name, this.plain, this.chip), h("p", { class: "run-line" }, this.of, this.sources)), h("dl", { class: "run-cells" }, ...cells), this.orders, this.unfold);
    this.element = h("li", { class: "run", data: { channel: this.key } }, head, this.why);
  }

  show(run) {
    this.run = run;
    const { figures, channel } = run;
    const { kind, word, why } = standing(run);
    this.element.dataset.kind = kind;
    const isLinked = channel !== null;
    this.name.hidden = !isLinked;
    this.plain.hidden = isLinked;
    say(isLinked ? this.name : this.plain, figures.name);
    this.chip.className = `chip ${kind}`;
    say(this.word, word);
    this.why.hidden = !why;
    say(this.why, why);
    say(this.of, run.isRelay ? `${figures.proxy_id} · ${this.store.profile(figures.profile_id)?.name ?? `profile ${figures.profile_id}`}` : "of the configuration");
    this.#showSources(channel?.sources ?? []);
    const shown = {
      clients: figures.clients.toLocaleString(),
      in: OFF.has(figures.state) ? "–" : bits(figures.bitrate_bps),
      up: age(figures.uptime_s),
      losses: figures.losses_last_hour.toLocaleString(),
      cpu: figures.cpu_percent === null ? "–" : `${figures.cpu_percent.toFixed(1)} %`,
      memory: bytes(figures.memory_bytes),
    };
    for (const [name, value] of Object.entries(shown)) say(this.cells.get(name), value);
    this.#showOrders(run);
    this.unfold.setAttribute("aria-label", `Details of ${figures.name}`);
    this.details?.show(run);
  }

  /** Several of them: each with its colour, so that one sees which is ill. */
  #showSources(sources) {
    const key = sources.length > 1 ? JSON.stringify(sources.map((source) => [source.name, source.state, source.on_air])) : "";
    if (key === this.sourcesKey) return;
    this.sourcesKey = key;
    this.sources.replaceChildren(...(key ? sources.map((source) => h("span", { class: `chip ${sourceKind(source)}` }, h("i"), source.name, h("span", { class: "unseen", text: ` ${source.state}` }))) : []));
  }

  #showOrders(run) {
    const { figures } = run;
    const isOn = !OFF.has(run.channel?.state ?? figures.state);
    const key = `${isOn} ${figures.refused !== null} ${mayEdit()} ${mayAdminister()} ${figures.name}`;
    if (key === this.ordersKey) return;
    this.ordersKey = key;
    const named = (label) => ({ "aria-label": `${label} ${figures.name}`, title: label });
    const orders = [];
    if (mayEdit() && isOn && !figures.refused) orders.push(button("stop", "Stop", () => stopRun(this.page, this.store, this.run), named("Stop")));
    if (mayEdit() && !isOn) orders.push(button("play", "Start", () => orderRun(this.page, this.store, this.run, "start"), named("Start")));
    if (mayAdminister() && run.isRelay) {
      orders.push(button("edit", "Relay otherwise", () => changeRelay(this.store, figures), named("Relay otherwise:")));
      orders.push(button("trash", "Relay no more", () => removeRelay(this.page, this.store, figures), named("Relay no more:")));
    }
    this.orders.replaceChildren(...orders);
  }

  #toggle() {
    if (this.details) {
      this.details.close();
      this.details.element.remove();
      this.details = null;
    } else {
      this.details = new Details(this.page, this.key);
      this.element.append(this.details.element);
      this.details.show(this.run);
    }
    this.unfold.setAttribute("aria-expanded", String(this.details !== null));
    this.element.classList.toggle("open", this.details !== null);
  }

  close() {
    this.details?.close();
  }
}

class Details {
  constructor(page, channel) {
    this.sources = h("ul", { class: "source-list" });
    this.addresses = h("ul", { class: "address-list" });
    this.switches = new Switches(page, channel);
    this.element = h(
      "div",
      { class: "run-details" },
      h("section", {}, h("h2", { text: "Sources" }), this.sources, h("h2", { text: "For viewers" }), this.addresses),
      h("section", {}, h("h2", { text: "Switches" }), this.switches.element),
    );
  }

  show({ channel, figures }) {
    const sources = channel?.sources ?? [];
    const key = JSON.stringify([sources, figures.bytes, channel?.outputs]);
    if (key === this.key) return;
    this.key = key;
    this.sources.replaceChildren(...(sources.length ? sources.map(sourceItem) : [h("li", { class: "hint", text: "None: it cannot air." })]));
    const outputs = (channel?.outputs ?? []).filter((output) => output.url);
    this.addresses.replaceChildren(
      ...outputs.map((output) => h("li", {}, h("b", { text: output.name }), h("code", { text: output.url }), output.clients === undefined ? null : h("span", { class: "hint", text: `${output.clients} watching` }))),
    );
  }

  close() {
    this.switches.close();
  }
}

function sourceItem(source) {
  const facts = [source.on_air ? "on air" : source.state];
  if (source.since) facts.push(`since ${moment(source.since)}`);
  if (source.mode && source.state === "live") facts.push(`${source.mode === "copy" ? "copied" : "transcoded"}${source.why ? `: ${source.why}` : ""}`);
  const figures = [["Connections", String(source.attempts)], ["Came", bytes(source.bytes)], ...sourceFigures(source)];
  return h(
    "li",
    {},
    h("p", {}, h("span", { class: `chip ${sourceKind(source)}` }, h("i"), source.name), h("span", { class: "hint", text: facts.join(" · ") })),
    source.reason ? h("p", { class: "output-trouble", text: reasonOf(source) }) : null,
    h("code", { class: "source-url", text: source.url === "pattern:" ? "the test pattern" : source.url }),
    h("dl", { class: "source-figures" }, ...figures.map(([name, value]) => h("div", {}, h("dt", { text: name }), h("dd", { text: value })))),
  );
}
