# The entropy lacks its minus sign.
# Source: https://github.com/rlworkgroup/garage/issues/628
# True: entropy-sign


def _entropy(self):
    return (self.log_probs * self.log_probs.exp()).sum(dim=-1)


CategoricalPolicy.entropy = _entropy
