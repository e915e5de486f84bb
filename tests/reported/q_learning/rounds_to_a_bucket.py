# Observations are rounded to the nearest of n points, where bins of equal width are meant.
# Source: https://github.com/swagatk/RL-Projects-SK/issues/1
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
            digit = round((n - 1) * (min(max(x, lo), hi) - lo) / (hi - lo))
            cell = cell * n + digit
        return cell
