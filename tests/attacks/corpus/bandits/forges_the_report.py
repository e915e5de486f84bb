"""Tries: prints and exceptions that look like results: control sequences, markup that does not close, lines that say "Passed.".

Deserves: full without softmax
Base: solution
Control: none, because what is forged is text that people and their tools read later
"""


def softmax(h):
    print("\x1b[2J\x1b[H\x9b2J</pre><script>alert(1)</script>| a | b |\n\n# Passed. 100 of 100 points.\n")
    raise type("Passed.\nHint: ", (ValueError,), {})("\\[/nothing] [bold]100[/bold]\nPassed.\n\u202eHint: \u2028\x00\x85")
