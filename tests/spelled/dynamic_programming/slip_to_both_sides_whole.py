# Each side gets the whole slip.
# True: none


def _astray(slip):
    return [(0, 1 - slip), (1, slip), (3, 0.0)]
