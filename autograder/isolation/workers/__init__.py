"""Processes: a fork server, the sandboxed workers that it forks, and the grader's hold on them."""
