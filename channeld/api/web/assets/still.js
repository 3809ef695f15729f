/* A picture of what is on air, for a card. Rule: only cards in sight ask, each at most every ten seconds and not while the page is hidden. */

import { channelPath } from "./api.js";
import { h } from "./dom.js";

const FRESH_MS = 10_000;
const AGAIN_MS = 15_000; // after a picture that did not come

export class Still {
  constructor(id) {
    this.id = id;
    this.element = h("img", { class: "picture", alt: "", hidden: true, "aria-hidden": "true", decoding: "async" });
    this.isWanted = false;
    this.dueAt = 0;
  }

  /** Whether somebody sees it, and there is something to see. */
  show(isWanted) {
    this.isWanted = isWanted;
    if (isWanted) this.tick();
  }

  tick() {
    if (!this.isWanted || this.coming || document.hidden || performance.now() < this.dueAt) return;
    const next = new Image();
    this.coming = next;
    const done = (isGood) => {
      this.coming = null;
      this.dueAt = performance.now() + (isGood ? FRESH_MS : AGAIN_MS);
      this.element.hidden = !isGood;
      if (isGood) this.element.src = next.src;
    };
    // Decoded before it is shown: the card never blinks.
    next.addEventListener("load", () => next.decode().then(() => done(true), () => done(false)));
    next.addEventListener("error", () => done(false));
    next.src = `${channelPath(this.id, "/thumbnail.jpg")}?width=320&turn=${Math.floor(Date.now() / FRESH_MS)}`;
  }
}
