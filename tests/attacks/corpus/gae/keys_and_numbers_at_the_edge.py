"""Tries: answer with integers at and beyond every edge, keys that are equal or equal to nothing, and numbers that are true.

Deserves: full without explained_variance
Base: solution
Control: none, because the naive grader does not ask for this function
"""

NAN = float("nan")
ANSWERS = [10**900, -(2**63) - 1, 2**64, 10**5000, {NAN: 1.0, float("nan"): 2.0}, {1: 0.0, 2**63: 1.0, -0.0: 2.0}, {(): {}}, True, -0.0, 1e309,
           complex(1, NAN), range(10**18), slice(10**900), {"__class__": 1}, frozenset([frozenset()]), b"\xff", ...]  # fmt: skip
asked = []


def explained_variance(values, returns):
    asked.append(1)
    return ANSWERS[hash(float(values.reshape(-1)[0])) % len(ANSWERS)]
