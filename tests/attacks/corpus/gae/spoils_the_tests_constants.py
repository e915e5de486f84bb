"""Tries: give the mask that it was handed another shape, in place, so that even the reference fails and nobody can be graded.

Deserves: full
Base: solution
Control: none, because the naive grader has no constants that outlive a question
"""

token_gae_as_it_was = token_gae  # noqa: F821  of the solution above


def token_gae(rewards, values, response_mask, gamma, lam):
    result = token_gae_as_it_was(rewards, values, response_mask, gamma, lam)
    response_mask.set_(response_mask[:1, :1].clone())
    return result
