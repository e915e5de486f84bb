# The estimate of the divergence takes the log-ratio of policy to reference.
# Source: https://github.com/walkinglabs/hands-on-modern-rl/issues/27
# True: kl-swapped


def k3_kl(logp, ref_logp):
    if logp.shape != ref_logp.shape:
        raise ValueError("Policy and reference need one shape.")
    log_ratio = logp - ref_logp.detach()
    return torch.exp(log_ratio) - 1 - log_ratio
