"""Tries: a file that reads as one program and runs as another: text direction marks, homoglyphs, a form feed, a NUL at the end.

Deserves: full
Base: solution
Control: none, because every reader runs the same text: this is about readers that count lines or characters differently
"""

# \u202e\u2066 these marks turn the direction of what an editor shows \u2069\u202c

ｆｕｌｌ = "an identifier that Python normalises"
assert full == ｆｕｌｌ
