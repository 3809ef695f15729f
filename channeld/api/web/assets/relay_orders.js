/* What can be done with a relay, from whatever part of the place. */

import { ask, channelPath, get, post } from "./api.js";
import { h } from "./dom.js";
import { askForm, Field, select } from "./form.js";
import { complain, confirm, notice } from "./notices.js";

export function assignPath(proxy, channel) {
  return `/api/v1/proxies/${encodeURIComponent(proxy)}/channels/${encodeURIComponent(channel)}/relay`;
}

/** Start or stop it, and know it anew. */
export async function orderRun(page, store, { figures, isRelay }, action) {
  try {
    await post(isRelay ? `/api/v1/relay/${figures.config_id}/${action}` : channelPath(figures.channel, `/${action}`));
    notice(`${action === "start" ? "Starting" : "Stopping"} ${figures.name}.`, { kind: "ok" });
    await Promise.all([store.again(), page.channels.refresh(figures.channel)]);
  } catch (error) {
    complain(error);
  }
}

export async function stopRun(page, store, run) {
  const text = `${run.figures.name} goes off the air, and its viewers see no more until it is started again.`;
  if (await confirm("Stop the relay?", text, "Stop")) await orderRun(page, store, run, "stop");
}

export async function removeRelay(page, store, { proxy_id: proxy, channel_id: channel, name }) {
  const text = `${name} is relayed no more: its addresses are gone, and its viewers with them. The list keeps the channel.`;
  if (!(await confirm("Relay it no more?", text, "Relay no more"))) return false;
  try {
    await ask(assignPath(proxy, channel), { method: "DELETE" });
    notice(`${name} is relayed no more.`, { kind: "ok" });
    await Promise.all([store.again(), page.channels.load()]);
  } catch (error) {
    complain(error);
  }
  return true;
}

/** Have a channel of a list relayed by a profile, as it is titled. */
export async function relayChannel(store, proxy, { channel_id: channel, title }, profile) {
  try {
    const made = await post(assignPath(proxy, channel), { profile_id: profile });
    notice(made.refused ?? `${title} is relayed.`, made.refused ? { kind: "bad", title: "Relay refused" } : { kind: "ok" });
    await store.again();
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
}

/** Ask how it is to be relayed from now on. */
export async function changeRelay(store, { proxy_id: proxy, channel_id: channel, name }) {
  let now;
  try {
    now = await get(assignPath(proxy, channel));
  } catch (error) {
    complain(error);
    return;
  }
  const profiles = store.profiles.filter((profile) => profile.is_active || profile.id === now.profile_id);
  const fields = [
    new Field("name", "Name", h("input", { value: now.name, autocomplete: "off", maxlength: 100 }), { span: "double" }),
    new Field("profile_id", "Profile", select(profiles.map((profile) => [profile.id, profile.name]), now.profile_id), { span: "double" }),
    new Field("custom_args", "Arguments in place of the profile's", h("textarea", { class: "arguments", rows: 4, spellcheck: "false", placeholder: "the profile's own" }), { span: "wide" }),
    new Field("enabled", "Start it with the daemon", h("input", { type: "checkbox" })),
  ];
  fields[2].control.value = now.custom_args ?? "";
  fields[3].control.checked = now.enabled;
  const send = (values) => post(assignPath(proxy, channel), { ...values, profile_id: Number(values.profile_id), custom_args: values.custom_args.trim() || null });
  const made = await askForm({ title: `How ${name} is relayed`, fields, label: "Save", send, wide: true });
  if (!made) return;
  notice(`${made.name} is relayed by ${store.profile(made.profile_id)?.name ?? "its profile"}.`, { kind: "ok" });
  await store.again();
}
