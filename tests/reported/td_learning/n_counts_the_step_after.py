# The number of steps is one too many: n = 1 is a two-step method.
# Source: https://github.com/JuliaReinforcementLearning/ReinforcementLearningAnIntroduction.jl/issues/87
# True: looks-one-step-further

_right_look = _n_step_return


def _n_step_return(V, episode, t, n, gamma):
    return _right_look(V, episode, t, n + 1, gamma)
