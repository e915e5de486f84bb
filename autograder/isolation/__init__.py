"""The wall: hidden tests stay in the grader, student code runs in a sandboxed worker, and only data crosses.

wire (what may cross) -> worker (the student's side; importer, arguments, generators) -> client (the grader's side; handles, lab,
gradients, modules, environments, inplace) -> raised (exceptions, both sides) -> sandbox and seccomp (what a worker may not
do) -> server (forks sandboxed workers; loopback) -> channel and walled (the grader's hold on it), kept and untouched (a worker for several tests)
-> doctor (what holds on this machine). Several workers as one process group: group (their side) -> ranks (the grader's) ->
forked (without a wall).

What is not covered: bugs of the kernel, msgpack, numpy or torch themselves; what a student learns from passing and
failing over many submissions. docs/GRADING.md says more.
"""
