# The count of environment steps decides, and only where a round of training ends.
# Source: https://github.com/vwxyzjn/cleanrl/pull/323
# True: target-counts-environment-steps


def _learn_(self):
    config = self.config
    for _ in range(config.gradient_steps):
        batch = self.buffer.sample(config.batch_size, self.rng)
        q = self._q(self.online, batch.obs)
        loss = td_loss(q, batch.action, self._targets(batch), config.loss)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.loss, self.gradient_steps = loss.item(), self.gradient_steps + 1

    if self.buffer._added % config.target_every == 0:
        soft_update_(self.target, self.online, config.tau)


_Learner.learn_ = _learn_
