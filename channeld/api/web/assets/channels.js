/* What the page knows of the channels. Rule: events say what to ask again, answers say how it is; views only listen.

   Channels that somebody looks at are asked within a moment of an event, others when they come into sight. */

import { channelPath, get } from "./api.js";

const GATHER_MS = 250;
const MANY = 6; // with more of them it is cheaper to ask for all
const SLOW_MS = 60_000;
const QUIET_KINDS = new Set(["config_refused", "clock_jumped", "store_not_written", "store_written_again"]);

export class Channels {
  constructor() {
    this.byId = new Map();
    this.watched = new Map(); // id -> how many views show it
    this.dirty = new Set();
    this.listeners = new Set();
    this.timer = null;
    this.loadedAt = 0;
  }

  list() {
    return [...this.byId.values()];
  }

  get(id) {
    return this.byId.get(id);
  }

  /** `listener(id)` when a channel is known anew; id null: which channels there are may have changed. */
  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  watch(id) {
    this.watched.set(id, (this.watched.get(id) ?? 0) + 1);
    if (this.dirty.has(id)) this.#gather();
  }

  unwatch(id) {
    const count = (this.watched.get(id) ?? 1) - 1;
    if (count > 0) this.watched.set(id, count);
    else this.watched.delete(id);
  }

  async load() {
    const asked = [...this.dirty];
    this.dirty.clear(); // before: what is told meanwhile is newer than the answer
    let found;
    try {
      found = await get("/api/v1/channels");
    } catch (error) {
      asked.forEach((id) => this.dirty.add(id));
      throw error;
    }
    const before = [...this.byId.keys()].join(" ");
    const known = new Map();
    for (const channel of found) known.set(channel.id, stamped(channel));
    this.byId = known;
    this.loadedAt = performance.now();
    if (before !== [...known.keys()].join(" ")) this.#tell(null);
    else for (const id of known.keys()) this.#tell(id);
  }

  async refresh(id) {
    this.dirty.delete(id);
    const channel = stamped(await get(channelPath(id)));
    this.byId.set(id, channel);
    this.#tell(id);
    return channel;
  }

  /** An event of the daemon: what it is about is asked again. */
  take(event) {
    if (event.kind === "config_reloaded" || event.kind === "channel_removed") this.dirty.add("*");
    else if (event.channel && !QUIET_KINDS.has(event.kind)) this.dirty.add(event.channel);
    else return;
    this.#gather();
  }

  /** Everything that is not looked at grows old slowly. */
  refreshOld() {
    if (performance.now() - this.loadedAt > SLOW_MS && this.dirty.size) return this.load().catch(() => {});
    return null;
  }

  #gather() {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.#askDirty();
    }, GATHER_MS);
  }

  async #askDirty() {
    const wanted = [...this.dirty].filter((id) => id === "*" || this.watched.has(id));
    if (!wanted.length) return;
    try {
      if (wanted.includes("*") || wanted.length > MANY) await this.load();
      else await Promise.all(wanted.map((id) => this.refresh(id)));
    } catch {
      // The stream tells of a lost connection, and asks for everything when it is back.
    }
  }

  #tell(id) {
    for (const listener of this.listeners) listener(id);
  }
}

/** When an answer came: positions go on from there by the page's own clock, whatever the wall clocks say. */
function stamped(channel) {
  channel.seen = performance.now();
  return channel;
}

/** How far the playing entry is, in seconds; null while the filler airs. A live source has no end. */
export function position(channel) {
  if (!channel?.now) return null;
  return Math.min(channel.now.duration_s ?? Infinity, channel.now.position_s + (performance.now() - channel.seen) / 1000);
}

export function isLive(channel) {
  return Boolean(channel?.now) && channel.now.duration_s === null;
}

export function left(channel) {
  const at = position(channel);
  return at === null || isLive(channel) ? null : channel.now.duration_s - at;
}

/** How much of the playing entry has aired, 0 to 1; all of a live source. */
export function share(channel) {
  const at = position(channel);
  if (at === null) return 0;
  return isLive(channel) ? 1 : at / Math.max(0.001, channel.now.duration_s);
}
