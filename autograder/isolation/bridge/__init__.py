"""Questions and answers between a test and the student's code: client asks, worker answers."""
