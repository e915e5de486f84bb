# The end of sequence is not part of the sampled response.
# Source: https://github.com/rasbt/reasoning-from-scratch/pull/185
# True: end-of-sequence-masked


_given_sample_groups = sample_groups


def sample_groups(model, prompts, G, max_new, temperature=1.0, generator=None):
    samples = _given_sample_groups(model, prompts, G, max_new, temperature, generator)
    return samples._replace(mask=samples.mask.logical_and(samples.tokens.ne(EOS)))
