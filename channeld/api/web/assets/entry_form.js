/* Forms for one entry: a new one, and the change of one that is there. */

import { get } from "./api.js";
import { h } from "./dom.js";
import { choose } from "./notices.js";

const MAX_OFFERED = 200;
let known = null;

/** The clips that the daemon knows, by their paths; asked for once. */
function clips() {
  known ??= get("/api/v1/clips?limit=1000").then(
    (found) => found.map((clip) => clip.source).filter(Boolean),
    () => [],
  );
  return known;
}

/** A path with completion; `add(entry)` gives whether it was taken, `paths()` those that stand in the list. */
export function addForm({ add, paths }) {
  const offers = h("datalist", { id: "paths" });
  const path = h("input", { id: "add-path", name: "path", required: true, list: "paths", autocomplete: "off", spellcheck: "false", placeholder: "films/a.mp4 or https://…" });
  const title = h("input", { id: "add-title", name: "title", autocomplete: "off", placeholder: "as in the file" });
  const place = h("select", { id: "add-place" }, h("option", { value: "", text: "At the end" }), h("option", { value: "top", text: "At the top" }));
  path.addEventListener("focus", async () => {
    const all = [...new Set([...paths(), ...(await clips())])].slice(0, MAX_OFFERED);
    offers.replaceChildren(...all.map((value) => h("option", { value })));
  });
  const field = (label, input) => h("label", {}, h("span", { text: label }), input);
  const form = h("form", { class: "add-form" }, field("Path", path), field("Title", title), field("Where", place), h("button", { type: "submit", class: "button primary", text: "Add" }), offers);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const entry = { path: path.value.trim() };
    if (title.value.trim()) entry.title = title.value.trim();
    const isTaken = await add(entry, place.value);
    if (isTaken) {
      path.value = title.value = "";
      path.focus();
    }
  });
  return form;
}

/** What is to be another thing about an entry; null when nothing. */
export async function askEntry(entry, mediaType) {
  const isYaml = mediaType === "application/yaml";
  const inputs = {
    title: h("input", { value: entry.title ?? "", autocomplete: "off" }),
    in: h("input", { value: entry.in_s ?? entry.in ?? "", inputmode: "decimal", disabled: !isYaml, placeholder: "0" }),
    out: h("input", { value: entry.out_s ?? entry.out ?? "", inputmode: "decimal", disabled: !isYaml, placeholder: "the clip's end" }),
    repeat: h("input", { value: entry.repeat ?? 1, type: "number", min: 1, max: 100000, disabled: !isYaml }),
  };
  const labels = { title: "Title", in: "Begin at (s)", out: "End at (s)", repeat: "Repeat" };
  const fields = Object.entries(inputs).map(([name, input]) => h("label", {}, h("span", { text: labels[name] }), input));
  const hint = isYaml ? null : h("p", { class: "hint", text: "Cuts and repeats can stand in .yaml playlists only." });
  const body = [h("p", { class: "row-path", text: entry.path }), h("div", { class: "fields" }, ...fields), hint].filter(Boolean);
  const answer = await choose({ title: "Edit the entry", body, answers: [{ label: "Cancel", value: "" }, { label: "Save", value: "save", kind: "primary" }] });
  if (answer !== "save") return null;
  const wanted = {};
  if (inputs.title.value !== (entry.title ?? "")) wanted.title = inputs.title.value.trim() || null;
  for (const name of ["in", "out"]) {
    const before = String(entry[`${name}_s`] ?? entry[name] ?? "");
    if (inputs[name].value !== before) wanted[name] = inputs[name].value.trim() || null; // the daemon reads times in every form
  }
  if (Number(inputs.repeat.value) !== (entry.repeat ?? 1)) wanted.repeat = Number(inputs.repeat.value);
  return Object.keys(wanted).length ? wanted : null;
}
