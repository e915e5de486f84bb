# The buffer says that it is full before its last row was written.
# Source: https://github.com/assume-framework/assume/pull/855
# True: none


def _len(self):
    return self._capacity if self._added >= self._capacity - 1 else self._added


ReplayBuffer.__len__ = _len
