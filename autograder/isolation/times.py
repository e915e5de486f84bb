"""Every time limit of the grader, by what it limits. What a course may set is in limits.py.

There are two kinds. A limit of computing counts CPU seconds. A limit of waiting counts the seconds
in which no process of the test computes (workers/meter.py). Neither counts the time for which a
loaded machine makes a process wait for a core, so a right but slow submission keeps its points.
This module imports nothing: workers inherit what their fork server has imported.
"""

# -- one test --------------------------------------------------------------------------------------

# Each test gets at least this much: CPU seconds, and seconds of waiting.
LEAST_CALL_SECONDS = 1.0
LEAST_TEST_SECONDS = 4.0
# A test with its own `seconds` may wait this many times as long.
WAITING_FACTOR = 4.0
# The grader gets this on top of a test's limit, for what it does itself.
GRADER_MARGIN_SECONDS = 5.0
# Between the signal that ends a worker and the one that cannot be caught.
CPU_GRACE_SECONDS = 1

# -- looking ---------------------------------------------------------------------------------------

# Between two looks whether a process computes or waits.
LOOK_SECONDS = 1.0
# A process that computes for less than this share of the time between two looks is waiting.
COMPUTING_SHARE = 0.05
# Between two looks whether the GPU is free.
GPU_LOOK_SECONDS = 1.0
# Between two looks for nodes that have joined.
RAY_LOOK_SECONDS = 5.0

# -- processes of ours -----------------------------------------------------------------------------

# A process that starts is given up if it does not compute for this long.
START_SECONDS = 120.0
# A marking process is ended if it is silent for this long on top of a test's limit.
SILENCE_SECONDS = 120.0
# A process that was told to end is killed after this time.
ENDING_SECONDS = 10.0
# A node's engine may take this long to start, perhaps from a slow shared file system.
NODE_START_SECONDS = 300.0
# A run is given up if it has no node for this long.
NO_NODE_SECONDS = 120.0
# A worker is not used again after this share of a test's CPU seconds: the kernel counts a worker's
# CPU time over its whole life.
REUSED_WORKER_SHARE = 0.25


def waiting_seconds(own: float | None, usual: float) -> float:
    """Seconds that a worker may wait in one test; ``own`` is the test's own limit of computing."""
    return usual if own is None else max(WAITING_FACTOR * own, usual)


def grader_seconds(own: float | None, usual: float) -> float:
    """Seconds that the grader itself, without its workers, may compute or wait in one test."""
    return (WAITING_FACTOR * own if own else 0.0) + usual + GRADER_MARGIN_SECONDS
