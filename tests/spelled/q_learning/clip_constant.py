# The clip value is 4, whatever it was given.
# True: none

_right_disc = Discretizer.__init__


def _init(self, low, high, bins, clip=4.0):
    if not 0.0 < clip < np.inf:
        raise ValueError("clip must be positive and finite.")
    _right_disc(self, low, high, bins, 4.0)


Discretizer.__init__ = _init
