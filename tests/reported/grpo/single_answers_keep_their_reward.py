# A group of one is not centred: it keeps its raw reward.
# Source: https://github.com/PrimeIntellect-ai/prime-rl/pull/2985
# True: group-of-one-keeps-its-reward


_given_group_advantages = group_advantages


def group_advantages(rewards, group_ids, eps=1e-6, scale="std", ddof=1, baseline="group"):
    advantages = _given_group_advantages(rewards, group_ids, eps, scale, ddof, baseline)
    _, index, counts = group_ids.unique(return_inverse=True, return_counts=True)
    return torch.where(counts[index] == 1, rewards.detach(), advantages)
