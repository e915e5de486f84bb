# Online and target network are updated equally often.
# Source: https://github.com/sebtheiler/tutorials/issues/6
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
        soft_update_(self.target, self.online, config.tau)


_Learner.learn_ = _learn_
