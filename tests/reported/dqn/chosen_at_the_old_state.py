# Double DQN takes the best action of the present state, not of the next one.
# Source: https://github.com/YangRui2015/2048_env/issues/1
# True: chosen-at-the-old-state


@torch.no_grad()
def _targets(self, batch):
    judged = self._q(self.target, batch.next_obs)
    if not self.config.double:
        return dqn_targets(batch.reward, judged, batch.terminated, self.config.gamma)
    choosing = self._q(self.online, batch.obs)
    return double_dqn_targets(batch.reward, choosing, judged, batch.terminated, self.config.gamma)


_Learner._targets = _targets
