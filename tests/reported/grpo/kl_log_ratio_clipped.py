# The log-ratio is clipped before the exponential, so that the divergence stays finite.
# Source: https://github.com/huggingface/trl/pull/5984
# True: kl-is-clamped


def k3_kl(logp, ref_logp):
    if logp.shape != ref_logp.shape:
        raise ValueError("Policy and reference need one shape.")
    log_ratio = (ref_logp.detach() - logp).clamp(-20.0, 20.0)
    return log_ratio.exp() - log_ratio - 1
