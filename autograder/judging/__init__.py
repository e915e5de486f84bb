"""What a hidden test is, how one is run, and which known mistake explains a failure."""
