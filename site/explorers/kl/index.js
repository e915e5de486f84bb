// <rl-kl>: two policies whose bars one drags, the exact divergence, and what three estimators make
// of samples.
import { button, choice, controls, table, tablePlace } from "../lib/controls.js";
import { Explorer, define } from "../lib/explorer.js";
import { fixed } from "../lib/format.js";
import { Handle } from "../lib/handle.js";
import { tell } from "../lib/numbers.js";
import { draws } from "../lib/random.js";
import { snap } from "../lib/state.js";
import { canvas, dot, line, rect, scale, text } from "../lib/svg.js";
import { approxKl, enumerated, exactKl } from "./math.js";

const ACTIONS = ["a", "b", "c", "d"];
const KINDS = ["k1", "k2", "k3"];
const SIZES = ["4", "16", "64", "256", "1024"];
const BAR = { min: 0.02, max: 0.9, step: 0.01 };
const SHARES = { length: 4, min: 0.005, max: 0.985, step: 0.001 };
const FIELDS = {
  old: { ...SHARES, start: [0.4, 0.3, 0.2, 0.1] },
  now: { ...SHARES, start: [0.55, 0.2, 0.15, 0.1] },
  n: { options: SIZES, start: "64" },
  seed: { min: 0, max: 9999, step: 1, start: 0 },
};
const HEIGHT = { bars: 190, strip: 150 };

// The shares when action i gets this probability, and the others keep their proportions as far as
// no probability vanishes.
function withShare(shares, i, value) {
  const rest = shares.reduce((total, one) => total + one, 0) - shares[i];
  return shares.map((one, j) => (j === i ? value : snap(SHARES, (one * (1 - value)) / rest)));
}

function normalised(shares) {
  const total = shares.reduce((sum, one) => sum + one, 0);
  return shares.map((one) => one / total);
}

class Kl extends Explorer {
  static key = "kl";
  static title = "How far apart are the two policies, and who notices?";
  static fields = FIELDS;

  build(body) {
    this.bars = canvas(body, "Probabilities of four actions under both policies");
    this.handles = ["old", "now"].map((policy) =>
      ACTIONS.map(
        (action, i) =>
          new Handle(this.bars, {
            label: `${policy === "old" ? "old" : "new"} policy, action ${action}`,
            colour: policy === "old" ? "faint" : "ratio",
            along: "y",
            field: BAR,
            set: (value) => this.set({ [policy]: withShare(this.state[policy], i, value) }),
          }),
      ),
    );
    this.strip = canvas(body, "The estimators and the exact divergence");
    const note = document.createElement("p");
    note.className = "rl-note";
    note.textContent =
      "Upright: the mean under the old policy. Grey: two standard errors to each side. " +
      "●: the mean of the samples that were drawn.";
    body.append(note);
    const row = controls(body);
    const { seed } = FIELDS;
    button(row, "Draw other samples", () => {
      this.set({ seed: (this.state.seed + 1) % (seed.max + 1) });
    });
    button(row, "Make the policies equal", () => this.set({ now: this.state.old }));
    this.showSize = choice(row, "samples", FIELDS.n, (n) => this.set({ n }));
    this.table = tablePlace(body, "The estimators, action by action");
  }

  compute() {
    const [old, now] = [normalised(this.state.old), normalised(this.state.now)];
    const n = Number(this.state.n);
    const taken = draws(old, n, this.state.seed);
    const logs = (policy) => taken.map((i) => Math.log(policy[i]));
    return {
      old,
      now,
      n,
      forward: exactKl(old, now),
      backward: exactKl(now, old),
      each: enumerated(old, now),
      drawn: approxKl(logs(now), logs(old)),
    };
  }

  words() {
    const { forward, backward, each, n } = this.facts;
    const exact = `KL(old‖new) = ${fixed(forward, 3)}, KL(new‖old) = ${fixed(backward, 3)}.`;
    if (forward < 1e-9)
      return `${exact} The policies are equal, and every sample of every estimator is 0.`;
    const spread = (kind) => fixed(each[kind].sd / Math.sqrt(n), 3);
    const times = each.k1.sd / each.k3.sd;
    const more =
      times >= 1 ? `${fixed(times, 1)} times as far as` : `only ${fixed(times, 1)} times as far as`;
    return (
      `${exact} A mean of ${n} samples scatters by ±${spread("k1")} with k1 ` +
      `and ±${spread("k3")} with k3: ` +
      `k1 scatters ${more} k3. The bias of k2 is ${fixed(each.k2.mean - forward, 3)}.`
    );
  }

