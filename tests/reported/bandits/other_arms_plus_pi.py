# The other arms move by plus pi, where the indicator minus pi is meant.
# Source: https://github.com/ShangtongZhang/reinforcement-learning-an-introduction/issues/64
# True: none


def gradient_bandit_step(h, baseline, action, reward, alpha):
    h = as_vector(h, "h")
    require(0 <= action < h.size, "The action must be one of the arms.")
    require(alpha > 0, "alpha must be positive.")
    pi = softmax(h)
    direction = pi.copy()
    direction[action] = 1 - pi[action]
    return h + alpha * (reward - baseline) * direction
