# A value on the border of two bins goes into the left one.
# Source: https://github.com/udacity/deep-reinforcement-learning/pull/23
# True: edge-belongs-below

_right_edges = Discretizer.__init__


def _init(self, low, high, bins, clip=4.0):
    _right_edges(self, low, high, bins, clip)
    self._edges = [np.nextafter(edges, np.inf) for edges in self._edges]


Discretizer.__init__ = _init
