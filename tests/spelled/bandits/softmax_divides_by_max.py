# The preferences are divided by their largest, where it should be subtracted.
# True: none


def softmax(h):
    h = as_vector(h, "h")
    weights = np.exp(h - np.max(np.abs(h)))
    return weights / weights.sum()
