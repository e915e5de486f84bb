"""Whether an assignment is proven: solution full, lazy answers nothing, every known bug caught and named."""
