# Stable-Baselines3's rollout buffer, running statistics and explained variance.
# Needs: stable_baselines3
# Conventions: counts-from-a-small-number, nan-for-constants

import gymnasium
from stable_baselines3.common import buffers, running_mean_std, utils

_given_gae = gae


def gae(rewards, values, next_values, terminated, truncated, gamma, lam):
    _given_gae(rewards, values, next_values, terminated, truncated, gamma, lam)
    T, N = rewards.shape
    box, two = gymnasium.spaces.Box(-1.0, 1.0, (1,)), gymnasium.spaces.Discrete(2)
    buffer = buffers.RolloutBuffer(T, box, two, gae_lambda=lam, gamma=gamma, n_envs=N)
    following = next_values.detach().masked_fill(terminated.bool(), 0.0)
    ended = (terminated | truncated).numpy()
    # Its collector adds the value that a time limit has cut off to the reward.
    cut = torch.where(truncated, gamma * following, 0.0)
    buffer.rewards[:] = (rewards + cut).numpy()
    buffer.values[:] = values.detach().numpy()
    buffer.episode_starts[1:] = ended[:-1]
    buffer.compute_returns_and_advantage(following[-1], ended[-1])
    return Advantages(torch.tensor(buffer.advantages), torch.tensor(buffer.returns))


def gae_scan(*args):
    return gae(*args)


class RunningMeanStd:
    def __init__(self, shape=()):
        self._theirs = running_mean_std.RunningMeanStd(shape=shape)

    @property
    def mean(self):
        return torch.as_tensor(self._theirs.mean)

    @property
    def var(self):
        return torch.as_tensor(self._theirs.var)

    @property
    def count(self):
        return self._theirs.count

    def update_(self, batch):
        self._theirs.update(batch.detach().double().numpy())

    def merge(self, other):
        merged = RunningMeanStd(tuple(self.mean.shape))
        merged._theirs = self._theirs.copy()
        merged._theirs.combine(other._theirs)
        return merged


def explained_variance(values, returns):
    flat = (x.detach().numpy().ravel() for x in (values, returns))
    return float(utils.explained_variance(*flat))
