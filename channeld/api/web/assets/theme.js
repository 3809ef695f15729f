/* Light or dark: as the system has it until somebody says otherwise; what was said is kept in this browser. */

const KEY = "channeld-theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set();

function said() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // a browser that keeps nothing
  }
}

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : system.matches;
}

export function toggleTheme() {
  const wanted = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = wanted;
  try {
    localStorage.setItem(KEY, wanted);
  } catch {
    // kept until the page is left
  }
  listeners.forEach((listener) => listener());
}

export function onTheme(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function startTheme() {
  const chosen = said();
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  system.addEventListener("change", () => listeners.forEach((listener) => listener()));
}
