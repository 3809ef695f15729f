/* One channel on the wall. Built once; then only what differs is written. Rule: a card is a few elements; what one in a hundred needs is made
   when it is needed. A <video> is some 150 nodes to the browser, also while nobody sees it. */

import { isLive, left, share } from "./channels.js";
import { button, h, icon, say, toggle } from "./dom.js";
import { length, moment, nameOf, STATES } from "./format.js";
import { hasPreview, Preview } from "./preview.js";
import { Still } from "./still.js";

const HOVER_MS = 500;
const BAR_STEPS = 256; // about a pixel each

export class Card {
  constructor(id) {
    this.id = id;
    this.isVisible = false;
    this.#build();
  }

  #build() {
    this.name = h("a", { class: "card-name", href: `#/channel/${encodeURIComponent(this.id)}` });
    this.state = h("span", { class: "state" });
    this.title = h("span", { class: "card-title" });
    this.bar = h("i");
    this.left = h("span", { class: "card-left" });
    this.next = h("p", { class: "card-next" });
    this.outputs = h("ul", { class: "card-outputs", "aria-label": "Outputs" });
    this.preview = null; // made when it is to play
    this.play = button("play", "Preview", () => this.#togglePreview(), { class: "button round" });
    this.letters = h("span", { class: "still", "aria-hidden": "true" });
    this.still = new Still(this.id);
    this.screen = h("div", { class: "screen" }, this.letters, this.still.element, this.play);
    const head = h("div", { class: "card-head" }, this.name, this.state);
    const now = h("p", { class: "card-now" }, this.title, this.left);
    const bar = h("div", { class: "progress", "aria-hidden": "true" }, this.bar);
    this.element = h("li", { class: "card", data: { id: this.id } }, this.screen, h("div", { class: "card-body" }, head, now, bar, this.next, this.outputs));
    this.screen.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && this.#hover());
    this.element.addEventListener("pointerleave", () => this.#leave());
  }

  #hover() {
    this.hovering = setTimeout(() => {
      this.isHovered = !this.preview;
      if (this.isHovered) this.#startPreview();
    }, HOVER_MS);
  }

  #leave() {
    clearTimeout(this.hovering);
    if (this.isHovered) this.preview?.stop();
    this.isHovered = false;
  }

  #togglePreview() {
    clearTimeout(this.hovering);
    this.wasStopped = Boolean(this.preview) && !this.isHovered;
    if (this.wasStopped) this.preview.stop();
    else if (!this.preview) this.#startPreview();
    this.isHovered = false; // asked for: it stays when the pointer leaves
  }

  #startPreview() {
    if (!this.channel || !hasPreview(this.channel)) return;
    const video = h("video", { muted: true, playsinline: true, tabindex: "-1", "aria-hidden": "true" });
    this.play.before(video);
    this.preview = new Preview(video);
    this.preview.onStop = () => {
      this.preview = null;
      video.remove();
      this.#showPlaying(false);
    };
    this.#showPlaying(true);
    this.preview.start(this.channel);
  }

  #showPlaying(isShown) {
    const label = isShown ? "Stop the preview" : "Preview";
    this.play.title = label;
    this.play.setAttribute("aria-label", `${label} of ${this.channel?.name ?? this.id}`);
    this.play.firstChild.replaceWith(icon(isShown ? "pause" : "play"));
  }

  /** Where channels are few each shows its picture by itself; asked for or not, it stays until it is stopped. */
  playBySelf() {
    if (!this.preview && !this.wasStopped) this.#startPreview();
  }

  /** What is known of the channel now. */
  show(channel) {
    this.channel = channel;
    const { state } = channel;
    this.element.dataset.state = state;
    this.element.classList.toggle("faulty", Boolean(channel.edit_error));
    say(this.name, channel.name);
    say(this.state, STATES[state] ?? state);
    say(this.letters, channel.name.slice(0, 2));
    this.still.show(this.isVisible && ["on_air", "filler"].includes(state));
    say(this.title, channel.now ? nameOf(channel.now) : state === "filler" ? "Filler" : "Nothing airs");
    const [next] = channel.next;
    say(this.next, next ? `Next ${next.starts_at ? moment(next.starts_at) : ""} ${nameOf(next)}${next.ready ? "" : " · not ready"}` : "");
    toggle(this.play, "hidden", !hasPreview(channel));
    if (!this.preview) this.play.setAttribute("aria-label", `Preview of ${channel.name}`);
    else if (!hasPreview(channel)) this.preview.stop();
    this.#showOutputs(channel);
    this.tick();
  }

  #showOutputs(channel) {
    const wanted = channel.outputs.filter((output) => output.state !== "disabled").map((output) => [output.name, mood(output, channel.state)]);
    const key = JSON.stringify(wanted) + Boolean(channel.edit_error);
    if (key === this.outputsKey) return;
    this.outputsKey = key;
    const items = wanted.map(([name, { kind, word }]) =>
      h("li", { class: `chip ${kind}`, title: `${name}: ${word}` }, h("i"), name, h("span", { class: "unseen", text: ` ${word}` })),
    );
    if (channel.edit_error) items.push(h("li", { class: "chip bad", title: channel.edit_error.message }, icon("warn"), "playlist"));
    this.outputs.replaceChildren(...items);
  }

  /** A second has passed. */
  tick() {
    if (!this.channel) return;
    this.still.tick();
    const rest = left(this.channel);
    this.#showShare(Math.round(share(this.channel) * BAR_STEPS) / BAR_STEPS);
    say(this.left, isLive(this.channel) ? "live" : rest === null ? "" : `−${length(rest)}`);
  }

  #showShare(share) {
    if (share === this.share) return;
    this.share = share;
    this.bar.style.transform = `scaleX(${share})`;
  }

  close() {
    clearTimeout(this.hovering);
    this.still.show(false);
    this.preview?.stop();
  }
}

/** How an output does, as its viewers find it where somebody looks. */
export function mood(output, channelState) {
  if (["stopped", "failed"].includes(channelState)) return { kind: "idle", word: "off" };
  const found = output.verdict?.condition;
  if (found && found !== "ok") return { kind: found === "late" ? "warn" : "bad", word: found };
  if (["up", "serving", "on"].includes(output.state) || found === "ok") return { kind: "ok", word: "ok" };
  return { kind: output.state === "down" || output.last_error ? "bad" : "warn", word: output.state };
}
