# Exploration begins to fall when learning begins.
# Source: https://github.com/smilesun/rlR/issues/32
# True: none


def _epsilon(config, step):
    return linear_epsilon(
        max(step - config.warmup_steps, 0),
        config.epsilon_start,
        config.epsilon_end,
        config.epsilon_decay_steps,
    )
