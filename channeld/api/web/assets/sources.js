/* A channel's live sources, and what is ordered in place of everything. */

import { ask, channelPath, mayEdit } from "./api.js";
import { h, icon } from "./dom.js";
import { moment, words } from "./format.js";
import { choose, complain, notice } from "./notices.js";

const KINDS = { live: "ok", lost: "bad", connecting: "warn", standby: "idle" };

/** The list of sources; empty where a channel has none. */
export function sourceItems(channel) {
  return (channel.sources ?? []).map((source) => {
    const facts = [source.on_air ? "on air" : words(source.state)];
    if (source.since) facts.push(`since ${moment(source.since)}`);
    if (source.mode && source.state === "live") facts.push(source.mode === "copy" ? "copied" : "transcoded");
    if (source.attempts > 1) facts.push(`${source.attempts} connections`);
    facts.push(...figureWords(source.figures));
    return h(
      "li",
      {},
      h("span", { class: `chip ${KINDS[source.state] ?? "idle"}` }, h("i"), source.name),
      h("span", { class: "output-word", text: facts.join(" · ") }),
      h("span", { class: "output-url", text: source.url === "pattern:" ? "the test pattern" : source.url, title: source.url }),
      source.reason ? h("span", { class: "output-trouble", text: `${words(source.reason)}${source.detail ? `: ${source.detail}` : ""}` }) : null,
    );
  });
}

/** How well a source comes in: what stands out, and how far the air is behind it. */
function figureWords(figures) {
  if (!figures) return [];
  const lost = (figures.losses.rtp_lost ?? 0) + (figures.losses.packet_damaged ?? 0);
  const told = [];
  if (figures.bits_per_s) told.push(`${(figures.bits_per_s / 1e6).toFixed(1)} Mb/s`);
  if (lost) told.push(`${lost} packets lost`);
  if (figures.jitter_ms !== null) told.push(`jitter ${Math.round(figures.jitter_ms)} ms`);
  if (figures.air_delay_s !== null) told.push(`${figures.air_delay_s.toFixed(1)} s behind`);
  return told;
}

/** What is ordered, with a way to lift it; null where nothing is. */
export function overrideBar(channel) {
  const order = channel.override;
  if (!order) return null;
  const until = order.until ? ` until ${moment(order.until)}` : order.once ? " once" : " until it is lifted";
  const lift = h("button", { type: "button", class: "button", text: "Lift", on: { click: () => send(channel, "DELETE") } });
  return [icon("warn"), h("p", {}, h("strong", { text: `“${order.title}” airs in place of everything` }), `${until}.`), mayEdit() ? lift : null].filter(Boolean);
}

/** Ask what is to air in place of everything, and order it. */
export async function orderOverride(channel) {
  const text = h("input", { type: "text", maxlength: "80", id: "override-text", required: true, autocomplete: "off" });
  const minutes = h("input", { type: "number", min: "1", max: "10000", id: "override-minutes", placeholder: "until it is lifted" });
  const body = [
    h("p", { text: "A slate with this text airs at once; the list waits where it is." }),
    h("label", { for: "override-text", text: "Text" }),
    text,
    h("label", { for: "override-minutes", text: "Minutes" }),
    minutes,
  ];
  const answers = [
    { label: "Cancel", value: "" },
    { label: "Air it", value: "yes", kind: "danger" },
  ];
  if ((await choose({ title: `In place of all that ${channel.name} airs`, body, answers })) !== "yes" || !text.value.trim()) return;
  const seconds = minutes.value ? { seconds: Number(minutes.value) * 60 } : {};
  await send(channel, "PUT", { text: text.value.trim(), ...seconds });
}

async function send(channel, method, body) {
  try {
    await ask(`${channelPath(channel.id)}/override`, { method, body });
    notice(method === "PUT" ? "It airs as soon as its slate is made." : "What would air without it airs again.", { kind: "ok" });
  } catch (error) {
    complain(error);
  }
}
