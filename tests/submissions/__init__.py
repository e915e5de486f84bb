"""Submissions as students and platforms really make them, with the outcome that each deserves."""
