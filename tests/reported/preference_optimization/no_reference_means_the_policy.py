# Without a reference of its own, the model is compared with itself.
# Source: https://github.com/YiyangZhou/POVID/issues/11
# True: reference-is-the-policy

_update_with_reference = preference_update_


def preference_update_(policy, reference, optimizer, pairs, cfg):
    return _update_with_reference(policy, policy, optimizer, pairs, cfg)
