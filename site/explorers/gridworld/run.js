// What the state of <rl-gridworld> means: the values, the arrows, what happened last, the errors.
import { generator } from "../lib/random.js";
import {
  greedy,
  gridMdp,
  learn,
  lookAhead,
  policyIteration,
  policyValue,
  sweeps,
  tdLambda,
} from "./math.js";

export const COLUMNS = 6,
  ROWS = 4;
export const CELLS = COLUMNS * ROWS;
export const WALL = "w",
  END = "e",
  START = "s",
  FREE = ".";
export const STEPS = 3000;
const LIMIT = 60,
  SWEEPS = 30,
  ROUNDS = 16;

export const KINDS = {
  "value iteration": { unit: "sweep", small: "backup", plan: true },
  "policy iteration": { unit: "round", plan: true },
  "Q-learning": { unit: "episode", small: "step", algo: "q_learning" },
  SARSA: { unit: "episode", small: "step", algo: "sarsa" },
  "TD(λ)": { unit: "episode", small: "step" },
};

// The largest error of a value; of some states, or of all.
function gap(one, other, states = one.map((_, s) => s)) {
  return Math.max(0, ...states.map((s) => Math.abs(one[s] - other[s])));
}

export function facts(state) {
  const world = {
    grid: state.grid,
    columns: COLUMNS,
    pay: state.pay,
    slip: state.slip,
    gamma: state.g,
    step: state.cost,
  };
  const cells = [...state.grid].flatMap((letter, at) => (letter === WALL ? [] : [at]));
  const mdp = gridMdp(world);
  const best = policyIteration(world).at(-1);
  const shared = { state, world, cells, mdp, best };
  shared.state = { ...state, k: Math.min(state.k, limit(shared)) };
  const kind = KINDS[state.algo];
  if (state.algo === "value iteration") return finish(shared, valueIteration(shared));
  if (state.algo === "policy iteration") return finish(shared, rounds(shared));
  return finish(shared, kind.algo ? control(shared, kind.algo) : prediction(shared));
}

export function limit({ state, cells }) {
  if (state.algo === "value iteration") return SWEEPS * cells.length;
  return state.algo === "policy iteration" ? ROUNDS : STEPS;
}

// How many cells have arrows all of which are best ones.
function finish(shared, found) {
  const { mdp, best, state, cells } = shared;
  const right = mdp.terminal.map(
    (end, s) => !end && found.pi[s].every((p, a) => p === 0 || best.pi[s][a] > 0),
  );
  const open = mdp.terminal.filter((end) => !end).length;
  const target = found.target ?? best.v;
  return {
    ...shared,
    ...found,
    target,
    last: limit(shared),
    right: right.filter(Boolean).length,
    open,
    error: gap(found.v, target, found.judged),
    chosen: cells.indexOf(state.cell),
  };
}

// In a sweep each backup reads old values alone.
function valueIteration({ state, world, cells, best }) {
  const size = cells.length;
  const sweep = size === 0 ? 0 : Math.floor(state.k / size);
  const done = state.k - sweep * size;
  const all = sweeps(world, SWEEPS);
  const ahead = lookAhead(world, all[sweep]);
  const v = all[sweep].map((old, s) => (s < done ? ahead.v[s] : old));
  return {
    v,
    old: all[sweep],
    q: ahead.q,
    pi: lookAhead(world, v).pi,
    sweep,
    done,
    curve: all.map((values, i) => [i * size, gap(values, best.v)]),
    bound: all.map((_, i) => [i * size, world.gamma ** i * gap(all[0], best.v)]),
  };
}

// Odd halves evaluate, even ones improve.
function rounds({ state, world, best, mdp }) {
  const all = policyIteration(world);
  const at = (round) => all[Math.min(round, all.length - 1)];
  const policies = Math.floor(state.k / 2);
  const evaluated = Math.floor((state.k + 1) / 2);
  const v = evaluated === 0 ? mdp.R.map(() => 0) : at(evaluated - 1).v;
  const errors = Array.from({ length: ROUNDS / 2 }, (_, i) => gap(at(i).v, best.v));
  return {
    v,
    old: v,
    q: lookAhead(world, v).q,
    pi: at(policies).pi,
    policies,
    settled: all.length,
    curve: errors.map((error, i) => [2 * i + 1, error]),
    bound: errors.map((_, i) => [2 * i + 1, world.gamma ** i * errors[0]]),
  };
}

// Choices and dice have a stream each, so that a link shows the same luck again.
const stream = (seed, n) => Array.from({ length: n }, generator(seed));
const streams = ({ seed, k }) => [stream(2 * seed, 6 * k + 9), stream(2 * seed + 1, 2 * k + 9)];

function control({ state, world, best, mdp }, algo) {
  const rates = { alpha: state.a, epsilon: state.e, limit: LIMIT };
  const { Q, last, episodes } = learn(world, algo, rates, state.k, ...streams(state));
  const v = Q.map((row) => Math.max(...row));
  return { v, q: Q, pi: greedy(Q), move: last, ...learned(episodes, best.v, mdp.starts) };
}

// A learner is judged where its episodes start: it may never come to some other fields.
function learned(episodes, target, starts) {
  const from = { step: 0, value: target.map(() => 0) };
  return {
    ends: episodes.map(({ step }) => step),
    judged: starts,
    curve: [from, ...episodes].map(({ step, value }) => [step, gap(value, target, starts)]),
  };
}

// It evaluates the best policy, softened by exploration.
function prediction({ state, world, best, mdp }) {
  const pi = best.pi.map((row) => row.map((p) => (1 - state.e) * p + state.e / 4));
  const rates = { alpha: state.a, lam: state.l, limit: LIMIT };
  const target = policyValue(world, pi);
  const { V, z, last, episodes } = tdLambda(world, pi, rates, state.k, ...streams(state));
  return { v: V, z, pi: best.pi, move: last, target, ...learned(episodes, target, mdp.starts) };
}

// The number of steps at which the next sweep, round or episode has ended.
export function nextEnd(state) {
  const found = facts(state);
  const { k } = found.state;
  if (state.algo === "value iteration") return (found.sweep + 1) * found.cells.length;
  if (state.algo === "policy iteration") return k + 2 - (k % 2);
  const ahead = facts({ ...state, k: Math.min(STEPS, k + LIMIT) });
  return ahead.ends.find((step) => step > k) ?? ahead.state.k;
}
