"""Tries: never come back from the import, so that every test waits for it.

Deserves: 0
Base: solution
Control: taken down
"""

while True:
    pass
