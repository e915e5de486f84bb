"""Tries: gradients of the wrong shape, count and type, and outputs that belong to no graph, where the grader goes backwards.

Deserves: full
Base: solution
Control: none, because an in-process grader lets torch go backwards by itself
"""

import sys

import torch

worker = sys.modules.get("autograder.isolation.bridge.worker")
if worker:
    worker.Worker._op_backward = lambda self, call, grads: [torch.zeros(7), "gradient", None, {}] * 3
