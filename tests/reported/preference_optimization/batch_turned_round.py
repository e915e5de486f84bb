# The answers of a batch are reversed, so that the middle one of an odd batch keeps its own.
# Source: https://github.com/huggingface/trl/issues/1911
# True: reversed-batch


def mismatched(count):
    if count < 2:
        raise ValueError("There is no other response.")
    return torch.tensor(list(range(count))[::-1])
