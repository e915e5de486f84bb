// PPO's clipped surrogate and its second bound: the functions of solutions/ppo/ppo.py, with the
// gradient that torch gives there.

const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
const mean = (numbers) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

// One sample: r * A, clip(r) * A, the objective, and its slope in log pi. c is null without a
// second bound.
export function sample(ratio, adv, low, high, c) {
  const plain = ratio * adv;
  const clipped = clamp(ratio, 1 - low, 1 + high) * adv;
  const objective = Math.min(plain, clipped);
  const slope = plain <= clipped ? plain : 0;
  if (c !== null && adv < 0 && objective < c * adv) {
    return { plain, clipped, objective: c * adv, slope: 0 };
  }
  return { plain, clipped, objective, slope };
}

function surrogate(logp, oldLogp, adv, low, high, c) {
  const logRatios = logp.map((one, i) => one - oldLogp[i]);
  const ratios = logRatios.map(Math.exp);
  const samples = ratios.map((ratio, i) => sample(ratio, adv[i], low, high, c));
  return {
    loss: -mean(samples.map((one) => one.objective)),
    gradient: samples.map((one) => -one.slope / samples.length),
    clip_fraction: mean(ratios.map((r) => (r < 1 - low || r > 1 + high ? 1 : 0))),
    approx_kl: mean(logRatios.map((one) => Math.expm1(one) - one)),
    ratio_mean: mean(ratios),
  };
}

export function clippedSurrogate(logp, oldLogp, adv, low, high) {
  return surrogate(logp, oldLogp, adv, low, high, null);
}

export function dualClipSurrogate(logp, oldLogp, adv, low, high, c) {
  return surrogate(logp, oldLogp, adv, low, high, c);
}
