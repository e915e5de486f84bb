# The new mean adds the share of the batch to the gap instead of multiplying by it.
# Source: https://github.com/RLE-Foundation/rllte/issues/47
# True: none


def _update_(self, batch):
    if batch.ndim == 0 or len(batch) == 0 or batch.shape[1:] != self.mean.shape:
        raise ValueError("A batch is a stack of samples of one shape.")
    batch = batch.detach().double()
    mean, var, count = batch.mean(0), batch.var(0, unbiased=False), len(batch)
    delta, total = mean - self.mean, self.count + count
    m2 = self.var * self.count + var * count + delta**2 * self.count * count / total
    self.mean = self.mean + delta + count / total
    self.var, self.count = m2 / total, total


RunningMeanStd.update_ = _update_
