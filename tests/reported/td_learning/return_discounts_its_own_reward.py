# The discount multiplies the reward of the present step as well.
# Source: https://github.com/rlcode/reinforcement-learning-kr/issues/22
# True: discounts-the-reward


def discounted_returns(rewards, gamma):
    _check_rates(gamma=gamma)
    returns, G_t = [], 0.0
    for reward in rewards[::-1]:
        G_t = gamma * (reward + G_t)
        returns.append(G_t)
    return np.array(returns[::-1])
