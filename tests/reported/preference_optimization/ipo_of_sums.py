# IPO gets sums over tokens, like DPO.
# Source: https://github.com/huggingface/trl/pull/1265
# True: sum-for-ipo

_means = pair_logprobs, reference_logprobs, preference_update_


def preference_update_(policy, reference, optimizer, pairs, cfg):
    def as_sums(score):
        return lambda model, batch, average=False: score(
            model, batch, average and cfg.loss != "ipo"
        )

    names = globals()
    names["pair_logprobs"], names["reference_logprobs"] = map(as_sums, _means[:2])
    try:
        return _means[2](policy, reference, optimizer, pairs, cfg)
    finally:
        names["pair_logprobs"], names["reference_logprobs"] = _means[:2]
