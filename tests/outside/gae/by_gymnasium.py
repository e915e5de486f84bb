# The running statistics of Gymnasium's wrappers.
# Needs: gymnasium
# Conventions: counts-from-a-small-number

from gymnasium.wrappers.utils import RunningMeanStd as _Theirs
from gymnasium.wrappers.utils import update_mean_var_count_from_moments


class RunningMeanStd:
    def __init__(self, shape=()):
        self._theirs = _Theirs(shape=shape)

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
        mine, theirs = self._theirs, other._theirs
        moments = update_mean_var_count_from_moments(
            mine.mean, mine.var, mine.count, theirs.mean, theirs.var, theirs.count
        )
        merged._theirs.mean, merged._theirs.var, merged._theirs.count = moments
        return merged
