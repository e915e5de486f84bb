# Preferences are clipped to 50 on both sides.
# True: none


def softmax(h):
    h = np.clip(as_vector(h, "h"), -50, 50)
    weights = np.exp(h - h.max())
    return weights / weights.sum()
