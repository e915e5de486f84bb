// The drawings of <rl-gae>, from the numbers of a rollout.
import { fixed } from "../lib/format.js";
import { dot, line, path, rect, scale, text } from "../lib/svg.js";
import { GOES_ON, STEPS, TERMINATED } from "./rollout.js";

export const LEFT = 40,
  RIGHT = 10;
export const columns = (width) => scale([0, STEPS + 1], [LEFT, width - RIGHT]);

// Ends of episodes, as in the handout's picture: a line for terminated, dashes for truncated.
export function walls(x, ends, top, bottom) {
  return [...ends].map((end, t) => {
    if (end === GOES_ON) return "";
    const dashes = end === TERMINATED ? "" : 'stroke-dasharray="4 3"';
    return line(x(t + 1), top, x(t + 1), bottom, "ink", `stroke-width="2" ${dashes}`);
  });
}

function frame(x, y, [low, high], title, colour) {
  return [
    line(x(0), y(0), x(STEPS + 1), y(0)),
    line(x(0), y(low), x(0), y(high)),
    ...[low, high].map((at) =>
      text(x(0) - 6, y(at) + 5, fixed(at, at % 1 ? 1 : 0), "faint", "end"),
    ),
    text(x(0) + 4, y(high) - 8, title, colour, "start"),
  ];
}

export function rewardPanel(x, y, range, { r, ends, step }) {
  const bars = r.map((one, t) =>
    rect(x(t + 0.22), y(one), x(t + 0.78), y(0), "reward", 'opacity="0.45"'),
  );
  const chosen = rect(x(step), y(range[1]), x(step + 1), y(range[0]), "reward", 'opacity="0.1"');
  return [
    chosen,
    ...frame(x, y, range, "rewards r", "reward"),
    ...bars,
    ...walls(x, ends, y(range[1]), y(range[0])),
  ];
}

export function valuePanel(x, y, range, { v, ends }) {
  const names = v.map((_, t) => text(x(t + 0.5), y(range[0]) + 16, `s${t}`, "faint"));
  const stems = v.map((one, t) =>
    line(x(t + 0.5), y(0), x(t + 0.5), y(one), "value", 'stroke-width="2"'),
  );
  return [
    ...frame(x, y, range, "values V", "value"),
    ...stems,
    ...names,
    ...walls(x, ends, y(range[1]), y(range[0])),
  ];
}

export function advantagePanel(x, y, range, { r, ends, step }, { deltas, advantages, weights }) {
  const parts = [
    ...frame(x, y, range, "■ errors δ", "ink"),
    text(x(0) + 84, y(range[1]) - 8, "■ advantages Â", "advantage", "start"),
    text(x(STEPS + 1), y(range[1]) - 8, `● part of r${step}`, "reward", "end"),
  ];
  advantages.forEach((one, t) => {
    parts.push(rect(x(t + 0.14), y(deltas[t]), x(t + 0.36), y(0), "ink", 'opacity="0.5"'));
    parts.push(rect(x(t + 0.4), y(one), x(t + 0.86), y(0), "advantage", 'opacity="0.6"'));
    if (weights[t][step] !== 0)
      parts.push(dot(x(t + 0.63), y(weights[t][step] * r[step]), "reward", 4));
  });
  return [...parts, ...walls(x, ends, y(range[1]), y(range[0]))];
}

export function tradePanel(width, height, { l }, { curve, now, first }) {
  const x = scale([0, 1], [LEFT, width - RIGHT - 8]);
  const error = ({ bias, variance }) => bias ** 2 + variance;
  const high = Math.max(0.1, ...curve.map(error));
  const y = scale([0, high], [height - 30, 26]);
  const shown = (value) => curve.map((one) => [x(one.lam), y(value(one))]);
  const parts = [
    line(x(0), y(0), x(1), y(0)),
    line(x(0), y(0), x(0), y(high)),
    text(x(0) - 6, y(high) + 5, fixed(high, 1), "faint", "end"),
    text(x(0) - 6, y(0) + 4, "0", "faint", "end"),
    text(x(0), y(0) + 18, "λ = 0", "faint", "start"),
    text(x(1), y(0) + 18, "λ = 1", "faint", "end"),
    text(x(0) + 4, 14, `Â of step ${first}:  — bias²`, "value", "start"),
    text(x(0) + 148, 14, "┄ variance", "reward", "start"),
    text(x(0) + 228, 14, "— sum", "advantage", "start"),
    path(
      shown((one) => one.bias ** 2),
      "value",
      'stroke-width="2"',
    ),
    path(
      shown((one) => one.variance),
      "reward",
      'stroke-width="2" stroke-dasharray="5 4"',
    ),
    path(shown(error), "advantage", 'stroke-width="2.5"'),
    line(x(l), y(0), x(l), y(high), "ink", 'stroke-dasharray="2 3"'),
    dot(x(l), y(error(now)), "advantage"),
  ];
  return { x, y, parts };
}
