// Agents of solutions/bandits/bandits.py, and what their choices cost. Random numbers come as
// lists: uniform ones for choices, normal ones for rewards, each in the order of the solution.

const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);

function argmaxRandom(q, next) {
  const highest = Math.max(...q);
  const best = q.map((_, arm) => arm).filter((arm) => q[arm] === highest);
  return best[Math.floor(next() * best.length)];
}

function epsilonGreedy({ epsilon, alpha, initial }, k) {
  const q = new Array(k).fill(initial);
  const counts = new Array(k).fill(0);
  return {
    select(t, next) {
      return next() < epsilon ? Math.floor(next() * k) : argmaxRandom(q, next);
    },
    update(arm, reward) {
      counts[arm] += 1;
      q[arm] += (alpha === null ? 1 / counts[arm] : alpha) * (reward - q[arm]);
    },
  };
}

function ucb({ c }, k) {
  const q = new Array(k).fill(0);
  const counts = new Array(k).fill(0);
  return {
    select(t, next) {
      const growth = Math.log(t);
      const score = (value, arm) =>
        counts[arm] > 0 ? value + c * Math.sqrt(growth / counts[arm]) : Infinity;
      return argmaxRandom(q.map(score), next);
    },
    update(arm, reward) {
      counts[arm] += 1;
      q[arm] += (1 / counts[arm]) * (reward - q[arm]);
    },
  };
}

function softmax(h) {
  const highest = Math.max(...h);
  const weights = h.map((one) => Math.exp(one - highest));
  const total = sum(weights);
  return weights.map((one) => one / total);
}

function gradient({ alpha }, k) {
  let h = new Array(k).fill(0);
  let baseline = 0;
  let steps = 0;
  return {
    select(t, next) {
      let left = next();
      const found = softmax(h).findIndex((one) => (left -= one) < 0);
      return found < 0 ? k - 1 : found;
    },
    update(arm, reward) {
      steps += 1;
      const step = alpha * (reward - baseline);
      h = softmax(h).map((pi, one) => h[one] + step * ((one === arm ? 1 : 0) - pi));
      baseline += (1 / steps) * (reward - baseline);
    },
  };
}

const KINDS = { epsilon: epsilonGreedy, ucb, gradient };

// One run: the arm of each step, and the regret up to and including it.
export function play(agent, means, steps, uniform, normal) {
  const player = KINDS[agent.kind](agent, means.length);
  const highest = Math.max(...means);
  const actions = [];
  const regret = [];
  let drawn = 0;
  let lost = 0;
  const next = () => uniform[drawn++];
  for (let t = 1; t <= steps; t++) {
    const arm = player.select(t, next);
    player.update(arm, means[arm] + normal[t - 1]);
    lost += highest - means[arm];
    actions.push(arm);
    regret.push(lost);
  }
  return { actions, regret };
}

// Means over runs: regret at each step, shares of the arms' pulls, what one of the last `late`
// steps costs, and the share of runs in which the best arm is never pulled there.
export function study(agent, means, steps, streams, late) {
  const runs = streams.map(({ uniform, normal }) => play(agent, means, steps, uniform, normal));
  const over = (pick) => sum(runs.map(pick)) / runs.length;
  const best = means.indexOf(Math.max(...means));
  const share = (arm) => over(({ actions }) => actions.filter((one) => one === arm).length / steps);
  return {
    regret: runs[0].regret.map((_, t) => over(({ regret }) => regret[t])),
    shares: means.map((_, arm) => share(arm)),
    price: over(({ regret }) => (regret[steps - 1] - regret[steps - 1 - late]) / late),
    stuck: over(({ actions }) => (actions.slice(-late).includes(best) ? 0 : 1)),
  };
}
