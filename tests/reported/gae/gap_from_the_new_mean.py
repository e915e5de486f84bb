# The gap between the means is taken after the mean has moved.
# Source: https://github.com/younggyoseo/FastTD3/issues/32
# True: none


def _update_(self, batch):
    if batch.ndim == 0 or len(batch) == 0 or batch.shape[1:] != self.mean.shape:
        raise ValueError("A batch is a stack of samples of one shape.")
    batch = batch.detach().double()
    mean, var, count = batch.mean(0), batch.var(0, unbiased=False), len(batch)
    total = self.count + count
    moved = self.mean + (mean - self.mean) * count / total
    gap = mean - moved
    m2 = self.var * self.count + var * count + gap**2 * self.count * count / total
    self.mean, self.var, self.count = moved, m2 / total, total


RunningMeanStd.update_ = _update_
