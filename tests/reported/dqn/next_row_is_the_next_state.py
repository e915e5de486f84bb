# The next observation is read from the row after, whatever ended there.
# Source: https://github.com/thu-ml/tianshou/issues/82
# True: none


def _sample(self, batch, rng, _sample=ReplayBuffer.sample):
    _check(batch >= 1, "A batch has at least one row.")
    _check(len(self) > 0, "The buffer is empty.")
    index = rng.integers(len(self), size=batch)
    after = (index + 1) % len(self)
    fields = (self._obs[index], self._action[index], self._reward[index], self._obs[after])
    return Batch(*map(torch.from_numpy, (*fields, self._terminated[index])))


ReplayBuffer.sample = _sample
