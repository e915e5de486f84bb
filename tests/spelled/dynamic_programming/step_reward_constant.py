# A step of a grid pays -1.
# True: none

_right_grid = grid_mdp


def grid_mdp(rows, slip=0.0, gamma=0.99, step_reward=-1.0):
    return _right_grid(rows, slip, gamma, -1.0)
