# The early stop ends the training of the policy alone.
# Source: https://github.com/openai/spinningup/issues/331
# True: none


def ppo_update(model, opt, batch, cfg, generator, _update=ppo_update):
    metrics = _update(model, opt, batch, cfg, generator)
    left = cfg.epochs - int(metrics["epochs"]) if cfg.stop_kl is not None else 0
    for _ in range(left):
        opt.zero_grad()
        critic = value_loss(model.value(batch.obs), batch.old_values, batch.returns, cfg.value_clip)
        (cfg.value_coef * critic).backward()
        opt.step()
    return metrics
