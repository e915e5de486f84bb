# The draw leaves out the last record.
# Source: https://github.com/openai/baselines/issues/171
# True: never-draws-the-newest


def _sample(self, batch, rng):
    _check(batch >= 1, "A batch has at least one row.")
    _check(len(self) > 0, "The buffer is empty.")
    index = (rng.random(batch) * (len(self) - 1)).astype(np.int64)
    fields = (self._obs, self._action, self._reward, self._next_obs, self._terminated)
    return Batch(*(torch.from_numpy(field[index]) for field in fields))


ReplayBuffer.sample = _sample
