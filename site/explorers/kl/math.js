// How far is one categorical policy from another: exactly, and as the estimators of
// solutions/ppo/ppo.py see it.

const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
const KINDS = {
  k1: (logRatio) => -logRatio,
  k2: (logRatio) => 0.5 * logRatio ** 2,
  k3: (logRatio) => Math.expm1(logRatio) - logRatio,
};

// KL(p || q) of two lists of probabilities.
export function exactKl(p, q) {
  return sum(p.map((one, i) => one * Math.log(one / q[i])));
}

// The mean of each estimator over samples: log-probabilities of actions that the old policy took.
export function approxKl(logp, oldLogp) {
  const logRatios = logp.map((one, i) => one - oldLogp[i]);
  const mean = (kind) => sum(logRatios.map(kind)) / logRatios.length;
  return { k1: mean(KINDS.k1), k2: mean(KINDS.k2), k3: mean(KINDS.k3) };
}

// Each estimator for each action, its mean under the old policy, and the standard deviation of one
// sample.
export function enumerated(old, now) {
  return Object.fromEntries(
    Object.entries(KINDS).map(([name, kind]) => {
      const each = old.map((p, i) => kind(Math.log(now[i]) - Math.log(p)));
      const mean = sum(old.map((p, i) => p * each[i]));
      const variance = sum(old.map((p, i) => p * (each[i] - mean) ** 2));
      return [name, { each, mean, sd: Math.sqrt(variance) }];
    }),
  );
}
