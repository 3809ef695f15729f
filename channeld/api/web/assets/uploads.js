/* Files on their way to the daemon, by tus 1.0. Rule: they go on whatever view is shown, one after the other; a lost connection is waited for,
   and a file that is chosen again, also after the page was left, goes on where it was. */

import { channelPath, Problem, session } from "./api.js";

const PIECE = 8 * 1024 * 1024;
const PAUSES_MS = [500, 1000, 2000, 5000, 10_000];
const TUS = { "Tus-Resumable": "1.0.0" };
const KEPT = "channeld-upload:";

const listeners = new Set();
const queue = [];
let isRunning = false;

/** Everything that was sent since the page was opened, the newest last: {name, size, sent, state, reason, path}. */
export function sendings(channel) {
  return queue.filter((each) => each.channel === channel);
}

/** `listener(sending)` when something of one changed. */
export function onSending(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Send files to a channel's folder. */
export function send(channel, files) {
  for (const file of files) queue.push({ channel, file, name: file.name, size: file.size, sent: 0, state: "waiting", reason: "", path: null });
  tell(queue.at(-1));
  run();
}

/** End one; what was sent of it is removed. */
export async function cancel(sending) {
  const { url } = sending;
  sending.state = "ended";
  sending.request?.abort();
  forget(sending);
  tell(sending);
  for (let attempt = 0; url && attempt < PAUSES_MS.length; attempt++) {
    try {
      await exchange(sending, "DELETE", url);
      return;
    } catch (error) {
      if (error.status !== 423) return; // its last piece is still being written
      await pause(PAUSES_MS[attempt]);
    }
  }
}

/** Try one again that failed. */
export function retry(sending) {
  sending.state = "waiting";
  sending.reason = "";
  tell(sending);
  run();
}

function tell(sending) {
  for (const listener of listeners) listener(sending);
}

async function run() {
  if (isRunning) return;
  isRunning = true;
  addEventListener("beforeunload", warn);
  for (let next = waiting(); next; next = waiting()) await sendOne(next);
  removeEventListener("beforeunload", warn);
  isRunning = false;
}

function waiting() {
  return queue.find((each) => each.state === "waiting");
}

function warn(event) {
  event.preventDefault();
}

async function sendOne(sending) {
  sending.state = "sending";
  tell(sending);
  for (let attempt = 0; sending.state === "sending"; attempt++) {
    const before = sending.sent;
    try {
      await pieces(sending);
      return;
    } catch (error) {
      if (sending.state !== "sending") return;
      if (!isPassing(error)) {
        sending.state = "failed";
        sending.reason = error.message;
        if (ENDED.includes(error.status)) forget(sending); // else it goes on where it was: signed in again, or with room on the disk
        tell(sending);
        return;
      }
      if (sending.sent > before) attempt = 0;
      sending.reason = "Waiting for the connection…";
      tell(sending);
      await pause(PAUSES_MS[Math.min(attempt, PAUSES_MS.length - 1)]);
    }
  }
}

/** The daemon has none of it any more, or will never take it. */
const ENDED = [404, 413, 415, 422];

/** No connection, somebody else's turn, or the daemon is busy: worth another try. */
function isPassing(error) {
  return !(error instanceof Problem) || [0, 408, 409, 423, 429, 500, 503].includes(error.status);
}

function pause(ms) {
  return new Promise((resolve) => {
    const go = () => {
      clearTimeout(timer);
      removeEventListener("online", go);
      resolve();
    };
    const timer = setTimeout(go, ms);
    addEventListener("online", go);
  });
}

async function pieces(sending) {
  await find(sending);
  while (sending.path === null) {
    const begin = sending.sent;
    const piece = sending.file.slice(begin, begin + PIECE);
    const headers = { "Upload-Offset": String(begin), "Content-Type": "application/offset+octet-stream" };
    const isLast = begin + piece.size >= sending.size;
    const answer = await exchange(sending, "PATCH", sending.url, headers, piece, (sent) => {
      sending.sent = begin + sent;
      sending.reason = isLast && sent === piece.size ? "Being looked at…" : "";
      tell(sending);
    });
    take(sending, answer);
  }
  sending.state = "done";
  sending.reason = "";
  forget(sending);
  tell(sending);
}

/** Where it was, or a new beginning. */
async function find(sending) {
  sending.url ??= recall(sending);
  if (sending.url) {
    try {
      take(sending, await exchange(sending, "HEAD", sending.url));
      return;
    } catch (error) {
      if (error.status !== 404) throw error;
      sending.url = null;
    }
  }
  const name = btoa(String.fromCharCode(...new TextEncoder().encode(sending.name)));
  const headers = { "Upload-Length": String(sending.size), "Upload-Metadata": `filename ${name}` };
  const answer = await exchange(sending, "POST", channelPath(sending.channel, "/uploads"), headers);
  sending.url = answer.getResponseHeader("Location");
  sending.sent = 0;
  remember(sending);
}

function take(sending, answer) {
  sending.sent = Number(answer.getResponseHeader("Upload-Offset"));
  const path = answer.getResponseHeader("Channeld-Path");
  if (path !== null) sending.path = decodeURIComponent(path);
  else if (sending.sent >= sending.size) throw new Problem(503, { detail: "It is whole, and still looked at." });
  tell(sending);
}

/** One request. Not by fetch, which tells no progress of what it sends. */
function exchange(sending, method, url, headers = {}, body = null, progress = () => {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    sending.request = request;
    request.open(method, url);
    const own = session.csrf && method !== "HEAD" ? { "X-CSRF-Token": session.csrf } : {};
    for (const [name, value] of Object.entries({ ...TUS, ...own, ...headers })) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => progress(event.loaded));
    request.addEventListener("load", () => (request.status < 400 ? resolve(request) : reject(problem(request))));
    for (const kind of ["error", "abort", "timeout"]) request.addEventListener(kind, () => reject(new Problem(0, { detail: "No connection" })));
    request.send(body);
  });
}

function problem(request) {
  let document = {};
  try {
    document = JSON.parse(request.responseText);
  } catch {
    // a HEAD has no words
  }
  return new Problem(request.status, document);
}

// -- what the next page knows ------------------------------------------------------------------------------------------

function key({ channel, file }) {
  return `${KEPT}${channel}/${file.name}/${file.size}/${file.lastModified}`;
}

function remember(sending) {
  try {
    localStorage.setItem(key(sending), sending.url);
  } catch {
    // a browser that keeps nothing: the file begins anew
  }
}

function recall(sending) {
  try {
    return localStorage.getItem(key(sending));
  } catch {
    return null;
  }
}

function forget(sending) {
  sending.url = null;
  try {
    localStorage.removeItem(key(sending));
  } catch {
    // nothing was kept
  }
}
