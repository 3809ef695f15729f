/* Which lines of two texts differ. Pure. */

const MAX_CELLS = 4_000_000;

/** Lines that were added or removed, in the order of the newer text. */
export function changedLines(before, after) {
  let [a, b] = [split(before), split(after)];
  let [head, tail] = [0, 0];
  const shorter = Math.min(a.length, b.length);
  while (head < shorter && a[head] === b[head]) head++;
  while (tail < shorter - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  [a, b] = [a.slice(head, a.length - tail), b.slice(head, b.length - tail)];
  const removed = a.map((text) => ({ kind: "removed", text }));
  const added = b.map((text) => ({ kind: "added", text }));
  return a.length * b.length > MAX_CELLS ? [...removed, ...added] : compared(a, b);
}

function split(text) {
  return text.replace(/\n$/, "").split(/\r?\n/);
}

/** By the longest common subsequence. */
function compared(a, b) {
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i * width + j] = a[i] === b[j] ? longest[(i + 1) * width + j + 1] + 1 : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) [i, j] = [i + 1, j + 1];
    else if (j >= b.length || (i < a.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) found.push({ kind: "removed", text: a[i++] });
    else found.push({ kind: "added", text: b[j++] });
  }
  return found;
}
