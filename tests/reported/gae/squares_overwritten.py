# The sum of squares is replaced by that of the newest batch instead of added to.
# Source: https://github.com/akanazawa/fpo/issues/13
# True: none


def _update_(self, batch):
    if batch.ndim == 0 or len(batch) == 0 or batch.shape[1:] != self.mean.shape:
        raise ValueError("A batch is a stack of samples of one shape.")
    batch = batch.detach().double()
    total = self.count + len(batch)
    new_mean = self.mean + (batch - self.mean).sum(0) / total
    self.var = ((batch - self.mean) * (batch - new_mean)).sum(0) / total
    self.mean, self.count = new_mean, total


RunningMeanStd.update_ = _update_
