/* The page: who is signed in, what is shown, and the line to the daemon. Views are modules of their own, each opened by its place. */

import { adopt, ask, get, session, whenSignedOut } from "./api.js";
import { prefetchTabs } from "./channel.js";
import { Channels } from "./channels.js";
import { onTick } from "./clock.js";
import { button, h, icon, say } from "./dom.js";
import { plural } from "./format.js";
import { Live } from "./live.js";
import { complain, notice } from "./notices.js";
import { present, signIn } from "./signin.js";
import { isDark, onTheme, startTheme, toggleTheme } from "./theme.js";

const VIEWS = {
  "": () => import("./wall.js"),
  channel: () => import("./channel.js"),
  "as-run": () => import("./as_run.js"),
  relay: () => import("./relay.js"),
  library: () => import("./library.js"),
  events: () => import("./events.js"),
  settings: () => import("./settings.js"),
};
const PLACES = [["", "Channels"], ["relay", "Relays"], ["as-run", "As-run"], ["library", "Library"], ["events", "Events"], ["settings", "Settings"]];
const LOST_SHOWN_MS = 1500;
const PREFETCH_MS = 1500;

/** What every view is given. `on(listener)`: each event of the daemon; `alarms`: what is wrong just now. */
const page = { channels: new Channels(), alarms: [], on, go };
const eventListeners = new Set();
const links = new Map();
let live = null;
let close = () => {};
let turn = 0;
let isSigningIn = false;
let lostTimer = null;

function on(listener) {
  eventListeners.add(listener);
  return () => eventListeners.delete(listener);
}

function go(place) {
  location.hash = `#/${place}`;
}

// -- the frame ---------------------------------------------------------------------------------------------------------

const line = h("button", { type: "button", class: "line", "data-state": "open" }, h("i"), h("span", { text: "Live" }));
const alarmLink = h("a", { class: "alarm-link", href: "#/events", hidden: true }, icon("warn"), h("span"));
const lost = h("div", { class: "no-line", role: "alert", hidden: true });

function buildFrame() {
  const places = PLACES.map(([place, label]) => {
    const link = h("a", { href: `#/${place}`, text: label });
    links.set(place, link);
    return h("li", {}, link);
  });
  const theme = button(isDark() ? "sun" : "moon", "Light or dark", toggleTheme);
  onTheme(() => theme.firstChild.replaceWith(icon(isDark() ? "sun" : "moon")));
  const who = h("span", { class: "who", id: "who" });
  const shell = document.getElementById("shell");
  shell.replaceChildren(
    h(
      "header",
      { class: "bar" },
      h("a", { class: "wordmark", href: "#/", text: "channeld" }),
      h("nav", { "aria-label": "Places" }, h("ul", {}, ...places)),
      h("div", { class: "bar-end" }, alarmLink, line, theme, who, button("out", "Sign out", signOut)),
    ),
    lost,
  );
  line.title = "Events come as they happen";
  line.addEventListener("click", () => live?.wake?.());
  shell.hidden = false;
}

function showWho() {
  say(document.getElementById("who"), `${session.name} · ${session.role}`);
  document.documentElement.dataset.role = session.role;
}

function showLine(state) {
  clearTimeout(lostTimer);
  line.dataset.state = state;
  say(line.lastChild, state === "open" ? "Live" : "Reconnecting");
  if (state === "open") {
    if (!lost.hidden) notice("The connection is back.", { kind: "ok" });
    lost.hidden = true;
  } else {
    lostTimer = setTimeout(() => {
      lost.textContent = "No connection to the daemon. What is shown may be old; channels go on without it. Trying again…";
      lost.hidden = false;
    }, LOST_SHOWN_MS);
  }
}

async function showAlarms() {
  page.alarms = (await get("/api/v1/status")).alarms;
  alarmLink.hidden = page.alarms.length === 0;
  alarmLink.dataset.level = page.alarms.some((alarm) => alarm.level === "critical") ? "critical" : "warning";
  say(alarmLink.lastChild, plural(page.alarms.length, "alarm"));
}

// -- where we are ------------------------------------------------------------------------------------------------------

async function open() {
  const mine = ++turn;
  const [, place = "", ...rest] = location.hash.split("/").map(decodeURIComponent);
  if (close.stays?.(place, rest)) return;
  close();
  close = () => {};
  const name = place in VIEWS ? place : "";
  for (const [at, link] of links) {
    if (at === (name === "channel" ? "" : name)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const main = document.getElementById("main");
  try {
    const view = await VIEWS[name]();
    if (mine !== turn) return;
    main.replaceChildren();
    main.className = `view-${name || "wall"}`;
    close = view.open(main, page, rest) ?? (() => {});
  } catch (error) {
    complain(error);
  }
}

// -- signing in and out, and the line to the daemon ----------------------------------------------------------------------

async function enter(reason) {
  if (isSigningIn) return;
  isSigningIn = true;
  live?.stop();
  await signIn(reason);
  isSigningIn = false;
  await begin();
}

async function begin() {
  showWho();
  await Promise.all([page.channels.load(), showAlarms()]).catch(complain);
  live ??= new Live({ tell: take, turn: turned, resync });
  live.start();
  if (!document.getElementById("main").className) await open();
  else resync();
  // What is not shown yet is fetched now: it must not be missing when the daemon is away for a moment.
  setTimeout(() => Promise.all([...Object.values(VIEWS).map((load) => load()), prefetchTabs()]).catch(() => {}), PREFETCH_MS);
}

function take(event) {
  page.channels.take(event);
  if (event.kind === "alarm") showAlarms().catch(() => {});
  tellViews(event);
}

/** A view that fails is no reason to lose the line. */
function tellViews(event) {
  for (const listener of eventListeners) {
    try {
      listener(event);
    } catch (error) {
      reportError(error);
    }
  }
}

function turned(state) {
  if (state === "signed-out") enter("Your session has ended. Sign in to go on where you were.");
  else showLine(state);
}

/** After a gap: ask for all that is shown. Views hear of it as an event of the page's own. */
function resync() {
  page.channels.load().catch(() => {});
  showAlarms().catch(() => {});
  tellViews({ kind: "page_resync" });
}

async function signOut() {
  live?.stop();
  try {
    await ask("/api/v1/session", { method: "DELETE" });
  } catch (error) {
    complain(error);
    return;
  }
  location.hash = "#/";
  location.reload();
}

async function start() {
  // The places of the page stand behind its `#`; this one has an address of its own besides.
  if (location.pathname === "/relay") history.replaceState(null, "", `/${location.hash || "#/relay"}`);
  startTheme();
  buildFrame();
  addEventListener("hashchange", open);
  whenSignedOut(() => enter("Your session has ended. Sign in to go on where you were."));
  onTick(() => page.channels.refreshOld());
  let found;
  try {
    found = await present();
  } catch (error) {
    showLine("lost");
    setTimeout(() => location.reload(), 3000);
    return;
  }
  if (found === null) {
    await enter("");
    return;
  }
  adopt(found);
  await begin();
}

start();
