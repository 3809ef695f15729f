/* Elements from plain values. Rule of the whole page: text that comes from outside becomes text nodes, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/** An element: `props` are properties and attributes, `on` listeners, `data` dataset; children are nodes, texts, or nothing. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) set(element, name, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function set(element, name, value) {
  if (value === undefined || value === null) return;
  if (name === "on") for (const [kind, listener] of Object.entries(value)) element.addEventListener(kind, listener);
  else if (name === "data") Object.assign(element.dataset, value);
  else if (name === "class") element.className = value;
  else if (name === "text") element.textContent = value;
  else if (typeof value === "boolean" && !name.startsWith("aria-")) element.toggleAttribute(name, value);
  else element.setAttribute(name, String(value));
}

/** Write a text only where it differs: most ticks of the clock change nothing. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function toggle(element, name, wanted) {
  if (element.hasAttribute(name) !== wanted) element.toggleAttribute(name, wanted);
}

const PATHS = {
  play: "M7 5v14l11-7z",
  pause: "M7 5h4v14H7zM13 5h4v14h-4z",
  stop: "M6 6h12v12H6z",
  skip: "M5 5v14l9-7zM15 5h3v14h-3z",
  next: "M4 6h10v2H4zM4 11h10v2H4zM4 16h6v2H4zM14 12v8l6-4z",
  restart: "M12 5a7 7 0 1 0 7 7h-2a5 5 0 1 1-5-5v3l5-4-5-4z",
  copy: "M8 3h11a1 1 0 0 1 1 1v12h-2V5H8zM4 7h11a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1zM6 9v10h8V9z",
  trash: "M9 3h6l1 2h4v2H4V5h4zM6 9h12l-1 12H7z",
  edit: "M4 16.5V20h3.5L18 9.5 14.5 6zM20 7.5 16.5 4l-1.3 1.3 3.5 3.5z",
  grip: "M8 5h3v3H8zM13 5h3v3h-3zM8 10.5h3v3H8zM13 10.5h3v3h-3zM8 16h3v3H8zM13 16h3v3h-3z",
  more: "M5 10.5h3v3H5zM10.5 10.5h3v3h-3zM16 10.5h3v3h-3z",
  undo: "M9 5v3h5a6 6 0 0 1 0 12H8v-2h6a4 4 0 0 0 0-8H9v3L4 9z",
  plus: "M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z",
  close: "M6.4 5 12 10.6 17.6 5 19 6.4 13.4 12l5.6 5.6-1.4 1.4-5.6-5.6L6.4 19 5 17.6 10.6 12 5 6.4z",
  up: "m12 6 7 8h-4v5H9v-5H5z",
  down: "m12 18-7-8h4V5h6v5h4z",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM11 2h2v3h-2zM11 19h2v3h-2zM2 11h3v2H2zM19 11h3v2h-3zM5.6 4.2l2.1 2.1-1.4 1.4-2.1-2.1zM17.7 16.3l2.1 2.1-1.4 1.4-2.1-2.1zM4.2 18.4l2.1-2.1 1.4 1.4-2.1 2.1zM16.3 6.3l2.1-2.1 1.4 1.4-2.1 2.1z",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  sound: "M4 9h4l5-4v14l-5-4H4zM16 8c2 2 2 6 0 8l1.4 1.4c3-3 3-7.8 0-10.8z",
  mute: "M4 9h4l5-4v14l-5-4H4zM16 9.4l1.4-1.4 2.1 2.6 2.1-2.6L23 9.4 20.900 12l2.1 2.6-1.4 1.4-2.1-2.6-2.1 2.6-1.4-1.4 2.1-2.6z",
  warn: "M12 3 22 20H2zM11 9h2v6h-2zM11 16.5h2v2h-2z",
  out: "M5 4h8v2H7v12h6v2H5zM15 8l5 4-5 4v-3H10v-2h5z",
  cards: "M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z",
  rows: "M4 5h16v3H4zM4 10.5h16v3H4zM4 16h16v3H4z",
};

/** A picture of the page's own set, unseen by screen readers: the control beside it has the name. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  path.setAttribute("fill-rule", "evenodd");
  svg.append(path);
  return svg;
}

/** A button with a picture; `label` is its name and its tip, shown beside the picture when `shown`. */
export function button(name, label, on, { shown = false, kind = "", ...props } = {}) {
  const word = shown ? h("span", { text: label }) : null;
  return h(
    "button",
    { type: "button", class: `button ${kind} ${shown ? "" : "bare"}`.trim(), title: shown ? null : label, "aria-label": shown ? null : label, on: { click: on }, ...props },
    icon(name),
    word,
  );
}
