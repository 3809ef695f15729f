/* How relays and their sources stand, in words. Pure. */

import { bytes, length, moment, STATES, words } from "./format.js";

const SOURCE_KINDS = { live: "ok", lost: "bad", connecting: "warn", standby: "idle" };
const TOLD = new Set(["name", "title", "url", "state", "since", "reason", "detail", "on_air", "mode", "why", "attempts", "bytes"]);
const UNITS = [
  [/_bytes$/, (value) => bytes(value)],
  [/_(bps|bits)$/, (value) => bits(value)],
  [/_ms$/, (value) => `${rounded(value)} ms`],
  [/_(s|seconds)$/, (value) => `${rounded(value)} s`],
  [/_percent$/, (value) => `${rounded(value)} %`],
  [/_(fps)$/, (value) => `${rounded(value)} fps`],
];

/** Bits a second. */
export function bits(rate) {
  if (rate === null || rate === undefined) return "–";
  if (rate < 1_000_000) return `${Math.round(rate / 1000)} kb/s`;
  return `${(rate / 1_000_000).toFixed(rate < 10_000_000 ? 2 : 1)} Mb/s`;
}

/** A length that grows: up to a day as a clock, then in days. */
export function age(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  return seconds < 86_400 ? length(seconds) : `${Math.floor(seconds / 86_400)} d ${Math.floor(seconds / 3600) % 24} h`;
}

export function sourceKind(source) {
  return SOURCE_KINDS[source.state] ?? "idle";
}

/** Why a source is lost; empty for one that is not. */
export function reasonOf(source) {
  if (!source.reason) return "";
  return `${words(source.reason)}${source.detail ? `: ${source.detail}` : ""}`;
}

/** How a relay stands: `kind` ok, warn, bad or idle, `word` in short, `why` in full where something is wrong. */
export function standing({ figures, channel }) {
  if (figures.refused) return { kind: "bad", word: "Refused", why: figures.refused };
  const state = channel?.state ?? figures.state;
  if (["stopped", "stopping"].includes(state)) return { kind: "idle", word: STATES[state], why: "" };
  if (!channel || ["failed", "starting"].includes(state)) {
    return { kind: state === "failed" ? "bad" : "warn", word: STATES[state] ?? words(state), why: channel?.last_error ?? "" };
  }
  if (channel.override) return { kind: "warn", word: "Overridden", why: `“${channel.override.title}” airs in place of everything.` };
  return bySources(channel.sources ?? []);
}

function bySources(sources) {
  const [first] = sources;
  const airs = sources.find((source) => source.on_air);
  const lost = sources.find((source) => source.state === "lost");
  if (airs && airs === first) return { kind: "ok", word: "Live", why: "" };
  if (airs) return { kind: "warn", word: `On ${airs.name}`, why: first.reason ? `${first.name}: ${reasonOf(first)}` : "" };
  if (lost) return { kind: "bad", word: "Lost", why: `${reasonOf(lost)}${lost.since ? `, since ${moment(lost.since)}` : ""}` };
  const coming = sources.find((source) => source.state === "live");
  if (coming) return { kind: "warn", word: "Not on air", why: `${coming.name} is live, and does not air yet.` };
  if (sources.some((source) => source.state === "connecting")) return { kind: "warn", word: "Connecting", why: "" };
  return { kind: "idle", word: "Standby", why: "It is connected to when somebody watches." };
}

/** What a source is told to do besides: every figure that the daemon tells, also those that this page does not know. */
export function sourceFigures(source) {
  const found = [];
  const add = (name, value) => {
    if (value === null || value === undefined || value === "" || Array.isArray(value)) return;
    if (typeof value === "object") Object.entries(value).forEach(([key, each]) => add(key, each));
    else if (typeof value === "number") found.push([label(name), measured(name, value)]);
    else found.push([label(name), typeof value === "boolean" ? (value ? "yes" : "no") : String(value)]);
  };
  for (const [name, value] of Object.entries(source)) if (!TOLD.has(name)) add(name, value);
  return found;
}

function label(name) {
  return words(name.replace(/_(bytes|bps|bits|ms|s|seconds|percent|fps)$/, ""));
}

function measured(name, value) {
  const unit = UNITS.find(([pattern]) => pattern.test(name));
  return unit ? unit[1](value) : rounded(value);
}

function rounded(value) {
  return Number.isInteger(value) ? value.toLocaleString() : value.toFixed(Math.abs(value) < 10 ? 2 : 1);
}
