// The drawings of <rl-internals>.
import { fixed } from "../lib/format.js";
import { dot, line, path, rect, scale, text } from "../lib/svg.js";

const LEFT = 44;
const RIGHT = 14;
const RETURN = { top: 22, bottom: 118, high: 500 };
const NORM = { top: 152, bottom: 218 };
const LEAN = { top: 226, bottom: 286 };
export const HEIGHT = { run: 244, values: 214, angles: 312, unit: 22 };

// Return and gradient norm against steps, on one axis.
export function runPanel(width, moments, now) {
  const x = scale([0, moments.at(-1).step], [LEFT, width - RIGHT]);
  const y = scale([0, RETURN.high], [RETURN.bottom, RETURN.top]);
  const largest = Math.max(...moments.map((one) => one.norm));
  const z = scale([0, largest], [NORM.bottom, NORM.top]);
  const along = (up, pick) => moments.map((one) => [x(one.step), up(pick(one))]);
  const parts = [
    line(x(0), y(0), width - RIGHT, y(0)),
    line(x(0), z(0), width - RIGHT, z(0)),
    text(LEFT - 6, y(RETURN.high) + 5, RETURN.high, "faint", "end"),
    text(LEFT - 6, y(0) + 4, "0", "faint", "end"),
    text(LEFT - 6, z(largest) + 5, fixed(largest, 0), "faint", "end"),
    text(LEFT + 4, RETURN.top - 8, "return of an episode", "reward", "start"),
    text(LEFT + 4, NORM.top - 8, "norm of the gradient", "ink", "start"),
    path(
      along(y, (one) => one.return),
      "reward",
      'stroke-width="2.5"',
    ),
    path(
      along(z, (one) => one.norm),
      "ink",
      'stroke-width="2"',
    ),
    line(x(now.step), RETURN.top, x(now.step), NORM.bottom, "ink", 'stroke-dasharray="2 3"'),
    dot(x(now.step), y(now.return), "reward"),
    dot(x(now.step), z(now.norm), "ink"),
  ];
  return { x, y: NORM.bottom + 14, parts };
}

export const angleScale = (width, angles) =>
  scale([angles[0] - 1, angles.at(-1) + 1], [LEFT, width - RIGHT]);

// What both actions are worth at each angle of the pole, and how often the angle was seen.
export function valuePanel(width, x, { angles, values, visits, high, at }) {
  const floor = HEIGHT.values - 22;
  const y = scale([Math.min(0, ...values.flat()), high], [floor, 34]);
  const most = Math.max(...visits);
  const bars = visits.map((count, i) => {
    const tall = (count / most) * (floor - 44);
    return rect(x(angles[i] - 0.4), floor - tall, x(angles[i] + 0.4), floor, "faint", 'opacity="0.3"');
  });
  const curve = (i, dashes) =>
    path(
      angles.map((angle, j) => [x(angle), y(values[i][j])]),
      "value",
      `stroke-width="2.5" ${dashes}`,
    );
  const parts = [
    ...bars,
    line(x(angles[0] - 1), floor, width - RIGHT, floor),
    text(LEFT - 6, y(high) + 5, fixed(high, 0), "faint", "end"),
    text(LEFT - 6, y(0) + 4, "0", "faint", "end"),
    curve(0, ""),
    curve(1, 'stroke-dasharray="6 4"'),
    line(x(angles[at]), 34, x(angles[at]), LEAN.bottom, "ink", 'stroke-dasharray="2 3"'),
    text(LEFT + 4, 16, "Q: — push left, ┄ push right", "value", "start"),
    text(width - RIGHT, 16, "▮ visits", "faint", "end"),
  ];
  return parts;
}

// By how much pushing right is better than pushing left, at each angle.
export function leanPanel(width, x, { angles, advantages }) {
  const far = Math.max(0.5, ...advantages.map(Math.abs));
  const y = scale([-far, far], [LEAN.bottom, LEAN.top]);
  return [
    line(LEFT, y(0), width - RIGHT, y(0)),
    text(LEFT - 6, y(far) + 5, fixed(far, 1), "faint", "end"),
    text(LEFT - 6, y(-far) + 5, fixed(-far, 1), "faint", "end"),
    text(LEFT + 4, LEAN.top - 6, "Q(right) − Q(left)", "advantage", "start"),
    ...advantages.map((one, i) =>
      rect(x(angles[i] - 0.4), y(one), x(angles[i] + 0.4), y(0), "advantage", 'opacity="0.7"'),
    ),
    ...[-12, 0, 12].map((angle) =>
      text(x(angle), LEAN.bottom + 20, `${fixed(angle, 0)}°`, "faint"),
    ),
  ];
}

// The units of the first layer: the fuller a field, the more often its unit lets something through.
export function unitPanel(width, active, probes) {
  const columns = 2 ** Math.floor(Math.log2((width - 20) / HEIGHT.unit));
  const side = HEIGHT.unit;
  const place = (i) => [10 + (i % columns) * side, 24 + Math.floor(i / columns) * side];
  const fields = active.map((count, i) => {
    const [left, top] = place(i);
    const share = count / probes;
    const frame = `class="line" style="stroke:var(--faint)" ${count === 0 ? 'stroke-dasharray="2 3"' : ""}`;
    return (
      rect(left, top + side - 4 - share * (side - 4), left + side - 4, top + side - 4, "ratio") +
      `<rect x="${left}" y="${top}" width="${side - 4}" height="${side - 4}" ${frame}/>`
    );
  });
  const words = text(10, 14, "units of the first layer: how often each is active", "ratio", "start");
  return { height: 28 + Math.ceil(active.length / columns) * side, parts: [words, ...fields] };
}
