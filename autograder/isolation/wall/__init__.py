"""The kernel's means: what a worker may not do."""
