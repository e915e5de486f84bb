// <rl-gae>: one column of a rollout. Drag rewards and values, end episodes in two ways, turn
// lambda.
import { button, choice, controls, slider } from "../lib/controls.js";
import { Explorer, define } from "../lib/explorer.js";
import { fixed } from "../lib/format.js";
import { Handle } from "../lib/handle.js";
import { tell } from "../lib/numbers.js";
import { canvas, scale, text } from "../lib/svg.js";
import { advantagePanel, columns, rewardPanel, tradePanel, valuePanel } from "./panels.js";
import { GOES_ON, STEPS, TERMINATED, TRUNCATED, best, rollout } from "./rollout.js";

const REWARD = { min: -2, max: 4, step: 0.1 };
const VALUE = { min: 0, max: 4, step: 0.1 };
const FIELDS = {
  r: { ...REWARD, length: STEPS, start: [1, 0, 2, 0, 1, 0, 1.5, 0] },
  v: { ...VALUE, length: STEPS + 1, start: [2.5, 1.5, 1, 3, 2.6, 2.9, 2.2, 2, 1.5] },
  star: { ...VALUE, start: 1.5 },
  ends: { letters: [GOES_ON, TERMINATED, TRUNCATED], length: STEPS, start: "..T.../." },
  g: { min: 0, max: 1, step: 0.01, start: 0.9 },
  l: { min: 0, max: 1, step: 0.01, start: 0.8 },
  noise: { options: ["0.25", "0.5", "1", "2"], start: "0.5" },
  step: { min: 0, max: STEPS - 1, step: 1, start: 6 },
};
const HEIGHT = { rewards: 120, values: 120, advantages: 150, trade: 170 };
const MEANING = { [GOES_ON]: "goes on", [TERMINATED]: "terminated", [TRUNCATED]: "truncated" };
const SIGN = { [GOES_ON]: "→", [TERMINATED]: "T", [TRUNCATED]: "/" };

class Gae extends Explorer {
  static key = "gae";
  static title = "Which steps hear of a reward, and how loudly?";
  static fields = FIELDS;

