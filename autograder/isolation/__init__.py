"""The wall: hidden tests stay in the grader, student code runs in sandboxed workers.

Only data crosses between them. Reading order, which is also the order of imports between folders:

limits, times       what one submission may use of the machine, and every time limit
cells               a notebook as a module: what fails is left out
codec/              what may cross, and how it is written: values, messages, exceptions
bridge/             questions to the student's process, and answers
    handles         what a test holds: objects that stay on the student's side
    conversation    numbered questions to a worker, and their answers
    loans           objects of the test that the student's code may call
    mirrors         parameters of networks on both sides; networks, layers and gradients go with it
    changes_here    arguments that the student's code changed; changes_there is the other half
    client          the grader's side, put together: `Bridge`
    environments    Gymnasium environments for the student's code
    lab             `lab` in a hidden test
    worker          the student's side: `Worker`; importer, objects, operations, stand_ins and
                    generators are its parts
wall/               what a worker may not do: sandbox, seccomp, network, world, quota, gpu
workers/            worker processes
    stream          messages over a socket
    launch          how a fork server is started
    warm, server    the fork server, which starts workers
    life            what a worker does from its fork to its end; importing and prints are its parts
    meter           tells waiting from computing
    channel, reuse  the grader's hold on one worker, which may serve several tests
    walled          a submission behind the wall
ranks/              several workers as one process group: group (their side), ranks (the grader's),
                    in_process (without a wall)
probe, doctor       what of the wall holds on this machine

What is not covered: bugs of the kernel, msgpack, numpy or torch themselves, and what a student
learns from passing and failing over many submissions. docs/GRADING.md says more.
"""
