"""Tries: keep every answer in the process, outside the module, and answer a later test with one of them, or with a gradient that came back.

Deserves: full without lambda_returns
Base: solution
Control: none, because the naive grader asks for every function once
"""

import sys

import torch

kept = sys.kept = getattr(sys, "kept", [])


def keeping(function):
    def call(*args, **kwargs):
        answer = function(*args, **kwargs)
        if isinstance(answer, torch.Tensor):
            kept.append(answer.detach().clone())
            if answer.requires_grad:
                answer.register_hook(lambda grad: kept.append(grad.clone()))
        return answer

    return call


for name in ("td_residuals", "k_step_advantage"):
    globals()[name] = keeping(globals()[name])


def lambda_returns(rewards, *args, **kwargs):
    fitting = [answer for answer in kept if answer.shape == rewards.shape]
    return fitting[-1] if fitting else rewards.clone()
