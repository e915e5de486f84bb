# The maximum is that of the network that is being trained.
# Source: https://github.com/facebookresearch/ReAgent/issues/88
# True: no-target-network


@torch.no_grad()
def _targets(self, batch):
    q = self._q(self.online, batch.next_obs)
    if self.config.double:
        judged = self._q(self.target, batch.next_obs)
        return double_dqn_targets(batch.reward, q, judged, batch.terminated, self.config.gamma)
    return dqn_targets(batch.reward, q, batch.terminated, self.config.gamma)


_Learner._targets = _targets
