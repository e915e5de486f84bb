# The behaviour takes np.argmax although a helper breaks ties.
# Source: https://github.com/IntelLabs/coach/issues/414
# True: ties-go-to-the-first-action


def _act(self, s, epsilon):
    if self.rng.random() < epsilon:
        return int(self.rng.integers(self.tables.shape[-1]))
    return int(np.argmax(self.tables[:, s].sum(axis=0)))


_Agent.act = _act
