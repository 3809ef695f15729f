/* The page's way to the daemon. Rule: every request of the page goes through here, so that sign-in, CSRF and errors are in one place. */

export const session = { name: null, role: null, csrf: null, media_token: null };
const RANKS = { viewer: 0, operator: 1, admin: 2 };
let onSignedOut = () => {};

/** What the daemon refused, as its problem document says it. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `The daemon answered ${status}.`);
    this.status = status;
    this.document = document;
    this.title = document.title || "Refused";
  }
}

/** The daemon did not answer at all. */
export class Unreachable extends Error {
  constructor() {
    super("The daemon does not answer. What you did was not sent; try again when the connection is back.");
    this.status = 0;
    this.title = "No connection";
  }
}

export function mayEdit() {
  return (RANKS[session.role] ?? -1) >= RANKS.operator;
}

export function mayAdminister() {
  return session.role === "admin";
}

export function whenSignedOut(tell) {
  onSignedOut = tell;
}

export function adopt(found) {
  Object.assign(session, found);
}

/** One request; gives the Response when it is good. Raises Problem or Unreachable. */
export async function ask(path, { method = "GET", body, text, match, accept = "application/json", signal, quiet = false } = {}) {
  const headers = { Accept: accept };
  if (session.csrf && method !== "GET") headers["X-CSRF-Token"] = session.csrf;
  if (match !== undefined) headers["If-Match"] = match;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (text !== undefined) headers["Content-Type"] = "text/plain";
  const sent = { method, headers, signal, body: text ?? (body === undefined ? undefined : JSON.stringify(body)), cache: "no-store" };
  let response;
  try {
    response = await fetch(path, sent);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  if (response.ok) return response;
  const document = await response.json().catch(() => ({}));
  if (response.status === 401 && !quiet) onSignedOut();
  throw new Problem(response.status, document);
}

export async function get(path, options) {
  return (await ask(path, options)).json();
}

export async function post(path, body, options = {}) {
  const response = await ask(path, { method: "POST", body, ...options });
  return response.status === 204 ? null : response.json();
}

export function channelPath(channel, rest = "") {
  return `/api/v1/channels/${encodeURIComponent(channel)}${rest}`;
}

/** Where a channel's HLS is; null when it has none. The admin listener leads on to the media listener. */
export function hlsUrl(channel) {
  if (!channel.outputs.some((output) => output.type === "hls")) return null;
  const token = session.media_token ? `?token=${encodeURIComponent(session.media_token)}` : "";
  return `/hls/${encodeURIComponent(channel.id)}/index.m3u8${token}`;
}
