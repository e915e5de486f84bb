# Each micro-batch is divided by its own number of tokens, then by the number of pieces.
# Source: https://github.com/PrimeIntellect-ai/prime-rl/pull/583
# True: pieces-weigh-the-same


def grpo_update_(policy, optimizer, batch, cfg):
    optimizer.zero_grad()
    pieces = list(zip(*(x.split(cfg.micro_batch or len(batch.adv)) for x in batch), strict=True))
    found, total = [], int(batch.mask.sum())
    for piece in map(Batch._make, pieces):
        seen = attention_mask(piece.tokens, piece.mask)
        logp = token_logprobs(policy, piece.tokens, seen, cfg.temperature)
        loss, part = grpo_loss(
            logp, piece.old_logp, piece.ref_logp, piece.adv, piece.mask, cfg.clip_low,
            cfg.clip_high, cfg.beta, cfg.agg, cfg.max_new, cfg.level,
        )  # fmt: skip
        loss = loss / len(pieces)
        loss.backward()
        found.append((int(piece.mask.sum()) / max(total, 1), part, loss.item()))
    torch.nn.utils.clip_grad_norm_(policy.parameters(), cfg.grad_norm)
    optimizer.step()
    metrics = {name: sum(share * part[name] for share, part, _ in found) for name in found[0][1]}
    return metrics | {"loss": sum(loss for *_, loss in found)}
