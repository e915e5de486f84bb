"""Every time limit of the grader, by what it limits. What a course may set is in limits.py.

There are two kinds. A limit of computing counts CPU seconds. A limit of waiting counts the seconds
in which nobody that belongs to the test computes (workers/meter.py). Neither counts the time for
which a loaded machine makes a process wait for a core, so a right but slow submission keeps its
points. This module imports nothing: workers inherit what their fork server has imported.
"""

# -- one test --------------------------------------------------------------------------------------

LEAST_CALL_SECONDS = 1.0  # CPU seconds that each test gets in any case.
LEAST_TEST_SECONDS = 4.0  # Seconds of waiting that each test gets in any case.
WAITING_FACTOR = 4.0  # A test with `seconds` of its own may wait this many times as long.
GRADER_MARGIN_SECONDS = 5.0  # On top of a test's limit, for what the grader does itself.
CPU_GRACE_SECONDS = 1  # Between the signal that ends a worker and the one that cannot be caught.

# -- looking ---------------------------------------------------------------------------------------

LOOK_SECONDS = 1.0  # Between two looks whether a process computes or waits.
COMPUTING_SHARE = 0.05  # Of the time between two looks; who computes less is waiting.
GPU_LOOK_SECONDS = 1.0  # Between two looks whether the GPU is free.
RAY_LOOK_SECONDS = 5.0  # Between two looks for nodes that have joined.

# -- processes of ours -----------------------------------------------------------------------------

START_SECONDS = 120.0  # Without any computing, until a process that starts is given up.
SILENCE_SECONDS = 120.0  # On top of a test's limit, until a silent marking process is ended.
ENDING_SECONDS = 10.0  # For a process that was told to end, until it is killed.
NODE_START_SECONDS = 300.0  # For a node's engine, perhaps from a slow shared file system.
NO_NODE_SECONDS = 120.0  # Without any node, until the run is given up.
KEPT_WORKER_SHARE = 0.25  # Of a test's CPU seconds: how long one worker may serve tests.


def waiting_seconds(own: float | None, usual: float) -> float:
    """Seconds that a worker may wait in one test; ``own`` is the test's own limit of computing."""
    return usual if own is None else max(WAITING_FACTOR * own, usual)


def grader_seconds(own: float | None, usual: float) -> float:
    """Seconds that the grader itself may compute or wait in one test, its workers apart."""
    return (WAITING_FACTOR * own if own else 0.0) + usual + GRADER_MARGIN_SECONDS
