// The backup diagram: what one backup looks at. Circles are states, dots are actions.
import { fixed } from "../lib/format.js";
import { line, text } from "../lib/svg.js";

const ACTIONS = ["←", "↓", "→", "↑"];
const TOP = 26,
  MIDDLE = 88,
  LOW = 158;
export const HEIGHT = 206;

const circle = (x, y, colour = "value", extra = "") =>
  `<circle cx="${x.toFixed(1)}" cy="${y}" r="8" style="fill:var(--color-background-primary);` +
  `stroke:var(--${colour})" stroke-width="2" ${extra}/>`;
const spot = (x, y, colour = "ink") =>
  `<circle cx="${x.toFixed(1)}" cy="${y}" r="5" style="fill:var(--${colour})"/>`;
const bold = 'stroke-width="3"';

const digits = (value, width) => (width >= 500 ? 2 : Math.abs(value) < 9.95 ? 1 : 0);
// As short as a phone needs it: .15 for 0.15.
const share = (p) => fixed(p).replace("0.", ".");

// A number inside an equation.
const inside = (value) => (value < 0 ? `(${fixed(value)})` : fixed(value));

// {parts, says}: the drawing, and the same as an equation with numbers.
export function diagram(width, found) {
  if (found.q && !("move" in found)) return planned(width, found);
  if (!found.move) return { parts: [], says: "No step has been taken yet." };
  return found.z ? traced(width, found) : sampled(width, found);
}

const place = ({ cells }, s, columns) =>
  `(${Math.floor(cells[s] / columns) + 1}, ${(cells[s] % columns) + 1})`;

// All actions, and for each of them all states that it may lead to.
function planned(width, found) {
  const { chosen: s, mdp, q, pi, old, v, world, state } = found;
  if (s < 0) return { parts: [], says: "A wall is no state, and has no backup." };
  if (mdp.terminal[s]) return { parts: [], says: "Nothing comes after an end: its value is 0." };
  const max = state.algo === "value iteration";
  const best = Math.max(...q[s]);
  const root = width / 2;
  const slot = width / 4;
  const parts = [];
  ACTIONS.forEach((arrow, a) => {
    const x = slot * (a + 0.5);
    const taken = max ? q[s][a] >= best - 1e-9 : pi[s][a] > 0;
    parts.push(line(root, TOP, x, MIDDLE, taken ? "advantage" : "faint", taken ? bold : ""));
    const next = mdp.full[s][a].flatMap((p, s2) => (p > 0 ? [[p, s2]] : []));
    next.forEach(([p, s2], i) => {
      const x2 = x + (next.length === 1 ? 0 : (i / (next.length - 1) - 0.5) * slot * 0.7);
      const worth = mdp.terminal[s2] ? "0" : fixed(old[s2], digits(old[s2], width));
      parts.push(line(x, MIDDLE, x2, LOW), circle(x2, LOW, mdp.terminal[s2] ? "ink" : "value"));
      parts.push(text(x2, LOW + 24, worth, "value"));
      if (next.length > 1) parts.push(text(x2, LOW + 40, share(p), "faint"));
    });
    parts.push(spot(x, MIDDLE, taken ? "advantage" : "ink"));
    const name = `${arrow} ${fixed(q[s][a])}`;
    if (width < 500) parts.push(text(x, MIDDLE - 10, name));
    else parts.push(text(x + 9, MIDDLE + 4, name, "ink", "start"));
  });
  const worth = fixed(max ? best : v[s]);
  parts.push(circle(root, TOP), text(root + 14, TOP - 6, worth, "value", "start"));
  const four = q[s].map((one, a) => `${ACTIONS[a]} ${fixed(one)}`).join(", ");
  const where = `Field ${place(found, s, world.columns)}`;
  const says = max
    ? `${where}: the largest of ${four} is <b>${fixed(best)}</b>.`
    : `${where}: v = ${fixed(v[s])}; one action, then the policy again: ${four}.`;
  return { parts, says };
}

// One action, one reward, one next state: the step that was taken last.
function sampled(width, found) {
  const { move, world, state } = found;
  const { s, a, r, s2, a2, terminated, old, row, delta } = move;
  const root = width / 2;
  const [here, there] = [s, s2].map((one) => place(found, one, world.columns));
  const left = `Q(${here}, ${ACTIONS[a]}) = ${fixed(old)}`;
  const parts = [
    line(root, TOP, root, MIDDLE, "advantage", bold),
    circle(root, TOP),
    text(root + 14, TOP + 5, left, "value", "start"),
    spot(root, TOP + 30, "advantage"),
    text(root + 12, TOP + 40, `r = ${fixed(r)}`, "reward", "start"),
    circle(root, MIDDLE, terminated ? "ink" : "value"),
    text(root + 14, MIDDLE + 5, terminated ? "end" : `s′ = ${there}`, "ink", "start"),
  ];
  const best = Math.max(...row);
  if (!terminated)
    row.forEach((one, b) => {
      const x = (width / 4) * (b + 0.5);
      const taken = a2 === null ? one === best : b === a2;
      parts.push(line(root, MIDDLE + 8, x, LOW, taken ? "advantage" : "faint", taken ? bold : ""));
      parts.push(spot(x, LOW, taken ? "advantage" : "ink"));
      parts.push(text(x, LOW + 22, `${ACTIONS[b]} ${fixed(one)}`));
    });
  const worth = inside(a2 === null ? best : row[a2]);
  const future = terminated ? "0" : `${fixed(world.gamma)} · ${worth}`;
  const which =
    a2 === null ? "the largest of the four" : `what ${ACTIONS[a2]} is worth, which is taken next`;
  const says =
    `Q ← ${fixed(old)} + ${fixed(state.a)} · (${fixed(r)} + ${future} − ${inside(old)}) = ` +
    `<b>${fixed(old + state.a * delta)}</b>` +
    (terminated ? ": an end is worth 0." : `: for the worth of s′ it takes ${which}.`);
  return { parts, says };
}

// The last step's error, and who hears of it.
function traced(width, found) {
  const { move, world, z, state } = found;
  const heard = z
    .map((trace, s) => ({ trace, s }))
    .filter(({ trace }) => trace > 0.005)
    .sort((one, other) => one.trace - other.trace)
    .slice(width < 500 ? -5 : -8);
  const x = (i) => 40 + ((i + 0.5) * (width - 80)) / (heard.length + 1);
  const parts = [line(x(0), MIDDLE, x(heard.length), MIDDLE, "faint")];
  heard.forEach(({ trace, s }, i) => {
    const high = trace * 50;
    parts.push(line(x(i), MIDDLE, x(i), MIDDLE - high, "kl", 'stroke-width="6"'));
    const name = place(found, s, world.columns);
    parts.push(circle(x(i), MIDDLE), text(x(i), MIDDLE + 26, name, "faint"));
    parts.push(text(x(i), MIDDLE + 46, fixed(trace), "kl"));
  });
  const end = x(heard.length);
  parts.push(circle(end, MIDDLE, move.terminated ? "ink" : "value"));
  const name = move.terminated ? "end" : place(found, move.s2, world.columns);
  parts.push(text(end, MIDDLE + 26, name, "faint"));
  parts.push(text(40, LOW + 12, "traces: what share of α δ each field hears", "kl", "start"));
  const says =
    `δ = ${fixed(move.r)} + ${fixed(world.gamma)} · ${inside(move.after)} ` +
    `− ${inside(move.old)} = ` +
    `<b>${fixed(move.delta)}</b>, and every field moves by ${fixed(state.a)} · δ · its trace.`;
  return { parts, says };
}
