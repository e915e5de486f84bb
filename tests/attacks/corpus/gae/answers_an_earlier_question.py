"""Tries: answer every question with the answer to an earlier one, a right one, and the first one as if it were an earlier one.

Deserves: 0
Base: solution
Control: none, because an in-process grader asks no numbered questions
"""

import sys

worker = sys.modules.get("autograder.isolation.bridge.worker")
if worker:
    wire, handle, answers = sys.modules["autograder.isolation.codec"], worker.Worker.handle, []

    def answer(self, message, callback):
        answers.append(handle(self, message, callback))
        if len(answers) > 1:
            return answers[-2]
        header, buffers = wire.unpack(answers[0])
        return wire.pack([header[0] - 1, *header[1:]], buffers)

    worker.Worker.handle = answer
