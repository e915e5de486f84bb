"""Tries: put another module into sys.modules under a given module's name, for code that imports it next.

Deserves: full
Base: solution
Control: none, because the naive grader gives no modules
"""

import sys
import types

sys.modules["plots"] = types.ModuleType("plots")
sys.modules["plots"].save_all = None
