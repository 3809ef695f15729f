/* Times, lengths and words as people read them. Pure. */

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY_CLOCK = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DATE_CLOCK = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

export const STATES = {
  on_air: "On air",
  filler: "Filler",
  starting: "Starting",
  stopping: "Stopping",
  stopped: "Stopped",
  failed: "Failed",
};

/** Seconds as 0:07, 12:30 or 1:02:03. */
export function length(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = String(rest).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** A moment (ISO): its clock time today, with the day or date when it is further off. */
export function moment(iso) {
  if (!iso) return "–";
  const at = new Date(iso);
  const days = Math.abs(at - Date.now()) / 86_400_000;
  if (days < 0.5 || at.toDateString() === new Date().toDateString()) return CLOCK.format(at);
  return (days < 6 ? DAY_CLOCK : DATE_CLOCK).format(at);
}

export function fullMoment(iso) {
  return iso ? FULL.format(new Date(iso)) : "–";
}

/** How long a thing takes, in words: 40 s, 12 min, 3 h 20 min. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "unknown";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3));
  const value = count / 1000 ** power;
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** What an entry is called: its title, else the last part of its path. */
export function nameOf(entry) {
  if (!entry) return "–";
  return entry.title || (entry.path || "").split("/").filter(Boolean).at(-1) || "–";
}

/** An enum's value as words. */
export function words(value) {
  const text = String(value).replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}
