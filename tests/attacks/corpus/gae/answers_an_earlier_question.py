"""Tries: answer every question with the answer to an earlier one, a right one.

Deserves: 0
Base: solution
Control: none, because an in-process grader asks no numbered questions
"""

import sys

worker = sys.modules.get("autograder.isolation.worker")
if worker:
    handle, first = worker.Worker.handle, []

    def answer(self, message, callback):
        first.append(handle(self, message, callback))
        return first[max(0, len(first) - 2)]

    worker.Worker.handle = answer
