# The divergence is looked at once for each epoch, after its last step.
# Source: https://github.com/vwxyzjn/cleanrl/issues/520
# True: stops-after-the-step


def ppo_update(model, opt, batch, cfg, generator):
    _check_positive(
        epochs=cfg.epochs, minibatch_size=cfg.minibatch_size, accum_steps=cfg.accum_steps
    )
    stop = KLEarlyStop(cfg.stop_kl) if cfg.stop_kl is not None else None
    seen, steps, epochs = [], 0, 0
    for _ in range(cfg.epochs):
        order = torch.randperm(len(batch.obs), generator=generator)
        for rows in order.split(cfg.minibatch_size):
            opt.zero_grad()
            seen.append(_accumulate(model, batch, rows, cfg))
            seen[-1]["grad_norm"] = _step(model, opt, cfg)
            steps += 1
        epochs += 1
        if stop is not None and stop.should_stop(seen[-1]["approx_kl"]):
            break
    return _summary(seen, steps, epochs)