  build(body) {
    this.canvases = {
      rewards: canvas(body, "Rewards"),
      values: canvas(body, "Values"),
      advantages: canvas(body, "Errors and advantages"),
    };
    this.rewards = FIELDS.r.start.map((_, t) =>
      this.#handle(
        "rewards",
        `reward of step ${t}`,
        "reward",
        REWARD,
        (value) => this.set({ r: changed(this.state.r, t, value) }),
        () => this.set({ step: t }),
      ),
    );
    this.values = FIELDS.v.start.map((_, t) =>
      this.#handle("values", `value of state ${t}`, "value", VALUE, (value) =>
        this.set({ v: changed(this.state.v, t, value) }),
      ),
    );
    this.star = this.#handle(
      "values",
      "value of the state that a truncated step reached",
      "value",
      VALUE,
      (value) => this.set({ star: value }),
    );
    this.#buildEnds(body);
    this.canvases.trade = canvas(body, "Bias and variance against lambda");
    this.lambda = new Handle(this.canvases.trade, {
      label: "lambda",
      colour: "ink",
      along: "x",
      field: FIELDS.l,
      set: (value) => this.set({ l: value }),
    });
    this.#buildControls(body);
  }

  #handle(name, label, colour, field, set, chosen) {
    return new Handle(this.canvases[name], { label, colour, field, along: "y", set, chosen });
  }

  // One button for each row, below the column that it ends. It goes round the three possibilities.
  #buildEnds(body) {
    const row = document.createElement("div");
    row.className = "rl-ends";
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", "How each step ends");
    body.insertBefore(row, this.canvases.values.svg);
    const letters = FIELDS.ends.letters;
    this.ends = [...FIELDS.ends.start].map((_, t) => {
      const press = () => {
        const now = letters[(letters.indexOf(this.state.ends[t]) + 1) % letters.length];
        this.set({ ends: changed([...this.state.ends], t, now).join("") });
      };
      return button(row, "", press);
    });
  }

  #buildControls(body) {
    const row = controls(body);
    this.showGamma = slider(row, "γ", FIELDS.g, (g) => this.set({ g }));
    this.showNoise = choice(row, "noise of each reward", FIELDS.noise, (noise) =>
      this.set({ noise }),
    );
  }

  compute() {
    return rollout(this.state);
  }

  words() {
    const { l, step, r } = this.state;
    const { advantages, weights, now, curve, first } = this.facts;
    const paid = `the reward of step ${step}, ${fixed(r[step], 1)}`;
    const heard = fixed(weights[first][step] * r[step]);
    const travel =
      first === step
        ? `No earlier step hears of ${paid}: its episode begins there.`
        : `Of ${paid}, step ${first} hears ${heard}.`;
    return (
      `${travel} The advantage of step ${first} is ${fixed(advantages[first])}. ` +
      `With λ = ${fixed(l)} its bias is ${fixed(now.bias)} ` +
      `and its standard deviation ${fixed(Math.sqrt(now.variance))}. ` +
      `Bias² + variance is least near λ = ${fixed(best(curve).lam)}.`
    );
  }

  draw(width) {
    const found = this.facts;
    const x = columns(width);
    this.#drawRewards(width, x);
    this.#drawValues(width, x);
    this.#drawAdvantages(width, x, found);
    const { parts, x: along, y } = tradePanel(width, HEIGHT.trade, this.state, found);
    this.canvases.trade.draw(width, HEIGHT.trade, parts.join(""));
    const { l, g, noise } = this.state;
    const { bias, variance } = found.now;
    const deviation = fixed(Math.sqrt(variance));
    const words = `${fixed(l)}: bias ${fixed(bias)}, standard deviation ${deviation}`;
    this.lambda.place(along(l), y(0), l, words, along);
    this.showGamma(g, fixed(g));
    this.showNoise(noise);
    this.ends.forEach((node, t) => {
      const end = this.state.ends[t];
      node.textContent = SIGN[end];
      node.setAttribute("aria-label", `step ${t}: ${MEANING[end]}; press to change`);
      node.title = MEANING[end];
    });
    this.#updateFormula(found);
  }

  #drawRewards(width, x) {
    const range = [REWARD.min, REWARD.max];
    const y = scale(range, [HEIGHT.rewards - 6, 22]);
    this.canvases.rewards.draw(
      width,
      HEIGHT.rewards,
      rewardPanel(x, y, range, this.state).join(""),
    );
    const { advantages } = this.facts;
    this.rewards.forEach((handle, t) =>
      handle.place(
        x(t + 0.5),
        y(this.state.r[t]),
        this.state.r[t],
        `${fixed(this.state.r[t], 1)}, advantage of this step ${fixed(advantages[t])}`,
        y,
      ),
    );
  }

  #drawValues(width, x) {
    const range = [VALUE.min, VALUE.max];
    const y = scale(range, [HEIGHT.values - 24, 22]);
    const { v, star, ends } = this.state;
    const at = ends.indexOf(TRUNCATED);
    const name = at < 0 ? "" : text(x(at + 1), y(star) - 11, "V(*)", "value");
    this.canvases.values.draw(
      width,
      HEIGHT.values,
      valuePanel(x, y, range, this.state).join("") + name,
    );
    this.values.forEach((handle, t) => handle.place(x(t + 0.5), y(v[t]), v[t], fixed(v[t], 1), y));
    this.star.place(x(at + 1), y(star), star, fixed(star, 1), y);
    this.star.show(at >= 0);
  }

  #drawAdvantages(width, x, found) {
    const { r, step } = this.state;
    const far = Math.ceil(
      Math.max(1, Math.abs(r[step]), ...[...found.deltas, ...found.advantages].map(Math.abs)),
    );
    const range = [-far, far];
    const y = scale(range, [HEIGHT.advantages - 8, 22]);
    this.canvases.advantages.draw(
      width,
      HEIGHT.advantages,
      advantagePanel(x, y, range, this.state, found).join(""),
    );
  }

  #updateFormula({ deltas, advantages, next, values, terminated, truncated }) {
    const { r, step } = this.state;
    const ended = terminated[step] || truncated[step];
    tell("gae", {
      advantage: `${fixed(advantages[step])} at step ${step}`,
      reward: fixed(r[step], 1),
      alive: terminated[step] ? "0" : "1",
      goes: ended ? "0" : "1",
      next: terminated[step] ? "not asked for" : fixed(next[step], 1),
      value: fixed(values[step], 1),
      delta: fixed(deltas[step]),
      dial: fixed(this.state.g * this.state.l),
      following: step === STEPS - 1 ? "0, below the last row" : fixed(advantages[step + 1]),
    });
  }
}

function changed(list, at, value) {
  return list.map((one, i) => (i === at ? value : one));
}

define(Gae);
