/* Profiles: how FFmpeg relays. Those that come with channeld are read and copied, a person's own are changed and deleted, too. */

import { ask, mayAdminister, post } from "./api.js";
import { button, h, say } from "./dom.js";
import { askForm, Field } from "./form.js";
import { plural } from "./format.js";
import { complain, confirm, notice } from "./notices.js";
import { FORMATS, HARDWARE, ProfileForm } from "./relay_profile_form.js";

export const PROFILES_PATH = "/api/v1/relay/profiles";
const NEW = "new";

export function openProfiles(place, page, store, [wanted]) {
  if (wanted === NEW) return openForm(place, page, store, null);
  if (wanted !== undefined) return openForm(place, page, store, Number(wanted));
  const view = new Profiles(place, page, store);
  return view;
}

class Profiles {
  constructor(place, page, store) {
    Object.assign(this, { page, store });
    this.count = h("p", { class: "wall-count", role: "status" });
    const make = mayAdminister() ? button("plus", "New profile…", () => page.go(`relay/profiles/${NEW}`), { shown: true, kind: "primary" }) : null;
    this.list = h("ul", { class: "profiles", "aria-label": "Profiles" });
    place.append(h("div", { class: "toolbar" }, this.count, h("span", { class: "gap" }), make), this.list);
    store.loadProfiles();
    this.renew();
  }

  stays([wanted]) {
    return wanted === undefined;
  }

  /** With the figures: who uses which. */
  renew() {
    const used = new Map();
    for (const { profile_id: id } of this.store.metrics?.relays ?? []) used.set(id, (used.get(id) ?? 0) + 1);
    const { profiles } = this.store;
    say(this.count, plural(profiles.length, "profile"));
    const key = JSON.stringify([profiles, [...used]]);
    if (key === this.key) return;
    this.key = key;
    const held = document.activeElement?.dataset?.order;
    this.list.replaceChildren(...profiles.map((profile) => this.#item(profile, used.get(profile.id) ?? 0)));
    if (held) this.list.querySelector(`[data-order="${CSS.escape(held)}"]`)?.focus();
  }

  #item(profile, used) {
    const named = (order, label) => ({ "aria-label": `${label} ${profile.name}`, title: label, data: { order: `${order} ${profile.id}` } });
    const isOwn = !profile.is_system_default;
    const orders = [];
    if (mayAdminister()) {
      orders.push(button("copy", "Duplicate", () => this.#duplicate(profile), named("copy", "Duplicate")));
      if (isOwn) orders.push(button("trash", "Delete", () => this.#remove(profile), named("remove", "Delete")));
    }
    const facts = [FORMATS[profile.output_format] ?? profile.output_format];
    if (["hls", "dash"].includes(profile.output_format)) facts.push(`${profile.max_segments} segments of ${profile.segment_duration} s`);
    if (profile.hardware_acceleration !== "none") facts.push(HARDWARE[profile.hardware_acceleration] ?? profile.hardware_acceleration);
    facts.push(used ? `used by ${plural(used, "relay")}` : "not used");
    return h(
      "li",
      { class: "profile", data: { profile: String(profile.id) } },
      h(
        "div",
        { class: "upstream-what" },
        h("p", {}, h("a", { class: "run-name", href: `#/relay/profiles/${profile.id}`, text: profile.name }), isOwn ? null : h("span", { class: "chip idle" }, h("i"), "comes with channeld"), profile.is_active ? null : h("span", { class: "tag", text: "not active" })),
        profile.description ? h("p", { class: "hint", text: profile.description }) : null,
        h("p", { class: "hint", text: facts.join(" · ") }),
        h("code", { class: "profile-arguments", text: profile.ffmpeg_args }),
      ),
      h("div", { class: "run-orders" }, ...orders),
    );
  }

  async #duplicate(profile) {
    const name = new Field("name", "Name of the copy", h("input", { value: `${profile.name} (copy)`.slice(0, 100), autocomplete: "off", maxlength: 100 }), { span: "wide" });
    const made = await askForm({ title: `Duplicate ${profile.name}`, fields: [name], label: "Duplicate", send: (values) => post(`${PROFILES_PATH}/${profile.id}/copy`, values) });
    if (!made) return;
    notice(`${made.name} is made.`, { kind: "ok" });
    await this.store.loadProfiles();
    this.page.go(`relay/profiles/${made.id}`);
  }

  async #remove(profile) {
    if (!(await confirm(`Delete ${profile.name}?`, "The profile is forgotten. One that a relay uses cannot be deleted.", "Delete"))) return;
    try {
      await ask(`${PROFILES_PATH}/${profile.id}`, { method: "DELETE" });
      notice(`${profile.name} is deleted.`, { kind: "ok" });
    } catch (error) {
      complain(error);
    }
    await this.store.loadProfiles();
  }

  close() {}
}

/** One profile, or a new one where `id` is null. The form stays as it is while figures are renewed. */
function openForm(place, page, store, id) {
  let form = null;
  const renew = () => {
    if (form || (id !== null && !store.profile(id))) return;
    place.replaceChildren();
    form = new ProfileForm(place, id === null ? null : store.profile(id), {
      done: async (saved) => {
        notice(`${saved.name} is kept.`, { kind: "ok" });
        await store.loadProfiles();
        page.go("relay/profiles");
      },
      leave: () => page.go("relay/profiles"),
    });
  };
  renew();
  if (!form) place.append(h("p", { class: "empty", role: "status", text: "There is no such profile." }));
  return { renew, stays: ([wanted]) => wanted === (id === null ? NEW : String(id)), close: () => form?.close() };
}
