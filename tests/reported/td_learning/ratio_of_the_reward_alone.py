# The importance ratio multiplies the reward inside the bracket.
# Source: https://github.com/LyWangPX/Reinforcement-Learning-2nd-Edition-by-Sutton-Exercise-Solutions/issues/30
# True: rho-on-the-reward-alone


def off_policy_td0_update_(V, s, r, s2, terminated, rho, alpha, gamma):
    _check_rates(alpha=alpha, gamma=gamma)
    if not rho >= 0.0:
        raise ValueError(f"rho is a ratio of probabilities, not {rho}.")
    delta = td_target(r, V[s2], gamma, terminated) - V[s]
    v_next = 0.0 if terminated else V[s2]
    V[s] += alpha * (rho * r + gamma * v_next - V[s])
    return float(delta)
