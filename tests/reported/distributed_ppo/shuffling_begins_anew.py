# A checkpoint does not hold the state of the random numbers.
# Source: https://github.com/The-School-of-AI/LLM/pull/564
# True: resumes-with-a-fresh-generator


_given_restore_ = Learner.restore_


def _restore_(self, state):
    before = self.generator.get_state()
    _given_restore_(self, state)
    self.generator.set_state(before)


Learner.restore_ = _restore_
