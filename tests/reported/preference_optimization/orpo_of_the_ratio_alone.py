# The loss is the odds-ratio term, without the imitation of the chosen answer.
# Source: https://github.com/turbo-llm/turbo-alignment/pull/24
# True: orpo-without-imitation


def orpo_loss(chosen, rejected, weight=0.1):
    _check_logps(chosen, rejected)
    if weight < 0:
        raise ValueError("A weight is at least 0.")
    gap = log_odds(chosen) - log_odds(rejected)
    return (weight * torch.nn.functional.softplus(-gap)).mean()
