/* All channels at a glance. Only cards in sight are kept up to date and counted down. Rule: all that changes is written with the page's clock:
   a wall that nobody touches costs one frame a second, however many channels tell something meanwhile. */

import { Card } from "./card.js";
import { onTick } from "./clock.js";
import { button, h, say } from "./dom.js";
import { plural, STATES } from "./format.js";
import { MAX_PLAYING } from "./preview.js";

const FEW = 8;
const WIDTH_KEY = "channeld-wall";

export function open(place, page) {
  const wall = new Wall(page.channels);
  place.append(...wall.parts);
  document.title = "Channels · channeld";
  return () => wall.close();
}

class Wall {
  constructor(channels) {
    this.channels = channels;
    this.cards = new Map();
    this.news = new Set(); // channels that are known anew since the clock last told
    this.sight = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: "200px 0px" });
    this.#build();
    this.#fill();
    this.ends = [channels.listen((id) => this.#known(id)), onTick(() => this.#tick())];
  }

  #build() {
    this.list = h("ul", { class: "wall" });
    this.count = h("p", { class: "wall-count", role: "status" });
    this.word = h("input", { type: "search", placeholder: "Find a channel or title", "aria-label": "Find a channel or title", on: { input: () => this.#filter() } });
    const options = [["", "All states"], ...Object.entries(STATES)].map(([value, text]) => h("option", { value, text }));
    this.state = h("select", { "aria-label": "State", on: { change: () => this.#filter() } }, ...options);
    const dense = button("rows", "Cards or rows", () => this.#setRows(!this.list.classList.contains("rows")));
    this.dense = dense;
    this.none = h("p", { class: "empty", hidden: true });
    this.parts = [
      h("div", { class: "toolbar" }, h("h1", { text: "Channels" }), this.count, h("span", { class: "gap" }), this.word, this.state, dense),
      this.list,
      this.none,
    ];
    let kept = null;
    try {
      kept = localStorage.getItem(WIDTH_KEY);
    } catch {
      // a browser that keeps nothing
    }
    this.#setRows(kept === "rows");
  }

  #setRows(isRows) {
    this.list.classList.toggle("rows", isRows);
    this.dense.setAttribute("aria-pressed", String(isRows));
    try {
      localStorage.setItem(WIDTH_KEY, isRows ? "rows" : "cards");
    } catch {
      // kept until the page is left
    }
  }

  #fill() {
    this.sight.disconnect();
    this.#closeCards();
    const all = document.createDocumentFragment();
    for (const channel of this.channels.list()) {
      const card = new Card(channel.id);
      this.cards.set(channel.id, card);
      card.show(channel);
      all.append(card.element);
      this.sight.observe(card.element);
    }
    this.list.replaceChildren(all);
    this.#filter();
  }

  #closeCards() {
    for (const [id, card] of this.cards) {
      if (card.isVisible) this.channels.unwatch(id);
      card.close();
    }
    this.cards.clear();
  }

  #seen(entries) {
    for (const { target, isIntersecting } of entries) {
      const card = this.cards.get(target.dataset.id);
      if (!card || card.isVisible === isIntersecting) continue;
      card.isVisible = isIntersecting;
      if (isIntersecting) {
        this.channels.watch(card.id);
        card.show(this.channels.get(card.id));
        if (this.cards.size <= MAX_PLAYING && !this.list.classList.contains("rows")) card.playBySelf();
      } else {
        this.channels.unwatch(card.id);
        card.close();
      }
    }
  }

  #known(id) {
    if (id === null) {
      this.#fill();
      return;
    }
    this.news.add(id);
  }

  #filter() {
    const word = this.word.value.trim().toLowerCase();
    const state = this.state.value;
    const all = this.channels.list();
    let shown = 0;
    for (const channel of all) {
      const card = this.cards.get(channel.id);
      if (!card) continue;
      const text = `${channel.id} ${channel.name} ${channel.now?.title ?? ""} ${channel.now?.path ?? ""}`.toLowerCase();
      const fits = (!state || channel.state === state) && (!word || text.includes(word));
      if (card.element.hidden === fits) card.element.hidden = !fits;
      shown += fits;
    }
    const onAir = all.filter((channel) => channel.state === "on_air").length;
    say(this.count, `${onAir} of ${plural(all.length, "channel")} on air`);
    this.none.hidden = shown > 0;
    say(this.none, all.length ? "No channel fits." : "There are no channels. Add some to the configuration; they appear here.");
    this.list.classList.toggle("few", all.length <= FEW);
  }

  #tick() {
    for (const [id, card] of this.cards) {
      if (!card.isVisible) continue;
      if (this.news.has(id)) card.show(this.channels.get(id));
      else card.tick();
    }
    if (this.news.size) this.#filter();
    this.news.clear();
  }

  close() {
    this.ends.forEach((end) => end());
    this.sight.disconnect();
    this.#closeCards();
  }
}
