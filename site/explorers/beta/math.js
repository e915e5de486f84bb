// Two rules for the weight of a KL penalty, over several updates: those of solutions/ppo/ppo.py.

// kl_penalty_beta: doubled if the policy moved too far, halved if not far enough. The first of the
// results is the weight at the start.
export function doubling(beta, kls, target) {
  const betas = [beta];
  for (const kl of kls) {
    const last = betas.at(-1);
    betas.push(kl > 1.5 * target ? 2 * last : kl < target / 1.5 ? last / 2 : last);
  }
  return betas;
}

// AdaptiveKLController: a factor by the clipped relative error, after n steps of each update.
export function proportional(beta, kls, target, horizon, n) {
  const betas = [beta];
  for (const kl of kls) {
    const error = Math.min(Math.max(kl / target - 1, -0.2), 0.2);
    betas.push(betas.at(-1) * (1 + (error * n) / horizon));
  }
  return betas;
}
