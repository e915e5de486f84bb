# The norm of a gradient that all ranks have is summed over the ranks again.
# Source: https://github.com/modelscope/twinkle/pull/290
# True: none


_clip = torch.nn.utils.clip_grad_norm_


def distributed_step_(model, optimizer, micro_batches, config):
    world, params = rank_and_world()[1], list(model.parameters())
    optimizer.zero_grad()
    count = sum_over_ranks(torch.tensor(float(sum(int(b.mask.sum()) for b in micro_batches))))
    sums = torch.zeros(3, dtype=torch.float64)
    for batch in micro_batches:
        terms = policy_and_value_terms(model, batch, config)
        loss, *rest = (term[batch.mask.bool()].sum() for term in terms)
        (world * loss / float(count)).backward()
        sums += torch.stack(rest).double()
    all_reduce_grads_(params, 1.0)
    norm = torch.stack([p.grad.norm() for p in params]).norm()
    norm = float(sum_over_ranks(norm**2) ** 0.5)
    if config.max_grad_norm is not None:
        for p in params:
            p.grad *= min(1.0, config.max_grad_norm / (norm + 1e-6))
    optimizer.step()
    clipped, kl, ratio = (sum_over_ranks(sums) / count).tolist()
    return {"clip_fraction": clipped, "approx_kl": kl, "ratio_mean": ratio, "grad_norm": norm}
