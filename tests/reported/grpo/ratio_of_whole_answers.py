# One ratio for a whole answer: that of the products of its probabilities.
# Source: https://github.com/rasbt/reasoning-from-scratch/issues/243
# True: none


def _sequence_log_ratio(log_ratio, valid):
    return log_ratio.sum(dim=1, keepdim=True).expand_as(log_ratio)


_given_grpo_loss = grpo_loss


def grpo_loss(logp, old_logp, ref_logp, adv, mask, clip_low=0.2, clip_high=None, beta=0.0,
              agg="seq-mean-token-mean", max_len=None, level="token"):  # fmt: skip
    level = "sequence" if level == "token" else level
    return _given_grpo_loss(
        logp, old_logp, ref_logp, adv, mask, clip_low, clip_high, beta, agg, max_len, level
    )
