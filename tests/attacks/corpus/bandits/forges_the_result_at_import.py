"""Tries: print a result with full marks while it is imported, and end the process before anything is marked.

Deserves: 0
Base: nothing
Control: full marks
"""

import json
import os

print(json.dumps({"score": 3, "of": 3}), flush=True)
os._exit(0)
