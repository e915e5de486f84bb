# Places after the first end of sequence are filled with it, and count as tokens.
# Source: https://github.com/bingreeky/MemGen/pull/33
# True: none


_given_sample_groups = sample_groups


def sample_groups(model, prompts, G, max_new, temperature=1.0, generator=None):
    tokens, mask, logp = _given_sample_groups(model, prompts, G, max_new, temperature, generator)
    behind = torch.arange(tokens.shape[1]) >= tokens.shape[1] - max_new
    tokens = tokens.masked_fill(behind & ~mask, EOS)
    return Samples(tokens, mask | behind, logp)
