// Generalized advantage estimation of one column of a rollout: td_residuals and gae of
// solutions/gae/gae.py, and what follows from their being linear in the rewards.

export function tdResiduals(rewards, values, nextValues, terminated, gamma) {
  return rewards.map((r, t) => r + gamma * (terminated[t] ? 0 : nextValues[t]) - values[t]);
}

export function gae(rewards, values, nextValues, terminated, truncated, gamma, lam) {
  const deltas = tdResiduals(rewards, values, nextValues, terminated, gamma);
  const advantages = new Array(rewards.length);
  let following = 0;
  for (let t = rewards.length - 1; t >= 0; t--) {
    if (terminated[t] || truncated[t]) following = 0;
    following = deltas[t] + gamma * lam * following;
    advantages[t] = following;
  }
  return { advantages, returns: advantages.map((one, t) => one + values[t]) };
}

// Row t, column j: how much the advantage of step t grows with the reward of step j.
export function influence(terminated, truncated, gamma, lam) {
  const zeros = terminated.map(() => 0);
  const columns = zeros.map((_, j) => {
    const one = zeros.map((_, t) => (t === j ? 1 : 0));
    return gae(one, zeros, zeros, terminated, truncated, gamma, lam).advantages;
  });
  return zeros.map((_, t) => columns.map((column) => column[t]));
}

// For the advantage of one step, where each reward has noise of this standard deviation: the bias,
// which is how far the mean is from what lambda = 1 says, and the variance.
export function tradeOff(rewards, values, nextValues, terminated, truncated, gamma, lam, sd, step) {
  const at = (one) =>
    gae(rewards, values, nextValues, terminated, truncated, gamma, one).advantages[step];
  const weights = influence(terminated, truncated, gamma, lam)[step];
  return {
    bias: at(lam) - at(1),
    variance: sd ** 2 * weights.reduce((sum, one) => sum + one ** 2, 0),
  };
}
