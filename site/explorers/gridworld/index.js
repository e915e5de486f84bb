// <rl-gridworld>: paint a grid, and watch five algorithms find out what its fields are worth.
import { button, choice, controls, slider } from "../lib/controls.js";
import { Explorer, define } from "../lib/explorer.js";
import { fixed } from "../lib/format.js";
import { Handle } from "../lib/handle.js";
import { snap } from "../lib/state.js";
import { canvas, dot, line, path, scale, text } from "../lib/svg.js";
import { HEIGHT as DIAGRAM, diagram } from "./diagram.js";
import { Grid, signed } from "./grid.js";
import { CELLS, END, FREE, KINDS, START, STEPS, WALL, facts, nextEnd } from "./run.js";

const REWARD = { min: -10, max: 10, step: 0.5 };
const RATE = { min: 0.05, max: 1, step: 0.05 };
// A cliff in the last row, and the goal behind it.
const PAY = new Array(CELLS).fill(0).fill(-10, CELLS - 5).with(CELLS - 1, 10);
const FIELDS = {
  algo: { options: Object.keys(KINDS), start: "value iteration" },
  grid: { letters: [FREE, WALL, END, START], length: CELLS, start: ".ww...............seeeee" },
  pay: { ...REWARD, length: CELLS, start: PAY },
  cost: { min: -2, max: 0, step: 0.1, start: -1 },
  slip: { min: 0, max: 0.8, step: 0.05, start: 0.2 },
  g: { min: 0.5, max: 0.99, step: 0.01, start: 0.95 },
  a: { ...RATE, start: 0.5 },
  e: { min: 0, max: 1, step: 0.05, start: 0.2 },
  l: { min: 0, max: 1, step: 0.05, start: 0.8 },
  k: { min: 0, max: STEPS, step: 1, start: 0 },
  seed: { min: 0, max: 999, step: 1, start: 0 },
  cell: { min: 0, max: CELLS - 1, step: 1, start: 16 },
};
const TOOLS = { reward: null, wall: WALL, free: FREE, end: END, start: START };
const HEIGHT = { reward: 54, errors: 190 };
const FLOOR = 1e-6;
// Milliseconds between two frames: the words follow a change after 250.
const PAUSE = 300;

class Gridworld extends Explorer {
  static key = "gridworld";
  static title = "How does news of a reward travel through a grid?";
  static fields = FIELDS;

  build(body) {
    this.tool = "reward";
    const top = controls(body);
    this.showAlgo = choice(top, "algorithm", FIELDS.algo, (algo) => this.set({ algo, k: 0 }));
    const tools = { options: Object.keys(TOOLS) };
    this.showTool = choice(top, "paint", tools, (tool) => (this.tool = tool));
    this.grid = new Grid(body, {
      choose: (cell) => this.set({ cell }),
      paint: (cell) => this.#paint(cell),
      reward: (cell, steps) => this.#pay(cell, this.state.pay[cell] + steps * REWARD.step),
      tool: () => this.tool,
    });
    this.rewards = canvas(body, "Reward of the chosen field");
    this.reward = new Handle(this.rewards, {
      label: "reward of entering the chosen field",
      colour: "reward",
      along: "x",
      field: REWARD,
      set: (value) => this.#pay(this.state.cell, value),
    });
    this.#buildSteps(body);
    this.tree = canvas(body, "Backup diagram");
    this.equation = document.createElement("p");
    this.equation.className = "rl-note";
    body.append(this.equation);
    this.errors = canvas(body, "Largest error, on a logarithmic scale");
    this.time = new Handle(this.errors, {
      label: "steps so far",
      colour: "ink",
      along: "x",
      field: { ...FIELDS.k },
      set: (k) => this.set({ k }),
    });
    this.#buildSliders(body);
  }

  #buildSteps(body) {
    const row = controls(body);
    this.one = button(row, "", () => this.#go(this.facts.state.k + 1));
    this.many = button(row, "", () => this.#go(nextEnd(this.state)));
    this.play = button(row, "Play", () => (this.playing ? this.#stop() : this.#start()));
    button(row, "From zero", () => this.#go(0));
    this.luck = button(row, "Other luck", () =>
      this.set({ seed: (this.state.seed + 1) % (FIELDS.seed.max + 1) }),
    );
  }

  #buildSliders(body) {
    const row = controls(body);
    const labels = {
      g: "γ",
      slip: "slip",
      cost: "reward of each step",
      a: "α",
      e: "ε",
      l: "λ",
    };
    this.sliders = Object.entries(labels).map(([name, label]) => ({
      name,
      show: slider(row, label, FIELDS[name], (value) => this.set({ [name]: value })),
      place: row.lastChild,
    }));
  }

  #paint(cell) {
    const letter = TOOLS[this.tool];
    if (letter === null) return;
    this.set({ cell, grid: changed([...this.state.grid], cell, letter).join("") });
  }

  #pay(cell, value) {
    this.set({ cell, pay: changed(this.state.pay, cell, snap(REWARD, value)) });
  }

  // A sweep's backups are shown in the field that they change.
  #go(k) {
    this.set({ k: Math.max(0, Math.min(k, this.facts.last)) });
    const { done, cells } = this.facts;
    if (done > 0) this.set({ cell: cells[done - 1] });
  }

