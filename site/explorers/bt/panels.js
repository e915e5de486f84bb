// The drawings of <rl-bt>.
import { fixed } from "../lib/format.js";
import { dot, line, path, rect, scale, text } from "../lib/svg.js";
import { pairLoss, probability } from "./math.js";

export const NAMES = ["A", "B", "C", "D"];
const LEFT = 40,
  RIGHT = 20;
const TOP = 26,
  ROW = 34;
const WIDEST = 6;
const POINTS = 120;
export const HEIGHT = { scores: TOP + 4 * ROW + 26, curves: 210 };
export const rowMiddle = (i) => TOP + (i + 0.5) * ROW;
export const scoreScale = ({ min, max }, width) => scale([min, max], [LEFT, width - RIGHT]);

// Fitted scores with their errors, and how the table pulls at the scores that one has chosen.
export function scorePanel(x, width, field, { state, best, errors, gradient }) {
  const parts = [
    text(LEFT, 14, "● score", "reward", "start"),
    text(LEFT + 66, 14, "— its pull", "advantage", "start"),
    text(LEFT + 140, 14, "┃ fit ± 2 errors", "value", "start"),
    line(x(0), TOP, x(0), TOP + 4 * ROW),
  ];
  for (const at of [field.min, 0, field.max])
    parts.push(text(x(at), HEIGHT.scores - 6, fixed(at, 0), "faint"));
  const inside = (value) => Math.max(field.min, Math.min(field.max, value));
  NAMES.forEach((name, i) => {
    const y = rowMiddle(i);
    const role = i === state.c ? "chosen" : i === state.o ? "rejected" : "";
    parts.push(text(LEFT - 14, y + 5, name, role ? "ink" : "faint", "end"));
    parts.push(text(width - 4, y - 8, role, "faint", "end"));
    if (best) {
      const [low, high] = [-2, 2].map((k) => x(inside(best[i] + k * errors.scores[i])));
      parts.push(rect(low, y - 6, high, y + 6, "value", 'opacity="0.25"'));
      const at = x(inside(best[i]));
      parts.push(line(at, y - 10, at, y + 10, "value", 'stroke-width="3"'));
    }
    const end = inside(state.r[i] + gradient[i] / 10);
    parts.push(line(x(state.r[i]), y, x(end), y, "advantage", 'stroke-width="4"'));
    parts.push(dot(x(end), y, "advantage", 3.5));
  });
  return parts;
}

// Probability and loss of one choice against the difference of the two scores.
export function curvePanel(width, { state, gap, pair, share }) {
  const x = scale([-WIDEST, WIDEST], [LEFT, width - RIGHT]);
  const bottom = HEIGHT.curves - 24;
  const p = scale([0, 1], [bottom, 40]);
  const high = 6;
  const y = scale([0, high], [bottom, 40]);
  const gaps = Array.from({ length: POINTS + 1 }, (_, i) => WIDEST * ((2 * i) / POINTS - 1));
  const cost = (one) => pairLoss(one, 0, state.m, state.s).loss;
  const at = Math.max(-WIDEST, Math.min(WIDEST, gap));
  const slope = [at - 1, at + 1].map((one) => [
    x(one),
    y(pair.loss + pair.gradient * (one - gap)),
  ]);
  const parts = [
    line(x(-WIDEST), bottom, x(WIDEST), bottom),
    line(x(at), bottom, x(at), 40, "faint", 'stroke-dasharray="2 3"'),
    text(LEFT, 14, "— probability, 0 to 1", "ratio", "start"),
    text(LEFT + 146, 14, `— loss, 0 to ${high}`, "kl", "start"),
    text(LEFT, 32, "— slope of the loss", "advantage", "start"),
    ...[-WIDEST, 0, WIDEST].map((one) => text(x(one), HEIGHT.curves - 6, fixed(one, 0), "faint")),
  ];
  const drawn = (value) => gaps.map((one) => [x(one), value(one)]);
  const cut = drawn((one) => y(cost(one))).filter(([, height]) => height >= 38);
  parts.push(path(cut, "kl", 'stroke-width="2"'));
  const chances = drawn((one) => p(probability(one, 0)));
  parts.push(path(chances, "ratio", 'stroke-width="2"'));
  parts.push(path(slope, "advantage", 'stroke-width="3"'));
  parts.push(dot(x(at), p(probability(gap, 0)), "ratio"), dot(x(at), y(pair.loss), "kl"));
  if (share !== undefined) {
    parts.push(line(x(-WIDEST), p(share), x(WIDEST), p(share), "faint", 'stroke-dasharray="6 4"'));
    parts.push(text(x(-WIDEST), p(share) - 4, "┄ share of games", "faint", "start"));
  }
  return parts;
}
