# Advantages are normalised once for the whole rollout.
# Source: https://github.com/HorizonRobotics/alf/pull/1642
# True: normalises-over-the-whole-batch


def ppo_update(model, opt, batch, cfg, generator, _update=ppo_update):
    if cfg.normalize_advantages:
        batch = batch._replace(advantages=_normalized(batch.advantages))
        cfg = PPOConfig(**(vars(cfg) | {"normalize_advantages": False}))
    return _update(model, opt, batch, cfg, generator)