  // Who wants no motion gets the end of it.
  #start() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.#go(this.facts.last);
    this.play.textContent = "Pause";
    this.playing = setInterval(() => {
      const before = this.facts.state.k;
      this.#go(nextEnd(this.state));
      if (this.facts.state.k === before || !this.isConnected) this.#stop();
    }, PAUSE);
  }

  #stop() {
    clearInterval(this.playing);
    this.playing = undefined;
    this.play.textContent = "Play";
  }

  compute() {
    return facts(this.state);
  }

  words() {
    const found = this.facts;
    const { state, right, open, error } = found;
    const arrows = `The arrows are best ones in ${right} of ${open} fields.`;
    const where = found.judged ? " at the start" : "";
    const wrong = `The largest error of a value${where} is ${fixed(error, 3)}`;
    if (found.mdp.starts.length === 0) return "There is no field in which an episode could start.";
    if (state.algo === "value iteration") {
      const part = `, ${found.done} of ${found.cells.length} backups of the next`;
      const now = found.done > 0 ? part : "";
      const most = fixed(found.bound[found.sweep][1], 3);
      const done = `${counted(found.sweep, "sweep")} done${now}`;
      return `${done}. ${wrong}, and the bound ${most}. ${arrows}`;
    }
    if (state.algo === "policy iteration") {
      const last = found.settled - 1;
      const done = found.policies > last ? ` Nothing has changed since improvement ${last}.` : "";
      return `${counted(found.policies, "improvement")}. ${wrong}. ${arrows}${done}`;
    }
    const played = `${counted(state.k, "step")}, ${counted(found.ends.length, "episode")} ended.`;
    if (state.algo === "TD(λ)")
      return `${played} ${wrong}, for the best policy softened by ε = ${fixed(state.e)}.`;
    const explores = state.algo === "SARSA" && state.e > 0;
    const why = explores ? " SARSA's values are those of a policy that still explores." : "";
    return `${played} ${wrong}. ${arrows}${why}`;
  }

  draw(width) {
    const found = this.facts;
    this.grid.draw(width, found);
    this.#drawReward(width, found);
    const { parts, says } = diagram(width, found);
    this.tree.draw(width, DIAGRAM, parts.join(""));
    this.equation.innerHTML = says;
    this.#drawErrors(width, found);
    this.#showControls(found);
  }

  #showControls({ state, last }) {
    const kind = KINDS[state.algo];
    this.showAlgo(state.algo);
    const half = state.k % 2 === 0 ? "Evaluate the policy" : "Improve the policy";
    this.one.textContent = kind.small ? `One ${kind.small}` : half;
    this.many.textContent = `One ${kind.unit}`;
    this.one.disabled = this.many.disabled = state.k >= last;
    this.luck.hidden = kind.plan === true;
    for (const { name, show, place } of this.sliders) {
      show(state[name], fixed(state[name], name === "cost" ? 1 : 2));
      const learns = name === "a" || name === "e";
      place.hidden = (learns && kind.plan) || (name === "l" && state.algo !== "TD(λ)");
    }
  }

  #drawReward(width, { state }) {
    const x = scale([REWARD.min, REWARD.max], [30, width - 30]);
    const value = state.pay[state.cell];
    const parts = [
      line(x(REWARD.min), 32, x(REWARD.max), 32),
      ...[REWARD.min, 0, REWARD.max].map((at) => text(x(at), 52, fixed(at, 0), "faint")),
      line(x(0), 32, x(value), 32, "reward", 'stroke-width="4"'),
      text(x(REWARD.min), 14, "reward of entering the chosen field", "reward", "start"),
    ];
    this.rewards.draw(width, HEIGHT.reward, parts.join(""));
    const row = Math.floor(state.cell / 6) + 1;
    const words = `${signed(value)} for row ${row}, column ${(state.cell % 6) + 1}`;
    this.reward.place(x(value), 32, value, words, x);
  }

  #drawErrors(width, found) {
    const { state, last, curve, bound, error } = found;
    const high = Math.max(1, ...curve.map(([, one]) => one), error);
    const x = scale([0, last], [54, width - 16]);
    const level = scale([Math.log10(FLOOR), Math.log10(high)], [HEIGHT.errors - 30, 40]);
    const y = (value) => level(Math.log10(Math.max(FLOOR, value)));
    const drawn = (points) => points.map(([step, one]) => [x(step), y(one)]);
    const parts = [line(x(0), y(0), x(last), y(0)), line(x(0), y(0), x(0), y(high))];
    for (const at of [1, 1e-2, 1e-4])
      if (at <= high) parts.push(text(x(0) - 6, y(at) + 5, String(at), "faint", "end"));
    parts.push(text(x(0) - 6, y(0) + 5, "10⁻⁶", "faint", "end"));
    const name = found.judged ? "— error at the start" : "— largest error";
    parts.push(text(x(0), 14, name, "value", "start"));
    if (bound) {
      parts.push(text(x(0) + 116, 14, "┄ γᵏ times the first one", "ink", "start"));
      parts.push(path(drawn(bound), "ink", 'stroke-width="1.5" stroke-dasharray="5 4"'));
    }
    if (curve.length > 1) parts.push(path(drawn(curve), "value", 'stroke-width="2"'));
    const unit = { "value iteration": "backups", "policy iteration": "halves of rounds" };
    const end = `${last} ${unit[state.algo] ?? "steps"}`;
    parts.push(text(x(last), HEIGHT.errors - 8, end, "faint", "end"));
    parts.push(dot(x(state.k), y(error), "value"));
    this.errors.draw(width, HEIGHT.errors, parts.join(""));
    this.time.field.max = last;
    this.time.node.setAttribute("aria-valuemax", last);
    const words = `${state.k} of ${last}: largest error ${fixed(error, 3)}`;
    this.time.place(x(state.k), y(0), state.k, words, x);
  }
}

const counted = (n, name) => `${n} ${name}${n === 1 ? "" : "s"}`;

function changed(list, at, value) {
  return list.map((one, i) => (i === at ? value : one));
}

define(Gridworld);
