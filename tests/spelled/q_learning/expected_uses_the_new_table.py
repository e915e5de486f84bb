# Expected SARSA averages over a policy that is made after the step.
# True: none

_right_learn = _Agent.learn_


def _learn_(self, s, a, r, s2, a2, terminated, epsilon):
    if self.algo != "expected_sarsa":
        return _right_learn(self, s, a, r, s2, a2, terminated, epsilon)
    Q = self.tables[0]
    pi = _epsilon_greedy_probs(Q[s], epsilon)
    Q[s, a] += self.alpha * (expected_sarsa_target(r, Q[s2], pi, self.gamma, terminated) - Q[s, a])


_Agent.learn_ = _learn_
