/* One profile in a form, judged by the daemon while it is written: every refusal stands at its field, and leads to its argument. */

import { ask, mayAdminister } from "./api.js";
import { h, say } from "./dom.js";
import { faultsByField, faultText, Field, select, showRefusal } from "./form.js";
import { words } from "./format.js";

const PATH = "/api/v1/relay/profiles";
const TYPED_MS = 250;
const BEGIN = "-i {input_url} -c copy -f mpegts {output_path}";
export const FORMATS = { transport_stream: "Transport stream", hls: "HLS", dash: "DASH", copy: "Transport stream, nothing encoded" };
export const HARDWARE = { none: "none", nvidia: "NVIDIA", vaapi: "VAAPI (Intel, AMD)", qsv: "Quick Sync (Intel)" };

export class ProfileForm {
  /** `profile` null: a new one. `done(saved)`, `leave()`. */
  constructor(place, profile, { done, leave }) {
    Object.assign(this, { profile, done, touched: new Set() });
    this.isReadOnly = !mayAdminister() || Boolean(profile?.is_system_default);
    this.#build(place, leave);
    if (!this.isReadOnly) this.#judge();
  }

  #build(place, leave) {
    const was = this.profile ?? { name: "", description: "", ffmpeg_args: BEGIN, output_format: "transport_stream", segment_duration: 6, max_segments: 6, input_timeout: 10, hardware_acceleration: "none", is_active: true };
    const whole = (value, min, max) => h("input", { type: "number", min, max, step: 1, value });
    const text = (value, max) => h("input", { value, maxlength: max, autocomplete: "off" });
    this.arguments = h("textarea", { class: "arguments", rows: 4, spellcheck: "false", autocapitalize: "off", maxlength: 8192 });
    this.arguments.value = was.ffmpeg_args;
    const active = h("input", { type: "checkbox" });
    active.checked = was.is_active;
    this.fields = [
      new Field("name", "Name", text(was.name, 100), { span: "double" }),
      new Field("description", "Description", text(was.description, 1000), { span: "double" }),
      new Field("ffmpeg_args", "FFmpeg's arguments", this.arguments, { span: "wide", hint: "{input_url}, {output_path}, {segment_duration} and {max_segments} stand for what the relay has." }),
      new Field("output_format", "Output format", select(Object.entries(FORMATS), was.output_format)),
      new Field("hardware_acceleration", "Hardware", select(Object.entries(HARDWARE), was.hardware_acceleration)),
      new Field("segment_duration", "Segments of (s)", whole(was.segment_duration, 1, 60)),
      new Field("max_segments", "Window (segments)", whole(was.max_segments, 2, 100)),
      new Field("input_timeout", "Silence limit (s)", whole(was.input_timeout, 1, 3600)),
      new Field("is_active", "Relays may use it", active),
    ];
    this.verdict = h("p", { class: "verdict", role: "status" });
    this.rest = h("p", { class: "form-problem", role: "alert" });
    this.taken = h("dl", { class: "source-figures", "aria-label": "What counts of the arguments" });
    this.save = h("button", { type: "submit", class: "button primary", text: "Save" });
    const back = h("button", { type: "button", class: "button", text: this.isReadOnly ? "Back" : "Cancel", on: { click: leave } });
    const title = this.profile ? this.profile.name : "New profile";
    const why = this.profile?.is_system_default ? "It comes with channeld and cannot be changed; a duplicate of it can." : mayAdminister() ? "" : "Only admins change profiles.";
    this.form = h(
      "form",
      { class: "panel profile-form", novalidate: true, "aria-label": title },
      h("h2", { class: "list-name", text: title }),
      why ? h("p", { class: "hint", text: why }) : null,
      h("div", { class: "form-fields" }, ...this.fields.map((field) => field.element)),
      this.verdict,
      this.taken,
      this.rest,
      h("div", { class: "text-orders" }, this.isReadOnly ? null : this.save, back),
    );
    if (this.isReadOnly) for (const { control } of this.fields) control.disabled = true;
    this.form.addEventListener("input", (event) => this.#typed(event.target));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save();
    });
    place.append(this.form);
  }

  get #values() {
    return Object.fromEntries(this.fields.map((field) => [field.name, field.value]));
  }

  #typed(control) {
    const field = this.fields.find((each) => each.control === control);
    if (field) this.touched.add(field.name);
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.#judge(), TYPED_MS);
  }

  async #judge() {
    this.asking?.abort();
    const mine = (this.asking = new AbortController());
    try {
      const values = this.#isUnnamed ? { ...this.#values, name: "New profile" } : this.#values;
      const answer = await ask(`${PATH}/validate`, { method: "POST", body: values, signal: mine.signal });
      const { errors, taken } = await answer.json();
      this.#show(errors, taken);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.document?.errors) this.#show(error.document.errors, null);
      else say(this.verdict, `Not checked: ${error.message}`);
    }
  }

  /** Nobody has written a name yet, which is no fault to be told before it is saved. */
  get #isUnnamed() {
    return !this.profile && !this.touched.has("name");
  }

  #show(errors, taken) {
    const faults = faultsByField(errors, this.fields.map((field) => field.name));
    for (const field of this.fields) field.show((faults.get(field.name) ?? []).map((error) => this.#shown(error)));
    this.rest.textContent = faults.get("").map(faultText).join(" ");
    this.verdict.dataset.kind = errors.length ? "bad" : "ok";
    const count = errors.length === 1 ? "One thing is" : `${errors.length} things are`;
    say(this.verdict, errors.length ? `${count} refused.` : this.#isUnnamed ? "All of it is allowed; it wants a name." : "All of it is allowed.");
    this.#showTaken(taken);
  }

  /** A refusal of an argument leads to it. */
  #shown(error) {
    const text = faultText(error);
    const place = error.position && error.field === "ffmpeg_args" ? argumentAt(this.arguments.value, error.position) : null;
    if (!place) return h("span", { text });
    const look = () => {
      this.arguments.focus();
      this.arguments.setSelectionRange(...place);
    };
    return h("button", { type: "button", class: "fault-link", text, title: "Show the argument", on: { click: look } });
  }

  #showTaken(taken) {
    const rows = Object.entries(taken ?? {}).filter(([, value]) => value !== null && !(Array.isArray(value) && !value.length));
    this.taken.replaceChildren(
      ...rows.map(([name, value]) => h("div", { class: Array.isArray(value) ? "wide" : "" }, h("dt", { text: words(name) }), h("dd", { text: Array.isArray(value) ? value.join(" ") : String(value) }))),
    );
  }

  async #save() {
    clearTimeout(this.typing);
    this.asking?.abort();
    this.fields.forEach((field) => this.touched.add(field.name));
    this.save.disabled = true;
    this.rest.textContent = "";
    const [method, path] = this.profile ? ["PUT", `${PATH}/${this.profile.id}`] : ["POST", PATH];
    try {
      const answer = await ask(path, { method, body: this.#values });
      await this.done(await answer.json());
    } catch (error) {
      showRefusal(error, this.fields, this.rest);
    } finally {
      this.save.disabled = false;
    }
  }

  close() {
    clearTimeout(this.typing);
    this.asking?.abort();
  }
}

/** Where argument number `position` (from 1) begins and ends in the text, split as a shell would; null where there is none. */
export function argumentAt(text, position) {
  let count = 0;
  for (const found of text.matchAll(/(?:"(?:\\.|[^"\\])*"?|'[^']*'?|\\.|[^\s"'\\])+/gs)) {
    count += 1;
    if (count === position) return [found.index, found.index + found[0].length];
  }
  return null;
}
