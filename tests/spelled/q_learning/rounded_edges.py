# The edges are rounded to two digits.
# True: none

_right_disc = Discretizer.__init__


def _init(self, low, high, bins, clip=4.0):
    _right_disc(self, low, high, bins, clip)
    self._edges = [np.round(edges, 2) for edges in self._edges]


Discretizer.__init__ = _init
