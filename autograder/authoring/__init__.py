"""The course, one solution file with three readings, and the starter made from it."""
