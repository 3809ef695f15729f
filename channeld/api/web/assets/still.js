/* A picture of what is on air, for a card. Rule: only cards in sight ask, each at most every ten seconds and not while the page is hidden; a card
   that leaves the sight keeps none.

   Drawn, not an <img>: of each picture that an <img> has shown the browser keeps the decoded pixels for minutes, 230 kB each. */

import { ask, channelPath } from "./api.js";
import { h } from "./dom.js";

const FRESH_MS = 10_000;
const AGAIN_MS = 15_000; // after a picture that did not come
const WIDTH = 320;

export class Still {
  constructor(id) {
    this.id = id;
    this.element = h("canvas", { class: "picture", width: 0, height: 0, hidden: true, "aria-hidden": "true" });
    this.isWanted = false;
    this.asking = null;
    this.next = null;
    this.dueAt = 0;
  }

  /** Whether somebody sees it, and there is something to see. */
  show(isWanted) {
    if (this.isWanted && !isWanted) this.#drop();
    this.isWanted = isWanted;
    if (isWanted) this.tick();
  }

  /** A second has passed. Pictures change with the clock: so many cards, one frame. */
  tick() {
    if (this.next) this.#draw();
    if (this.isWanted && !this.asking && !document.hidden && performance.now() >= this.dueAt) this.#ask((this.asking = new AbortController()));
  }

  async #ask(mine) {
    let found = null;
    try {
      const answer = await ask(`${channelPath(this.id, "/thumbnail.jpg")}?width=${WIDTH}`, { accept: "image/jpeg", quiet: true, signal: mine.signal });
      found = await createImageBitmap(await answer.blob());
    } catch {
      // no picture just now, or none that can be read
    }
    if (this.asking !== mine) {
      found?.close();
      return;
    }
    this.asking = null;
    this.dueAt = performance.now() + (found ? FRESH_MS : AGAIN_MS);
    this.next = found;
    if (!found) this.element.hidden = true;
    else if (this.element.hidden) this.#draw(); // the first one need not wait
  }

  #draw() {
    const { width, height } = this.next;
    if (this.element.width !== width || this.element.height !== height) Object.assign(this.element, { width, height });
    this.element.getContext("2d", { alpha: false }).drawImage(this.next, 0, 0);
    this.element.hidden = false;
    this.next.close();
    this.next = null;
  }

  #drop() {
    this.asking?.abort();
    this.asking = null;
    this.next?.close();
    this.next = null;
    this.dueAt = 0;
    Object.assign(this.element, { width: 0, height: 0, hidden: true });
  }
}
