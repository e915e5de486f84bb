"""The wall: hidden tests stay in the grader, student code runs in a sandboxed worker, and only data crosses.

wire (what may cross) -> worker (the student's side) -> client (the grader's side: `student`, `lab`) ->
sandbox (what a worker may not do) -> server (forks sandboxed workers) -> doctor (what holds on this machine).

What is not covered: bugs of the kernel, msgpack, numpy or torch themselves; what a student learns from passing and
failing over many submissions. docs/GRADING.md says more.
"""
