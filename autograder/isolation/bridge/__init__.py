"""Questions and answers between a test and student code: client.py asks, worker.py answers."""
