"""The other routes to the same marks: Gradescope, otter-grader, nbgrader.

In reading order: single.py (the command line's grader for one hand-in), gradescope.py (the zip, the image, results.json), master.py (what
otter-grader and nbgrader are given in common), otter.py and nbgrader.py (their source notebooks), otter_plugin.py and nbgrader_plugin.py (which run inside
those tools and put our wall in place of their kernel), gradebook.py (rosters in, Canvas and Gradescope CSV out).
"""
