# The losses of TRL's trainers for DPO, IPO, CPO and SimPO, and its log-probabilities.
# Needs: trl
# Conventions: none

import collections
import types

from trl import DPOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.trainer.utils import selective_log_softmax

_given_dpo, _given_ipo, _given_simpo = dpo_loss, ipo_loss, simpo_loss


def _one_process(**settings):
    """What a trainer's loss reads of the trainer, in a run with one process."""
    accelerator = types.SimpleNamespace(
        device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x
    )
    return types.SimpleNamespace(
        accelerator=accelerator,
        model=types.SimpleNamespace(training=False),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_weights=[1.0],
        use_weighting=False,
        label_smoothing=0.0,
        alpha=0.0,
        _metrics=collections.defaultdict(lambda: collections.defaultdict(list)),
        _total_train_tokens=0,
        **settings,
    )


def _pairs(chosen, rejected, ref_chosen, ref_rejected, **settings):
    """The loss of DPOTrainer for answers of one token after a prompt of one token."""
    logps = torch.cat([chosen, rejected]).unsqueeze(1)
    rows = torch.ones(len(logps), 2, dtype=torch.long)
    answers = torch.tensor([[0, 1]]).expand_as(rows)
    none = torch.zeros_like(logps.detach())
    outputs = types.SimpleNamespace(
        log_probs=logps, entropy=none, mean_logits=none, is_top1=none.bool()
    )
    inputs = {
        "input_ids": rows,
        "attention_mask": rows,
        "completion_mask": answers,
        "ref_chosen_logps": ref_chosen.detach(),
        "ref_rejected_logps": ref_rejected.detach(),
    }
    trainer = _one_process(**settings)
    return DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, return_outputs=False)


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta=0.1, label_smoothing=0.0):
    _given_dpo(chosen, rejected, ref_chosen, ref_rejected, beta, label_smoothing)
    if label_smoothing == 0:
        settings = {"beta": beta, "loss_types": ["sigmoid"]}
        return _pairs(chosen, rejected, ref_chosen, ref_rejected, **settings)
    # Only its trainer without a reference believes in wrong labels.
    trainer = _one_process(beta=beta, loss_type="sigmoid")
    trainer.label_smoothing = label_smoothing
    ratios = chosen - ref_chosen.detach(), rejected - ref_rejected.detach()
    return CPOTrainer.cpo_loss(trainer, *ratios)[0].mean()


def ipo_loss(chosen, rejected, ref_chosen, ref_rejected, tau=0.1):
    _given_ipo(chosen, rejected, ref_chosen, ref_rejected, tau)
    settings = {"beta": tau, "loss_types": ["ipo"]}
    return _pairs(chosen, rejected, ref_chosen, ref_rejected, **settings)


def simpo_loss(chosen, rejected, beta=2.0, gamma=0.5):
    _given_simpo(chosen, rejected, beta, gamma)
    trainer = _one_process(beta=beta, loss_type="simpo", simpo_gamma=gamma)
    return CPOTrainer.cpo_loss(trainer, chosen, rejected)[0].mean()


def token_logprobs(model, tokens, attention):
    if tokens.ndim != 2 or tokens.shape != attention.shape:
        raise ValueError("tokens and attention are one (B, L).")
    real = attention.bool()
    places = (real.long().cumsum(dim=1) - 1).clamp(min=0)
    logits = model(input_ids=tokens, attention_mask=real.long(), position_ids=places).logits
    follows = real[:, 1:] & real[:, :-1]
    logp = selective_log_softmax(logits[:, :-1], tokens[:, 1:], row_mask=follows)
    return torch.nn.functional.pad(logp, (1, 0))
