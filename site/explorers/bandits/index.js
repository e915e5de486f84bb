// <rl-bandits>: drag the arms; five strategies play the same bandit, and a sentence says what one
// sees.
import { button, controls, slider, table, tablePlace } from "../lib/controls.js";
import { Explorer, define } from "../lib/explorer.js";
import { fixed } from "../lib/format.js";
import { Handle } from "../lib/handle.js";
import { generator, normals } from "../lib/random.js";
import { canvas, line, path, rect, scale, text } from "../lib/svg.js";
import { study } from "./math.js";

const ARMS = 5;
const STEPS = 250;
const RUNS = 60;
const LATE = 50;
const MEAN = { min: -1, max: 3, step: 0.1 };
const FIELDS = {
  m: { ...MEAN, length: ARMS, start: [0.2, 0.8, 1.2, -0.4, 0.5] },
  e: { min: 0, max: 0.5, step: 0.01, start: 0.1 },
  c: { min: 0, max: 4, step: 0.1, start: 1 },
  o: { min: 0, max: 10, step: 0.5, start: 5 },
  a: { min: 0.02, max: 1, step: 0.02, start: 0.1 },
  seed: { min: 0, max: 9999, step: 1, start: 0 },
};
const HEIGHT = { arms: 150, regret: 220 };
const STRATEGIES = {
  greedy: {
    name: () => "greedy",
    dash: "1 4",
    agent: () => ({ kind: "epsilon", epsilon: 0, alpha: null, initial: 0 }),
  },
  epsilon: {
    name: ({ e }) => `ε-greedy, ε = ${fixed(e)}`,
    dash: "none",
    agent: ({ e }) => ({ kind: "epsilon", epsilon: e, alpha: null, initial: 0 }),
  },
  ucb: {
    name: ({ c }) => `UCB, c = ${fixed(c, 1)}`,
    dash: "9 4",
    agent: ({ c }) => ({ kind: "ucb", c }),
  },
  optimistic: {
    name: ({ o }) => `optimistic, Q₁ = ${fixed(o, 1)}`,
    dash: "4 3",
    agent: ({ o }) => ({ kind: "epsilon", epsilon: 0, alpha: 0.1, initial: o }),
  },
  gradient: {
    name: ({ a }) => `gradient, α = ${fixed(a)}`,
    dash: "10 3 2 3",
    agent: ({ a }) => ({ kind: "gradient", alpha: a }),
  },
};
const NAMES = Object.keys(STRATEGIES);

// The same luck for every strategy.
function streamsOf(seed) {
  return Array.from({ length: RUNS }, (_, run) => {
    const next = generator(seed * RUNS + run);
    const uniform = Array.from({ length: 2 * STEPS }, next);
    return { uniform, normal: normals(STEPS, next) };
  });
}

class Bandits extends Explorer {
  static key = "bandits";
  static title = "Who finds the best arm, and what does it cost?";
  static fields = FIELDS;

  build(body) {
    this.arms = canvas(body, "Means of the arms");
    this.handles = FIELDS.m.start.map((_, arm) => {
      const set = (value) =>
        this.set({ m: this.state.m.map((one, i) => (i === arm ? value : one)) });
      const label = `mean of arm ${arm}`;
      return new Handle(this.arms, { label, colour: "value", along: "y", field: MEAN, set });
    });
    this.plot = canvas(body, "Regret of five strategies against the steps");
    const row = controls(body);
    const parameter = (label, name) =>
      slider(row, label, FIELDS[name], (value) => this.set({ [name]: value }));
    this.sliders = {
      e: parameter("ε", "e"),
      c: parameter("c", "c"),
      o: parameter("Q₁", "o"),
      a: parameter("α", "a"),
    };
    button(row, "Play again", () => {
      this.set({ seed: (this.state.seed + 1) % (FIELDS.seed.max + 1) });
    });
    this.table = tablePlace(body, "Pulls and regret of the strategies");
  }

  compute() {
    if (this.drawn?.seed !== this.state.seed) {
      this.drawn = { seed: this.state.seed, streams: streamsOf(this.state.seed) };
    }
    const of = (name) =>
      study(STRATEGIES[name].agent(this.state), this.state.m, STEPS, this.drawn.streams, LATE);
    return Object.fromEntries(NAMES.map((name) => [name, of(name)]));
  }

