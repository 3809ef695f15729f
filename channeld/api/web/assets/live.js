/* The event stream, kept open: lost, it is taken up again where it ended, also with a restarted daemon.

   Read by fetch rather than EventSource: that gives up for good at the first answer that is not 200, and cannot say where to go on. */

import { session } from "./api.js";

const SILENT_MS = 40_000; // the daemon says something every 15 s
const HIDDEN_MS = 60_000; // a page that nobody sees gives its connection back
const WAITS_MS = [500, 1000, 2000, 4000, 5000];

export class Live {
  /** `tell(event)` for each event; `turn(state)`: open, lost or signed-out; `resync()` when something may have been missed. */
  constructor({ tell, turn, resync }) {
    Object.assign(this, { tell, turn, resync });
    this.lastId = null;
    this.running = null; // which #run is the one that counts
    this.isPaused = false;
    this.hidden = null;
    document.addEventListener("visibilitychange", () => this.#seen());
  }

  start() {
    if (!this.running) this.#run((this.running = new AbortController()));
  }

  stop() {
    this.running?.abort();
    this.running = null;
    this.wake?.();
  }

  #pause() {
    this.isPaused = this.running !== null;
    this.stop();
  }

  #seen() {
    clearTimeout(this.hidden);
    if (document.hidden) this.hidden = setTimeout(() => this.#pause(), HIDDEN_MS);
    else if (this.isPaused) {
      this.isPaused = false;
      this.start();
    } else this.wake?.();
  }

  async #run(mine) {
    let tries = 0;
    let isFirst = this.lastId === null;
    while (this.running === mine) {
      try {
        const gone = new AbortController();
        mine.signal.addEventListener("abort", () => gone.abort(), { once: true });
        const response = await this.#open(gone.signal);
        tries = 0;
        this.turn("open");
        if (!isFirst) this.resync();
        isFirst = false;
        await this.#read(response.body, gone);
      } catch (error) {
        if (error.status === 401 && this.running === mine) {
          this.running = null;
          this.turn("signed-out");
          return;
        }
      }
      if (this.running !== mine) return;
      this.turn("lost");
      const wait = WAITS_MS[Math.min(tries++, WAITS_MS.length - 1)];
      await new Promise((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, wait * (0.75 + Math.random() / 2));
      });
    }
  }

  async #open(signal) {
    const headers = { Accept: "text/event-stream" };
    if (this.lastId !== null) headers["Last-Event-ID"] = String(this.lastId);
    const response = await fetch("/api/v1/events", { headers, signal, cache: "no-store" });
    if (!response.ok) throw Object.assign(new Error("refused"), { status: response.status });
    return response;
  }

  async #read(body, gone) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    while (true) {
      const silent = setTimeout(() => gone.abort(), SILENT_MS);
      const { done, value } = await reader.read().finally(() => clearTimeout(silent));
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      blocks.forEach((block) => this.#take(block));
    }
  }

  #take(block) {
    let data = "";
    for (const line of block.split("\n")) {
      if (line.startsWith("data:")) data += line.slice(5).trim();
      else if (line.startsWith("id:")) this.lastId = line.slice(3).trim();
    }
    if (data && session.role) this.tell(JSON.parse(data));
  }
}
