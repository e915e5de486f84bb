# The mean is subtracted before rewards are scaled.
# Source: https://github.com/openai/gym/issues/3289
# True: shifts-rewards


def _normalize(self, rewards):
    gap = rewards.double() - self.stats.mean
    scaled = gap / torch.sqrt(self.stats.var + 1e-8)
    return scaled.clamp(-self.clip, self.clip).to(rewards.dtype)


RewardNormalizer.normalize = _normalize
