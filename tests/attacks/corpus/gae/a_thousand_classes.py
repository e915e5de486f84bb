"""Tries: return tens of thousands of named tuples, each of a class of its own that the grader would have to make.

Deserves: full without lambda_returns
Base: solution
Control: none, because an in-process grader does not build the answers anew
"""

import sys

wire = sys.modules.get("autograder.isolation.codec")
if wire:
    pack = wire.pack

    def packed(header, buffers):
        if isinstance(header, list) and header[2:3] == ["many classes"]:
            header[2] = ["l", *(["n", f"a{k}", [], []] for k in range(100_000))]
        return pack(header, buffers)

    wire.pack = packed


def lambda_returns(*arguments):
    return "many classes"
