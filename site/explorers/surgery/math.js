// What ten seeds say together.
export { unpacked } from "../lib/packed.js";

// The q-quantile, between two neighbours where it falls between them.
export function quantile(numbers, q) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

// For each update: the middle seed, and the range in which eight of ten lie.
export function band(runs) {
  return runs[0].map((_, update) => {
    const now = runs.map((run) => run[update]);
    return { low: quantile(now, 0.1), middle: quantile(now, 0.5), high: quantile(now, 0.9) };
  });
}

// How many runs have reached a level in some update up to this one.
export function reached(runs, level, update) {
  return runs.filter((run) => run.slice(0, update + 1).some((one) => one >= level)).length;
}