  draw(width) {
    const facts = this.facts;
    this.#drawBars(width, facts);
    this.#drawStrip(width, facts);
    this.#drawTable(facts);
    this.showSize(this.state.n);
    this.#tell(facts);
  }

  #tell({ each, drawn, old, now, n }) {
    const kinds = KINDS.map((kind) => {
      const { mean, sd } = each[kind];
      const spread = `spread ${fixed(sd, 3)}, mean of ${n} samples ${fixed(drawn[kind], 3)}`;
      return [kind, `mean ${fixed(mean, 3)}, ${spread}`];
    });
    const ratios = old.map((one, i) => fixed(now[i] / one));
    tell("kl", { ...Object.fromEntries(kinds), ratio: `${ratios.join(", ")} for a, b, c, d` });
  }

  #drawBars(width, { old, now }) {
    const y = scale([0, 1], [HEIGHT.bars - 24, 14]);
    const slot = (width - 40) / ACTIONS.length;
    const bar = Math.min(34, slot / 3.2);
    const parts = [
      line(34, y(0), width - 6, y(0)),
      line(34, y(0), 34, y(1)),
      text(28, y(1) + 5, "1", "faint", "end"),
    ];
    ACTIONS.forEach((action, i) => {
      const middle = 40 + slot * (i + 0.5);
      for (const [policy, left, colour] of [
        [0, middle - bar - 3, "faint"],
        [1, middle + 3, "ratio"],
      ]) {
        const p = (policy ? now : old)[i];
        parts.push(rect(left, y(p), left + bar, y(0), colour, 'opacity="0.45"'));
        const words = `${fixed(p)}; the ratio of this action is ${fixed(now[i] / old[i])}`;
        this.handles[policy][i].place(left + bar / 2, y(p), Number(p.toFixed(2)), words, y);
      }
      parts.push(text(middle, y(0) + 17, `action ${action}`));
    });
    parts.push(
      text(44, 14, "■ old policy", "faint", "start"),
      text(140, 14, "■ new policy", "ratio", "start"),
    );
    this.bars.draw(width, HEIGHT.bars, parts.join(""));
  }

  #drawStrip(width, { forward, backward, each, drawn, n }) {
    const spread = (kind) => each[kind].sd / Math.sqrt(n);
    const low = Math.min(
      0,
      ...KINDS.map((kind) => Math.min(drawn[kind], each[kind].mean - 2 * spread(kind))),
    );
    const high = Math.max(
      0.02,
      forward,
      backward,
      ...KINDS.map((kind) => Math.max(drawn[kind], each[kind].mean + 2 * spread(kind))),
    );
    const x = scale([low, high], [40, width - 20]);
    const parts = [
      line(x(0), 20, x(0), HEIGHT.strip - 18),
      text(x(0), HEIGHT.strip - 4, "0", "faint"),
      line(x(forward), 20, x(forward), HEIGHT.strip - 18, "kl", 'stroke-width="2"'),
      line(x(backward), 20, x(backward), HEIGHT.strip - 18, "kl", 'stroke-dasharray="4 3"'),
      text(width - 20, 12, "— KL(old‖new)   ┄ KL(new‖old)", "kl", "end"),
    ];
    KINDS.forEach((kind, row) => {
      const at = 42 + row * 34;
      const { mean } = each[kind];
      parts.push(
        text(30, at + 5, kind, "ink", "end"),
        line(
          x(mean - 2 * spread(kind)),
          at,
          x(mean + 2 * spread(kind)),
          at,
          "faint",
          'stroke-width="7" opacity="0.5"',
        ),
        line(x(mean), at - 9, x(mean), at + 9, "ink", 'stroke-width="2"'),
        dot(x(drawn[kind]), at, "kl", 5),
      );
    });
    this.strip.draw(width, HEIGHT.strip, parts.join(""));
  }

  #drawTable({ old, now, each, drawn }) {
    const numbers = (pick) => KINDS.map((kind) => fixed(pick(each[kind], kind), 3));
    const actions = ACTIONS.map((action, i) => {
      const logRatio = fixed(-each.k1.each[i], 3);
      const known = [fixed(old[i]), fixed(now[i]), logRatio];
      return { head: action, cells: [...known, ...numbers((one) => one.each[i])] };
    });
    const below = (head, pick) => ({ head, cells: ["", "", "", ...numbers(pick)] });
    this.table.innerHTML = table(
      ["action", "old", "new", "log r", ...KINDS],
      [
        ...actions,
        below("mean", (one) => one.mean),
        below("spread", (one) => one.sd),
        below("drawn ●", (one, kind) => drawn[kind]),
      ],
    );
  }
}

define(Kl);
