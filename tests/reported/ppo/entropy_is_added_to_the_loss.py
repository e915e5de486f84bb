# The entropy is added to what is minimised.
# Source: https://github.com/nebuly-ai/optimate/pull/250
# True: entropy-punished


def total_loss(policy_loss, value_loss, entropy, value_coef, entropy_coef):
    if value_coef < 0 or entropy_coef < 0:
        raise ValueError("weights may not be negative.")
    return policy_loss + (value_coef * value_loss + entropy_coef * entropy)
