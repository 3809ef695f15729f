/* Back and forth through what is too long for one page. */

import { h, say } from "./dom.js";

export class Pager {
  /** `turn(step)`: -1 back, 1 on. */
  constructor(turn) {
    this.back = h("button", { type: "button", class: "button", text: "Back", on: { click: () => turn(-1) } });
    this.on = h("button", { type: "button", class: "button", text: "Further", on: { click: () => turn(1) } });
    this.where = h("span", { class: "hint", role: "status" });
    this.element = h("nav", { class: "pager", "aria-label": "Pages", hidden: true }, this.back, this.where, this.on);
  }

  /** `count` of them are shown from `first` (from 0) on; `all` null where nobody counted, then `more` tells whether there are more. */
  show(first, count, all = null, more = all !== null && first + count < all) {
    this.element.hidden = first === 0 && !more;
    this.back.disabled = first === 0;
    this.on.disabled = !more;
    say(this.where, count ? `${first + 1}–${first + count}${all === null ? "" : ` of ${all.toLocaleString()}`}` : "none");
  }
}
