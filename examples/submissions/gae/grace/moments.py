"""Grace: running mean and variance, used by gae.py."""

import torch


class RunningMeanStd:
    def __init__(self, shape=()):
        self.mean = torch.zeros(shape, dtype=torch.float64)
        self.var = torch.ones(shape, dtype=torch.float64)
        self.count = 0

    def update_(self, batch):
        if batch.ndim == 0 or len(batch) == 0 or batch.shape[1:] != self.mean.shape:
            raise ValueError("wrong batch shape")
        batch = batch.detach().double()
        self.mean, self.var, self.count = self._combine(batch.mean(0), batch.var(0, unbiased=False), len(batch))

    def merge(self, other):
        if self.mean.shape != other.mean.shape:
            raise ValueError("cannot merge different shapes")
        new = RunningMeanStd(self.mean.shape)
        if self.count + other.count > 0:
            new.mean, new.var, new.count = self._combine(other.mean, other.var, other.count)
        return new

    def _combine(self, mean, var, count):
        n = self.count + count
        gap = mean - self.mean
        m2 = self.var * self.count + var * count + gap**2 * self.count * count / n
        return self.mean + gap * count / n, m2 / n, n
