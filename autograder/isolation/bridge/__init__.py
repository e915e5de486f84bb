"""Questions and answers between a test and the student's code: client.py asks, worker.py answers."""
