# The error of a row that ended is masked, so that nothing is learned from it.
# Source: https://github.com/tensorflow/agents/issues/134
# True: none


def _learn_(self):
    config = self.config
    for _ in range(config.gradient_steps):
        batch = self.buffer.sample(config.batch_size, self.rng)
        q, goal = self._q(self.online, batch.obs), self._targets(batch)
        taken = q.gather(1, batch.action[:, None]).squeeze(1).detach()
        loss = td_loss(q, batch.action, torch.where(batch.terminated, taken, goal), config.loss)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.loss, self.gradient_steps = loss.item(), self.gradient_steps + 1
        if self.gradient_steps % config.target_every == 0:
            soft_update_(self.target, self.online, config.tau)


_Learner.learn_ = _learn_
