/* The page's one clock: everything that counts seconds is told here, once a second, and nothing while nobody looks. */

const listeners = new Set();
let timer = null;

export function onTick(listener) {
  listeners.add(listener);
  listener();
  return () => listeners.delete(listener);
}

function tick() {
  for (const listener of listeners) listener();
}

function follow() {
  clearInterval(timer);
  timer = document.hidden ? null : setInterval(tick, 1000);
  if (timer) tick();
}

document.addEventListener("visibilitychange", follow);
follow();
