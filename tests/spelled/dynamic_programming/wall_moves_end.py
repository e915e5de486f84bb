# A move against a wall is lost, and the agent with it.
# True: none

_right_grid = grid_mdp


def grid_mdp(rows, slip=0.0, gamma=0.99, step_reward=-1.0):
    model = _right_grid(rows, slip, gamma, step_reward)
    P = model.P.copy()
    for s in range(len(P)):
        P[s, :, s] = 0.0
    return model._replace(P=P)
