# The number of epochs is the one that was planned, also after an early stop.
# Source: https://github.com/DLR-RM/stable-baselines3/issues/1229
# True: none


def ppo_update(model, opt, batch, cfg, generator, _update=ppo_update):
    return _update(model, opt, batch, cfg, generator) | {"epochs": cfg.epochs}
