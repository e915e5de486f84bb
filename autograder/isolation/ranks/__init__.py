"""Several workers as one process group."""
