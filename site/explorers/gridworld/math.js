// Planning and learning on a grid: grid_mdp, the operators and policy_iteration of
// solutions/dynamic_programming, train of solutions/q_learning, td_lambda_ of
// solutions/td_learning.
//
// A world is {grid, columns, pay, slip, gamma, step}: a word with one letter for each cell (. free,
// w wall, e end, s start), the reward of entering each cell, and the reward of each step. States
// are the cells that are not walls, row by row. Actions: left, down, right, up.

const ACTIONS = [0, 1, 2, 3];
const MOVES = [
  [0, -1],
  [1, 0],
  [0, 1],
  [-1, 0],
];
const TOLERANCE = 1e-9;

const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
const dot = (a, b) => a.reduce((total, one, i) => total + one * b[i], 0);
const zeros = (...shape) =>
  shape.length === 1
    ? new Array(shape[0]).fill(0)
    : Array.from({ length: shape[0] }, () => zeros(...shape.slice(1)));

// {P, R, full, terminal, starts}: full has the moves that end an episode too, P leaves them out.
// Without a start cell an episode starts anywhere.
export function gridMdp({ grid, columns, pay, slip, step }) {
  const cells = [...grid].flatMap((letter, at) => (letter === "w" ? [] : [at]));
  const number = new Map(cells.map((at, s) => [at, s]));
  const terminal = cells.map((at) => grid[at] === "e");
  const full = zeros(cells.length, 4, cells.length);
  const R = zeros(cells.length, 4);
  const astray = [1 - slip, slip / 2, 0, slip / 2];
  cells.forEach((at, s) => {
    if (terminal[s]) return;
    for (const a of ACTIONS) {
      R[s][a] = step;
      astray.forEach((probability, turn) => {
        const there = moved(at, MOVES[(a + turn) % 4], columns, grid.length);
        const s2 = number.get(there) ?? s;
        full[s][a][s2] += probability;
        R[s][a] += probability * pay[cells[s2]];
      });
    }
  });
  const P = full.map((rows) => rows.map((row) => row.map((p, s2) => (terminal[s2] ? 0 : p))));
  const marked = cells.flatMap((at, s) => (grid[at] === "s" ? [s] : []));
  const anywhere = cells.flatMap((_, s) => (terminal[s] ? [] : [s]));
  return { P, R, full, terminal, starts: marked.length > 0 ? marked : anywhere };
}

function moved(at, [down, right], columns, size) {
  const column = (at % columns) + right;
  const there = at + down * columns + right;
  return column < 0 || column >= columns || there < 0 || there >= size ? -1 : there;
}

// What each action is worth, the policy that is greedy for that, and the best value of each state.
export function lookAhead(world, v) {
  const { P, R } = gridMdp(world);
  return improved(P, R, v, world.gamma);
}

function improved(P, R, v, gamma) {
  const q = R.map((row, s) => row.map((r, a) => r + gamma * dot(P[s][a], v)));
  return { q, pi: greedy(q), v: q.map((row) => Math.max(...row)) };
}

export function greedy(q) {
  return q.map((row) => {
    const best = Math.max(...row);
    const ties = row.map((one) => (one >= best - TOLERANCE ? 1 : 0));
    return ties.map((one) => one / sum(ties));
  });
}

// The values after 0, 1, ..., n sweeps of value iteration.
export function sweeps(world, n) {
  const { P, R } = gridMdp(world);
  const found = [zeros(R.length)];
  while (found.length <= n) found.push(improved(P, R, found.at(-1), world.gamma).v);
  return found;
}

// What a policy is worth, by solving the Bellman equation.
export function policyValue(world, pi) {
  const { P, R } = gridMdp(world);
  return evaluated(P, R, pi, world.gamma);
}

function evaluated(P, R, pi, gamma) {
  const matrix = pi.map((row, s) =>
    R.map((_, s2) => (s === s2 ? 1 : 0) - gamma * sum(row.map((p, a) => p * P[s][a][s2]))),
  );
  return solved(
    matrix,
    pi.map((row, s) => dot(row, R[s])),
  );
}

// Gauss's elimination with pivots.
function solved(matrix, right) {
  const rows = matrix.map((row, i) => [...row, right[i]]);
  const n = rows.length;
  for (let i = 0; i < n; i++) {
    let pivot = i;
    for (let j = i + 1; j < n; j++)
      if (Math.abs(rows[j][i]) > Math.abs(rows[pivot][i])) pivot = j;
    [rows[i], rows[pivot]] = [rows[pivot], rows[i]];
    for (let j = i + 1; j < n; j++) {
      const factor = rows[j][i] / rows[i][i];
      if (factor !== 0) for (let k = i; k <= n; k++) rows[j][k] -= factor * rows[i][k];
    }
  }
  const found = zeros(n);
  for (let i = n - 1; i >= 0; i--) {
    let left = rows[i][n];
    for (let k = i + 1; k < n; k++) left -= rows[i][k] * found[k];
    found[i] = left / rows[i][i];
  }
  return found;
}

