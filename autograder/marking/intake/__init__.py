"""What arrives as a submission: names, archives, notebooks, downloads of learning platforms."""
