// <rl-grpo>: eight answers to two prompts. Drag rewards and lengths, and see what pulls at each
// token, in GRPO and in PPO.
import { button, choice, controls, slider, table, tablePlace } from "../lib/controls.js";
import { Explorer, define } from "../lib/explorer.js";
import { fixed } from "../lib/format.js";
import { Handle } from "../lib/handle.js";
import { tell } from "../lib/numbers.js";
import { canvas, scale } from "../lib/svg.js";
import * as math from "./math.js";
import * as panels from "./panels.js";

const { ANSWERS, GROUP, LONGEST, prompt } = panels;
const REWARD = { min: 0, max: 1, step: 0.05 };
const LENGTH = { min: 1, max: LONGEST, step: 1 };
const FIELDS = {
  r: { ...REWARD, length: ANSWERS, start: [1, 0, 0, 1, 1, 1, 1, 1] },
  n: { ...LENGTH, length: ANSWERS, start: [4, 3, 11, 8, 6, 5, 9, 7] },
  v: { ...REWARD, length: 2, start: [0.5, 0.8] },
  scale: { options: ["std", "none", "mean"], start: "std" },
  base: { options: ["group", "others"], start: "group" },
  agg: { options: ["seq-mean-token-mean", "token-mean", "seq-sum-const"] },
  dead: { options: ["stay", "are left out"], start: "stay" },
  l: { min: 0, max: 1, step: 0.05, start: 0.95 },
  i: { min: 0, max: ANSWERS - 1, step: 1, start: 2 },
};
FIELDS.agg.start = FIELDS.agg.options[0];
const EPS = 1e-6;
const IDS = Array.from({ length: ANSWERS }, (_, i) => prompt(i));
const HEIGHT = { rewards: 170, advantages: 130, row: 31 };

class Grpo extends Explorer {
  static key = "grpo";
  static title = "Who is praised, who is blamed, and for how many tokens?";
  static fields = FIELDS;

  build(body) {
    this.rewards = canvas(body, "Rewards of eight answers to two prompts");
    this.handles = IDS.map((group, i) =>
      this.#handle(this.rewards, `reward of answer ${i + 1}`, "reward", "r", i),
    );
    this.critics = [0, 1].map((group) =>
      this.#handle(this.rewards, `PPO's critic on prompt ${group + 1}`, "value", "v", group),
    );
    const row = controls(body);
    this.choices = {
      scale: this.#choice(row, "divide by", "scale"),
      base: this.#choice(row, "baseline", "base"),
      agg: this.#choice(row, "average", "agg"),
      dead: this.#choice(row, "dead groups", "dead"),
    };
    const acts = controls(body);
    for (const [label, value] of [
      ["Prompt 2: all right", 1],
      ["all wrong", 0],
    ])
      button(acts, label, () => {
        this.set({ r: this.state.r.map((one, i) => (prompt(i) === 1 ? value : one)) });
      });
    this.showLambda = slider(acts, "λ of PPO", FIELDS.l, (l) => this.set({ l }));
    this.advantages = canvas(body, "Advantages of GRPO and PPO");
    this.tokens = canvas(body, "The pull at each token");
    this.lengths = IDS.map((_, i) =>
      this.#handle(this.tokens, `tokens of answer ${i + 1}`, "faint", "n", i),
    );
    this.table = tablePlace(body, "The answers in numbers");
  }

