# The rows of a rollout are cut as they came, without a shuffle.
# Source: https://github.com/openai/random-network-distillation/issues/17
# True: same-order-every-epoch


def ppo_update(model, opt, batch, cfg, generator):
    _check_positive(
        epochs=cfg.epochs, minibatch_size=cfg.minibatch_size, accum_steps=cfg.accum_steps
    )
    stop = KLEarlyStop(cfg.stop_kl) if cfg.stop_kl is not None else None
    seen, steps, epochs = [], 0, 0
    for _ in range(cfg.epochs):
        order = torch.arange(len(batch.obs))
        for rows in order.split(cfg.minibatch_size):
            opt.zero_grad()
            seen.append(_accumulate(model, batch, rows, cfg))
            if stop is not None and stop.should_stop(seen[-1]["approx_kl"]):
                return _summary(seen, steps, epochs)
            seen[-1]["grad_norm"] = _step(model, opt, cfg)
            steps += 1
        epochs += 1
    return _summary(seen, steps, epochs)
