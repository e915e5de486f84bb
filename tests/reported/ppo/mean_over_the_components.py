# The log-probability is the mean over the components of an action.
# Source: https://github.com/yifan123/flow_grpo/issues/143
# True: mean-over-action-components


def _loss(model, batch, rows, adv, cfg, _loss=_loss):
    class Averaging:
        value = model.value

        def policy(self, obs):
            policy = model.policy(obs)

            class Mean:
                entropy = policy.entropy

                def log_prob(self, actions):
                    return policy.log_prob(actions) / max(1, actions[0].numel())

            return Mean()

    return _loss(Averaging(), batch, rows, adv, cfg)
