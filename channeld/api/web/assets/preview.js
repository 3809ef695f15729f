/* Live pictures of channels: muted HLS, at most a few at a time, the oldest gives way. */

import { hlsUrl } from "./api.js";

export const MAX_PLAYING = 4;
const RETRY_MS = 3000;
const playing = []; // oldest first
let library = null;

const SETTINGS = {
  enableWorker: false, // a worker from a blob would be one more exception in the page's policy; a preview needs little
  maxBufferLength: 12,
  backBufferLength: 10,
  manifestLoadPolicy: {
    default: {
      maxTimeToFirstByteMs: 10_000,
      maxLoadTimeMs: 20_000,
      timeoutRetry: { maxNumRetry: 8, retryDelayMs: 1000, maxRetryDelayMs: 4000 },
      errorRetry: { maxNumRetry: 60, retryDelayMs: 1000, maxRetryDelayMs: 4000 },
    },
  },
};

export function hasPreview(channel) {
  return hlsUrl(channel) !== null && !["stopped", "failed"].includes(channel.state);
}

/** A channel's picture in a <video>; `tell(text)` says what is wrong, empty when nothing is. */
export class Preview {
  constructor(video, tell = () => {}) {
    this.video = video;
    this.tell = tell;
    this.hls = null;
    this.isWanted = false;
    video.addEventListener("playing", () => video.classList.add("shown")); // until then there is nothing to see
  }

  async start(channel) {
    if (this.isWanted) return;
    this.isWanted = true;
    playing.push(this);
    while (playing.length > MAX_PLAYING) playing[0].stop();
    const url = () => hlsUrl(channel); // anew each time: it has the session's token in it, where there is one
    this.video.muted = true;
    if (!globalThis.MediaSource && this.video.canPlayType("application/vnd.apple.mpegurl")) {
      this.video.src = url();
    } else {
      const Hls = await this.#library();
      if (!Hls || !this.isWanted) return;
      this.#attach(Hls, url);
    }
    this.video.play().catch(() => {}); // refused or stopped meanwhile: the picture stays as it is
  }

  /** hls.js; asked for again while the daemon is away. Null when nobody wants it any more. */
  async #library() {
    for (let tries = 0; this.isWanted; tries++) {
      try {
        // Some browsers remember for ever that a module failed, by its address.
        library ??= tries ? import(`./vendor/hls.js?again=${tries}`) : import("./vendor/hls.js");
        return (await library).default;
      } catch {
        library = null;
        this.tell("Waiting for the daemon…");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    return null;
  }

  #attach(Hls, url) {
    this.hls = new Hls(SETTINGS);
    this.hls.on(Hls.Events.ERROR, (_event, { fatal, type, details }) => {
      if (!fatal) return;
      this.tell(type === "networkError" ? "Waiting for the stream…" : `The picture failed: ${details}`);
      if (type === "mediaError") this.hls?.recoverMediaError();
      else setTimeout(() => this.hls?.loadSource(url()), RETRY_MS);
    });
    this.hls.on(Hls.Events.FRAG_BUFFERED, () => this.tell(""));
    this.hls.loadSource(url());
    this.hls.attachMedia(this.video);
  }

  stop() {
    this.isWanted = false;
    const place = playing.indexOf(this);
    if (place >= 0) playing.splice(place, 1);
    this.hls?.destroy();
    this.hls = null;
    this.video.pause();
    this.video.classList.remove("shown");
    this.video.removeAttribute("src");
    this.video.load();
    this.onStop?.();
  }
}
