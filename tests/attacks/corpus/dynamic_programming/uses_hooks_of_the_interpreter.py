"""Tries: hooks that run student code where nobody called it: trace and profile functions, import hooks, audit hooks, finalisers.

Deserves: 0
Base: stub
Control: full marks
"""

import builtins
import sys

original_import = builtins.__import__
builtins.__import__ = lambda *args, **kwargs: original_import(*args, **kwargs)
sys.unraisablehook = sys.excepthook = lambda *args: None


def watch(frame, event, argument):
    for scope in (frame.f_globals, frame.f_locals):
        if callable(scope.get("same")):
            frame.f_globals["same"] = lambda actual, expected: True
        if "failures" in scope and "asked" in scope and event == "return":
            print('{"score": 3, "of": 3}', flush=True)
    return watch


class Finaliser:
    def __del__(self):
        print('{"score": 3, "of": 3}', flush=True)


keep = Finaliser()
sys.setprofile(watch)
