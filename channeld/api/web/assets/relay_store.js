/* What the place of relays knows: figures and profiles.

   Rule: figures are asked for again every few seconds while somebody looks, as no event tells them; how sources stand comes with the
   channels, when events tell. */

import { get } from "./api.js";
import { complain } from "./notices.js";

export const RENEW_MS = 4000;
const SOON_MS = 300;
const FOLLOWED = 200; // of more than so many only those in the document are kept up to date, the others each minute
const TELLING = new Set(["source_state", "channel_state", "channel_removed", "config_reloaded", "page_resync"]);

/** Which channels somebody looks at, as one set. */
export class Watching {
  constructor(channels) {
    Object.assign(this, { channels, ids: new Set() });
  }

  set(ids) {
    const wanted = new Set(ids);
    for (const id of wanted) if (!this.ids.has(id)) this.channels.watch(id);
    for (const id of this.ids) if (!wanted.has(id)) this.channels.unwatch(id);
    this.ids = wanted;
  }
}

export class RelayStore {
  constructor(page) {
    Object.assign(this, { page, metrics: null, profiles: [], isOld: false, listeners: new Set(), asking: null, soon: null });
    this.watching = new Watching(page.channels);
    this.timer = setInterval(() => document.hidden || this.renew(), RENEW_MS);
    this.look = () => document.hidden || this.renew();
    document.addEventListener("visibilitychange", this.look);
    this.end = page.on((event) => TELLING.has(event.kind) && this.#soon());
    this.renew();
    this.loadProfiles();
  }

  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Every relay, and every channel of the configuration with live sources, with what is known of its channel. */
  runs() {
    const { relays = [], channels = [] } = this.metrics ?? {};
    return [...relays, ...channels].map((figures) => ({
      key: figures.channel,
      figures,
      isRelay: figures.config_id !== undefined,
      channel: figures.refused ? null : (this.page.channels.get(figures.channel) ?? null),
    }));
  }

  run(relay) {
    return this.runs().find(({ figures }) => figures.config_id === relay) ?? null;
  }

  profile(id) {
    return this.profiles.find((profile) => profile.id === id) ?? null;
  }

  renew() {
    this.asking ??= this.#ask().finally(() => {
      this.asking = null;
    });
    return this.asking;
  }

  /** After an order: what was asked for before it does not count. */
  async again() {
    await this.asking;
    await this.renew();
  }

  async loadProfiles() {
    try {
      this.profiles = await get("/api/v1/relay/profiles");
    } catch (error) {
      if (error.status) complain(error);
      return;
    }
    this.#tell();
  }

  #soon() {
    this.soon ??= setTimeout(() => {
      this.soon = null;
      this.renew();
    }, SOON_MS);
  }

  async #ask() {
    try {
      this.metrics = await get("/api/v1/relay/metrics");
      this.isOld = this.hasFailed = false;
      // A relay that is new: which channels there are is known anew, too.
      if (this.metrics.relays.some((each) => !each.refused && !this.page.channels.get(each.channel))) await this.page.channels.load();
      const runs = this.runs();
      this.watching.set(runs.length > FOLLOWED ? [] : runs.filter((run) => run.channel).map((run) => run.key));
    } catch (error) {
      this.isOld = true;
      if (error.status && error.status !== 401 && !this.hasFailed) complain(error);
      this.hasFailed = Boolean(error.status);
    }
    if (this.isClosed) this.watching.set([]);
    this.#tell();
  }

  #tell() {
    for (const listener of this.listeners) listener();
  }

  close() {
    clearInterval(this.timer);
    clearTimeout(this.soon);
    document.removeEventListener("visibilitychange", this.look);
    this.end();
    this.listeners.clear();
    this.isClosed = true;
    this.watching.set([]);
  }
}
