// What the state of <rl-gae> means: flags, next values, and all numbers that are shown.
import { gae, influence, tdResiduals, tradeOff } from "./math.js";

export const STEPS = 8;
export const GOES_ON = ".",
  TERMINATED = "T",
  TRUNCATED = "/";
const GRID = 50;

export function rollout({ r, v, star, ends, g, l, noise, step }) {
  const terminated = [...ends].map((end) => end === TERMINATED);
  const truncated = [...ends].map((end) => end === TRUNCATED);
  // Nobody asks for the value of the state after a termination.
  const next = [...ends].map((end, t) =>
    end === TRUNCATED ? star : end === TERMINATED ? 0 : v[t + 1],
  );
  const values = v.slice(0, STEPS);
  const flags = [terminated, truncated];
  const column = [r, values, next, ...flags];
  const sd = Number(noise);
  const first = episodeStart(ends, step);
  const at = (lam) => tradeOff(...column, g, lam, sd, first);
  const lambdas = Array.from({ length: GRID + 1 }, (_, i) => i / GRID);
  return {
    terminated,
    truncated,
    next,
    values,
    first,
    deltas: tdResiduals(r, values, next, terminated, g),
    advantages: gae(...column, g, l).advantages,
    weights: influence(...flags, g, l),
    now: at(l),
    curve: lambdas.map((lam) => ({ lam, ...at(lam) })),
  };
}

// The first step of a step's episode: nobody before it hears of that step.
function episodeStart(ends, step) {
  let first = step;
  while (first > 0 && ends[first - 1] === GOES_ON) first--;
  return first;
}

// The lambda with the smallest sum of squared bias and variance, on the grid of the curve.
export function best(curve) {
  const error = ({ bias, variance }) => bias ** 2 + variance;
  return curve.reduce((found, one) => (error(one) < error(found) - 1e-12 ? one : found));
}
