# The upper bound falls into a bin beyond the last one.
# Source: https://github.com/ucla-rlcourse/RLexample/pull/4
# True: none


class Discretizer(Discretizer):
    def __init__(self, low, high, bins, clip=4.0):
        super().__init__(low, high, bins, clip)
        self._low = np.where(np.isinf(low), -clip, low)
        self._high = np.where(np.isinf(high), clip, high)

    def encode(self, obs):
        super().encode(obs)
        cell = 0
        for x, lo, hi, n in zip(obs, self._low, self._high, self._bins, strict=True):
            cell = cell * n + max(int((x - lo) / (hi - lo) * n), 0)
        return cell