// Policy iteration from the uniform policy: each policy with its value, the last one twice.
export function policyIteration(world) {
  const { P, R } = gridMdp(world);
  const found = [];
  let pi = R.map(() => [0.25, 0.25, 0.25, 0.25]);
  for (let iters = 1; iters <= 1000; iters++) {
    const v = evaluated(P, R, pi, world.gamma);
    found.push({ pi, v });
    const better = improved(P, R, v, world.gamma).pi;
    if (String(better) === String(pi)) return found;
    pi = better;
  }
  return found;
}

// Uniform numbers from a list, one after the other.
const told = (numbers) => {
  let at = 0;
  return () => numbers[at++];
};

function drawn(probabilities, u) {
  let total = 0;
  const found = probabilities.findIndex((one) => (total += one) > u);
  return found < 0 ? probabilities.length - 1 : found;
}

// Where episodes start, and what a step does.
function environment(world, limit, numbers) {
  const { full, terminal, starts, R } = gridMdp(world);
  const next = told(numbers);
  const cells = [...world.grid].flatMap((letter, at) => (letter === "w" ? [] : [at]));
  let s = 0;
  let steps = 0;
  return {
    states: R.length,
    possible: starts.length > 0,
    reset() {
      steps = 0;
      s = starts[Math.floor(next() * starts.length)];
      return s;
    },
    step(a) {
      s = drawn(full[s][a], next());
      steps += 1;
      const terminated = terminal[s];
      const ended = terminated || steps === limit;
      return { s2: s, r: world.step + world.pay[cells[s]], terminated, ended };
    },
  };
}

function epsilonGreedy(row, epsilon, next) {
  if (next() < epsilon) return Math.floor(next() * row.length);
  const highest = Math.max(...row);
  const best = ACTIONS.filter((a) => row[a] === highest);
  return best[Math.floor(next() * best.length)];
}

// So many steps of "q_learning" or "sarsa". rates: {alpha, epsilon, limit}, limit = steps of an
// episode before the clock stops it. An episode that has ended is noted as {step, value}.
export function learn(world, algo, rates, steps, choices, dice) {
  const env = environment(world, rates.limit, dice);
  const next = told(choices);
  const Q = zeros(env.states, 4);
  const episodes = [];
  let last = null;
  let [s, a] = [null, null];
  for (let t = 1; t <= steps && env.possible; t++) {
    s ??= env.reset();
    a ??= epsilonGreedy(Q[s], rates.epsilon, next);
    const { s2, r, terminated, ended } = env.step(a);
    const a2 = algo === "sarsa" ? epsilonGreedy(Q[s2], rates.epsilon, next) : null;
    const old = Q[s][a];
    const future = algo === "sarsa" ? Q[s2][a2] : Math.max(...Q[s2]);
    const row = [...Q[s2]];
    const delta = r + (terminated ? 0 : world.gamma * future) - old;
    Q[s][a] += rates.alpha * delta;
    last = { s, a, r, s2, a2, terminated, old, row, delta };
    if (ended) episodes.push({ step: t, value: Q.map((one) => Math.max(...one)) });
    [s, a] = ended ? [null, null] : [s2, a2];
  }
  return { Q, last, episodes };
}

// So many steps of TD(lambda) with replacing traces, which follows a policy and learns its value.
// rates: {alpha, lam, limit}.
export function tdLambda(world, pi, rates, steps, choices, dice) {
  const env = environment(world, rates.limit, dice);
  const next = told(choices);
  const V = zeros(env.states);
  const episodes = [];
  let [s, z, last] = [null, zeros(env.states), null];
  for (let t = 1; t <= steps && env.possible; t++) {
    if (s === null) [s, z] = [env.reset(), zeros(env.states)];
    const a = drawn(pi[s], next());
    const { s2, r, terminated, ended } = env.step(a);
    const [old, after] = [V[s], terminated ? 0 : V[s2]];
    const delta = r + world.gamma * after - old;
    for (let i = 0; i < z.length; i++) z[i] *= world.gamma * rates.lam;
    z[s] = 1;
    for (let i = 0; i < z.length; i++) V[i] += rates.alpha * delta * z[i];
    last = { s, a, r, s2, terminated, old, after, delta };
    if (ended) episodes.push({ step: t, value: [...V] });
    s = ended ? null : s2;
  }
  return { V, z, last, episodes };
}
