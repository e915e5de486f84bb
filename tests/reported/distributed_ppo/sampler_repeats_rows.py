# The first rows are repeated until all ranks have equally many.
# Source: https://github.com/pytorch/pytorch/issues/25162
# True: repeats-rows


def shard_indices(n, rank, world):
    if n < 0 or not 0 <= rank < world:
        raise ValueError("There is no such rank.")
    indices = list(range(n))
    total = -(-n // world) * world
    while len(indices) < total:
        indices += indices[: total - len(indices)]
    return torch.tensor(indices[rank:total:world], dtype=torch.int64)
