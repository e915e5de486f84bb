"""Tries: find the solution's file on the disk, from where it runs and from where modules are imported, and import it.

Deserves: 0
Base: nothing
Control: full marks
"""

import importlib.util
import os
import sys


def places():
    for start in (os.getcwd(), *sys.path, *(os.path.dirname(getattr(m, "__file__", None) or "") for m in list(sys.modules.values()))):
        while start and start != os.path.dirname(start):
            yield start
            start = os.path.dirname(start)


def solution():
    for folder in dict.fromkeys(places()):
        for name in ("reference.py", "solutions/gae/gae.py", "solution.py"):
            path = os.path.join(folder, name)
            try:
                spec = importlib.util.spec_from_file_location("borrowed", path)
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
            except Exception:
                continue
    raise RuntimeError("no solution in sight")


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(solution(), name)