  words() {
    const facts = this.facts;
    const end = (name) => facts[name].regret.at(-1);
    const order = [...NAMES].sort((one, other) => end(one) - end(other));
    const [least, most] = [order[0], order.at(-1)];
    const name = (one) => STRATEGIES[one].name(this.state);
    if (end(most) === 0) return "All arms are equally good: nobody can lose anything.";
    const stuck = Math.round(facts.greedy.stuck * RUNS);
    const [dear] = [...NAMES].sort((one, other) => facts[other].price - facts[one].price);
    return (
      `After ${STEPS} steps ${name(least)} has lost least (${fixed(end(least), 1)}) ` +
      `and ${name(most)} most (${fixed(end(most), 1)}), as means over ${RUNS} runs. ` +
      `Greedy has settled on a wrong arm in ${stuck} of them. ` +
      `In the last ${LATE} steps ${name(dear)} pays most, ` +
      `${fixed(facts[dear].price)} a step.`
    );
  }

  draw(width) {
    const facts = this.facts;
    this.#drawArms(width);
    this.#drawRegret(width, facts);
    this.#drawTable(facts);
    const { e, c, o, a } = this.state;
    this.sliders.e(e, fixed(e));
    this.sliders.c(c, fixed(c, 1));
    this.sliders.o(o, fixed(o, 1));
    this.sliders.a(a, fixed(a));
  }

  #drawArms(width) {
    const { m } = this.state;
    const x = scale([0, ARMS], [40, width - 10]);
    const y = scale([MEAN.min - 1, MEAN.max + 1], [HEIGHT.arms - 24, 22]);
    const best = Math.max(...m);
    const parts = [
      line(x(0), y(0), x(ARMS), y(0)),
      ...[MEAN.min, 0, MEAN.max].map((at) =>
        text(x(0) - 6, y(at) + 5, fixed(at, 0), "faint", "end"),
      ),
      text(x(0) + 4, 13, "means, ± one deviation of a reward", "value", "start"),
    ];
    m.forEach((mean, arm) => {
      const middle = x(arm + 0.5);
      const extra = 'opacity="0.25"';
      parts.push(rect(middle - 14, y(mean + 1), middle + 14, y(mean - 1), "value", extra));
      const name = (width < 500 ? "" : "arm ") + arm + (mean === best ? " (best)" : "");
      parts.push(text(middle, HEIGHT.arms - 6, name));
      const gap = mean === best ? "the best" : `${fixed(best - mean, 1)} below the best`;
      const words = `${fixed(mean, 1)}, ${gap}`;
      this.handles[arm].place(middle, y(mean), mean, words, y);
    });
    this.arms.draw(width, HEIGHT.arms, parts.join(""));
  }

  #drawRegret(width, facts) {
    const high = Math.max(1, ...NAMES.map((name) => facts[name].regret.at(-1)));
    const x = scale([0, STEPS], [40, width - 10]);
    const y = scale([0, high], [HEIGHT.regret - 24, 24]);
    const lines = NAMES.map((name) => {
      const points = [[x(0), y(0)], ...facts[name].regret.map((one, t) => [x(t + 1), y(one)])];
      const style = `stroke-width="2.5" stroke-dasharray="${STRATEGIES[name].dash}"`;
      return path(points, `strategy-${name}`, style);
    });
    const parts = [
      line(x(0), y(0), x(STEPS), y(0)),
      line(x(0), y(0), x(0), y(high)),
      text(x(0) - 6, y(high) + 5, fixed(high, 0), "faint", "end"),
      text(x(0) - 6, y(0) + 4, "0", "faint", "end"),
      text(x(0) + 4, 14, "regret: what the choices have cost", "ink", "start"),
      text(x(STEPS), HEIGHT.regret - 6, `${STEPS} steps`, "faint", "end"),
      ...lines,
    ];
    this.plot.draw(width, HEIGHT.regret, parts.join(""));
  }

  #drawTable(facts) {
    const rows = NAMES.map((name) => {
      const { shares, regret, price } = facts[name];
      const numbers = [fixed(regret.at(-1), 1), fixed(price)];
      const head = `${sample(name)} ${STRATEGIES[name].name(this.state)}`;
      return { head, cells: [...shares.map(shareCell), ...numbers] };
    });
    const arms = this.state.m.map((_, arm) => `arm ${arm}`);
    this.table.innerHTML = table(["pulls", ...arms, "regret", "price of a late step"], rows);
  }
}

// The line of a strategy, as in the plot.
function sample(name) {
  const style = `stroke-width="2.5" stroke-dasharray="${STRATEGIES[name].dash}"`;
  const drawn = line(0, 5, 36, 5, `strategy-${name}`, style);
  return `<svg width="36" height="10" aria-hidden="true">${drawn}</svg>`;
}

function shareCell(share) {
  const percent = `${fixed(100 * share, 0)} %`;
  const end = `${fixed(100 * share, 0)}%`;
  const filled = `linear-gradient(to right, var(--rl-share) ${end}, transparent 0)`;
  return `<td style="background-image: ${filled}">${percent}</td>`;
}

define(Bandits);
