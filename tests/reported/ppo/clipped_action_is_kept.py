# What is stored is the action after clipping.
# Source: https://github.com/thu-ml/tianshou/issues/312
# True: stores-clipped-actions


def collect(env, model, obs, horizon, generator, _collect=collect):
    rollout = _collect(env, model, obs, horizon, generator)
    space = env.single_action_space
    if hasattr(space, "n"):
        return rollout
    low, high = torch.as_tensor(space.low), torch.as_tensor(space.high)
    kept = rollout.actions.clamp(low.to(rollout.actions), high.to(rollout.actions))
    return rollout._replace(actions=kept)