  #handle(place, label, colour, name, i) {
    return new Handle(place, {
      label,
      colour,
      field: FIELDS[name],
      along: name === "n" ? "x" : "y",
      set: (value) => this.set({ [name]: changed(this.state[name], i, value) }),
      chosen: name === "v" ? undefined : () => this.set({ i }),
    });
  }

  #choice(row, label, name) {
    return choice(row, label, FIELDS[name], (value) => this.set({ [name]: value }));
  }

  // A group that is left out is no part of the batch: its rows do not count among the B.
  compute() {
    const { r, n, v, l, agg, scale: by, base, dead } = this.state;
    const advantages = math.groupAdvantages(r, IDS, EPS, by, base);
    const kept = math.informativeGroups(r, IDS);
    const rows = IDS.map((_, i) => i).filter((i) => dead === "stay" || kept[i]);
    const of = (numbers) => rows.map((i) => numbers[i]);
    const back = (numbers) => IDS.map((_, i) => numbers[rows.indexOf(i)] ?? 0);
    const values = IDS.map((group) => v[group]);
    return {
      state: this.state,
      advantages,
      kept,
      spreads: [0, 1].map((group) => math.spread(r.slice(GROUP * group, GROUP * (group + 1)))),
      weights: back(math.tokenWeights(of(n), agg, LONGEST)),
      pull: back(math.grpoPull(of(advantages), of(n), agg, LONGEST)),
      critic: r.map((one, i) => math.ppoAdvantages(one, values[i], n[i], l)),
      ppo: math.ppoPull(r, values, n, l),
    };
  }

  words() {
    const { kept, pull, spreads, critic, state } = this.facts;
    const parts = [0, 1].map((group) => {
      const at = GROUP * group;
      if (kept[at]) return "";
      const ppo = critic[at].at(-1);
      const sees = ppo === 0 ? "sees nothing either" : `still sees ${fixed(ppo)} in each`;
      const mean = fixed(spreads[group].mean);
      return `Prompt ${group + 1} is dead: every answer earns ${mean}; PPO ${sees}. `;
    });
    const pair = this.#pair();
    if (pair) {
      const [long, short] = pair;
      const share = fixed(Math.abs(pull[long] / pull[short]));
      parts.push(
        `Answers ${long + 1} and ${short + 1} earn the same, but a token of the longer one ` +
          `is pulled ${share} times as hard. `,
      );
    }
    const { i } = state;
    parts.push(
      `Answer ${i + 1}: ${fixed(pull[i] * 1000, 1)} thousandths at each of its tokens, ` +
        `${fixed(pull[i] * state.n[i], 3)} in all.`,
    );
    return parts.join("");
  }

  // Two answers of one group with the same reward and different lengths, the longer one first.
  #pair() {
    const { pull, state } = this.facts;
    const { r, n } = state;
    for (const i of IDS.keys())
      for (const j of IDS.keys())
        if (IDS[i] === IDS[j] && r[i] === r[j] && n[i] > n[j] && pull[i] !== 0) return [i, j];
  }

  draw(width) {
    const found = this.facts;
    this.#drawRewards(width, found);
    this.#drawAdvantages(width, found);
    this.#drawTokens(width, found);
    this.#drawTable(found);
    const { l, i, r } = this.state;
    for (const [name, show] of Object.entries(this.choices)) show(this.state[name]);
    this.showLambda(l, fixed(l));
    const { mean, std } = found.spreads[prompt(i)];
    tell("grpo", {
      advantage: `${fixed(found.advantages[i])} for answer ${i + 1}`,
      reward: fixed(r[i]),
      mean: fixed(mean, 3),
      std: fixed(std, 3),
      ratio: "1",
      clipped: fixed(found.advantages[i]),
      weight: fixed(found.weights[i], 4),
      pull: fixed(found.pull[i], 4),
    });
  }

  #drawRewards(width, found) {
    const x = panels.columns(width);
    const y = scale([0, 1], [HEIGHT.rewards - 42, 28]);
    this.rewards.draw(width, HEIGHT.rewards, panels.rewardPanel(x, y, found).join(""));
    const { r, v } = this.state;
    this.handles.forEach((handle, i) => {
      const words = `${fixed(r[i])}, advantage ${fixed(found.advantages[i])}`;
      handle.place(x(i) + (x(1) - x(0)) / 2, y(r[i]), r[i], words, y);
    });
    this.critics.forEach((handle, group) =>
      handle.place(panels.behind(x, group), y(v[group]), v[group], fixed(v[group]), y),
    );
  }

  #drawAdvantages(width, found) {
    const x = panels.columns(width);
    const all = [...found.advantages, ...found.critic.flat()].map(Math.abs);
    const far = Math.ceil(Math.max(1, ...all));
    const y = scale([-far, far], [HEIGHT.advantages - 8, 28]);
    const parts = panels.advantagePanel(x, y, far, found);
    this.advantages.draw(width, HEIGHT.advantages, parts.join(""));
  }

  #drawTokens(width, found) {
    const { x, parts } = panels.tokenPanel(width, HEIGHT.row, found);
    this.tokens.draw(width, panels.rowTop(ANSWERS, HEIGHT.row), parts.join(""));
    this.lengths.forEach((handle, i) => {
      const n = this.state.n[i];
      const words = `${n}; pull at each token ${fixed(found.pull[i], 4)}`;
      handle.place(x(n) + 4, panels.rowTop(i, HEIGHT.row) + 14, n, words, x);
    });
  }

  #drawTable({ advantages, pull, critic, ppo }) {
    const { r, n } = this.state;
    const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
    const rows = IDS.map((_, i) => ({
      head: i + 1,
      cells: [
        ...[fixed(r[i]), n[i], fixed(advantages[i]), fixed(pull[i], 4), fixed(pull[i] * n[i], 3)],
        ...[fixed(critic[i].at(-1)), fixed(sum(ppo[i]), 3)],
      ],
    }));
    const heads = ["reward", "tokens", "Â", "pull at a token", "in all", "Â of PPO", "its pull"];
    this.table.innerHTML = table(["answer", ...heads], rows);
  }
}

function changed(list, at, value) {
  return list.map((one, i) => (i === at ? value : one));
}

define(Grpo);
