// The drawings of <rl-grpo>.
import { fixed } from "../lib/format.js";
import { line, rect, scale, text } from "../lib/svg.js";

export const ANSWERS = 8,
  GROUP = 4,
  LONGEST = 12;
const LEFT = 40,
  RIGHT = 10;
const PALE = 'opacity="0.45"';
const DASHED = 'stroke-width="2" stroke-dasharray="5 4"';
const BAND = 'opacity="0.18"';
export const prompt = (i) => Math.floor(i / GROUP);

// Columns of answers, with a gap between the prompts.
export function columns(width) {
  const x = scale([0, ANSWERS + 2], [LEFT, width - RIGHT]);
  return (i) => x(i + prompt(Math.min(i, ANSWERS - 1)));
}

// The critic's handle stands behind the last answer of its prompt.
export const behind = (x, group) => x(GROUP * group + GROUP - 1) + (x(1) - x(0)) * 1.45;

export function rewardPanel(x, y, { state, spreads, kept }) {
  const parts = [
    line(x(0), y(0), behind(x, 1), y(0)),
    ...[0, 1].map((at) => text(x(0) - 8, y(at) + 5, String(at), "faint", "end")),
    text(0, 14, "rewards", "reward", "start"),
    text(62, 14, "┄ group's mean ± std, ● PPO's critic", "value", "start"),
  ];
  state.r.forEach((one, i) => {
    parts.push(rect(x(i) + 5, y(one), x(i) + x(1) - x(0) - 5, y(0), "reward", PALE));
    parts.push(text(x(i) + (x(1) - x(0)) / 2, y(0) + 17, String(i + 1), "faint"));
  });
  spreads.forEach(({ mean, std }, group) => {
    const [from, to] = [x(GROUP * group), x(GROUP * group) + GROUP * (x(1) - x(0))];
    const [high, low] = [y(Math.min(1, mean + std)), y(Math.max(0, mean - std))];
    parts.push(rect(from, high, to, low, "value", BAND));
    parts.push(line(from, y(mean), to, y(mean), "value", DASHED));
    const dead = kept[GROUP * group] ? "" : ": dead";
    parts.push(text((from + to) / 2, y(0) + 34, `prompt ${group + 1}${dead}`));
  });
  return parts;
}

export function advantagePanel(x, y, far, { advantages, critic }) {
  const parts = [
    line(x(0), y(0), behind(x, 1), y(0)),
    line(x(0), y(-far), x(0), y(far)),
    ...[-far, far].map((at) => text(x(0) - 6, y(at) + 5, fixed(at, 0), "faint", "end")),
    text(0, 14, "■ GRPO's advantage", "advantage", "start"),
    text(142, 14, "■ PPO's, at the last token", "ink", "start"),
  ];
  const slot = x(1) - x(0);
  advantages.forEach((one, i) => {
    parts.push(rect(x(i) + 5, y(one), x(i) + slot * 0.55, y(0), "advantage", 'opacity="0.7"'));
    const last = y(critic[i].at(-1));
    parts.push(rect(x(i) + slot * 0.6, last, x(i) + slot - 5, y(0), "ink", PALE));
  });
  return parts;
}

// Above GRPO's tokens, below PPO's: the stronger the colour, the harder the pull.
export function tokenPanel(width, rowHeight, { state, pull, ppo, kept }) {
  const x = scale([0, LONGEST], [LEFT, width - 24]);
  const strongest = Math.max(1e-9, ...pull.map(Math.abs), ...ppo.flat().map(Math.abs));
  const parts = [
    text(LEFT, 14, "▲▼ pull at a token: above GRPO,", "advantage", "start"),
    text(LEFT + 218, 14, "below PPO", "ink", "start"),
  ];
  const cell = (i, t, top, height, force, colour) => {
    const strength = (0.85 * Math.abs(force)) / strongest;
    const extra = `fill-opacity="${strength.toFixed(3)}" stroke="var(--faint)"`;
    const sign = force > 0 ? "▲" : force < 0 ? "▼" : "";
    const place = [x(t) + 1, top, x(t + 1) - 1, top + height];
    return rect(...place, colour, extra) + small((x(t) + x(t + 1)) / 2, top + height - 3, sign);
  };
  for (let i = 0; i < ANSWERS; i++) {
    const top = rowTop(i, rowHeight);
    parts.push(text(LEFT - 10, top + 17, String(i + 1), kept[i] ? "ink" : "faint", "end"));
    for (let t = 0; t < state.n[i]; t++) {
      parts.push(cell(i, t, top, 14, pull[i], "advantage"));
      parts.push(cell(i, t, top + 15, 12, ppo[i][t], "ink"));
    }
  }
  return { x, parts };
}

export const rowTop = (i, height) => 24 + i * height + prompt(i) * 12;

const small = (x, y, words) =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="middle" ` +
  `style="fill:var(--ink);font-size:9px">${words}</text>`;
