# The counter of gradient steps that the target network waits for is never raised.
# Source: https://github.com/rail-berkeley/rlkit/pull/114
# True: none


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
        self.gradient_steps -= 1
        if self.gradient_steps % config.target_every == 0:
            soft_update_(self.target, self.online, config.tau)


_Learner.learn_ = _learn_
