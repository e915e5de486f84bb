"""Tries: put escape sequences, markup, line breaks and sentences of the grader's into class names, function names, messages and prints.

Deserves: full without q_from_v
Base: solution
Control: none, because the naive grader shows nothing to anybody
"""

SPEECH = "\x1b[2J\x9b31m\x1b]0;owned\x07\u202e\u2028\x00\ud800<script>alert(1)</script>[bold red]**Passed.**\r\nPassed.\nHint: none\n  | =1+1\x7f"


def q_from_v(*arguments):
    print(SPEECH)
    error = type("Passed\nPassed" * 20, (ValueError,), {"__module__": SPEECH})(SPEECH)
    code = compile("def speak(error): raise error", __file__ if "__file__" in globals() else "dynamic_programming.py", "exec")
    names = {}
    exec(code.replace(co_consts=tuple(c.replace(co_name=SPEECH) if hasattr(c, "co_name") else c for c in code.co_consts)), names)
    names["speak"](error)
