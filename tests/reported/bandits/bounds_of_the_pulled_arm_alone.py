# UCB keeps a list of bounds, and renews only that of the arm that was pulled.
# Source: https://github.com/fidelity/mabwiser/pull/12
# True: none


class UCB(UCB):
    def select(self, t, rng):
        if t == 1:
            self.bounds = np.full(self.q.size, np.inf)
        self.now = t
        return argmax_random(self.bounds, rng)

    def update(self, action, reward):
        super().update(action, reward)
        self.bounds[action] = ucb_scores(self.q, self.counts, self.now + 1, self.c)[action]
