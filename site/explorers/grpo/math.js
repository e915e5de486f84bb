// What GRPO and PPO make of the same answers: group_advantages, informative_groups, aggregate and
// grpo_loss of solutions/grpo, gae and clipped_surrogate of solutions/gae and solutions/ppo.

const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
const mean = (numbers) => sum(numbers) / numbers.length;

// {mean, std} of the rewards of one group.
export function spread(rewards) {
  const middle = mean(rewards);
  const squares = rewards.map((one) => (one - middle) ** 2);
  return { mean: middle, std: Math.sqrt(sum(squares) / (rewards.length - 1)) };
}

export function groupAdvantages(rewards, groups, eps, scale, baseline) {
  return rewards.map((one, i) => {
    const group = rewards.filter((_, j) => groups[j] === groups[i]);
    if (group.every((other) => other === group[0])) return 0;
    const { mean: middle, std } = spread(group);
    const n = group.length;
    const centred = (one - middle) * (baseline === "others" ? n / (n - 1) : 1);
    if (scale === "none") return centred;
    return centred / ((scale === "mean" ? middle : std) + eps);
  });
}

export function informativeGroups(rewards, groups) {
  return rewards.map((_, i) =>
    rewards.some((one, j) => groups[j] === groups[i] && one !== rewards[groups.indexOf(groups[i])]),
  );
}

// What a token of each row weighs in the loss.
export function tokenWeights(lengths, agg, maxLen) {
  const rows = lengths.length;
  return lengths.map((length) => {
    if (agg === "token-mean") return 1 / sum(lengths);
    return 1 / (rows * (agg === "seq-sum-const" ? maxLen : length));
  });
}

// How hard the first step on a batch pulls at the log-probability of a token of each row.
export function grpoPull(advantages, lengths, agg, maxLen) {
  return tokenWeights(lengths, agg, maxLen).map((weight, i) => weight * advantages[i]);
}

// A reward at the last token, and a critic that says the same of all tokens.
export function ppoAdvantages(reward, value, length, lam) {
  return Array.from({ length }, (_, t) => lam ** (length - 1 - t) * (reward - value));
}

// The same pull in PPO, for each token of each row: a mean over all tokens.
export function ppoPull(rewards, values, lengths, lam) {
  const tokens = sum(lengths);
  return rewards.map((reward, i) =>
    ppoAdvantages(reward, values[i], lengths[i], lam).map((one) => one / tokens),
  );
}
