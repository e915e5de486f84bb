"""The other routes to the same marks: Gradescope, otter-grader, nbgrader.

In reading order:

single           the command line's grader for one submission
gradescope       the zip, the image, results.json
master           what the exports for otter-grader and nbgrader share
otter, nbgrader  their source notebooks
otter_plugin, nbgrader_plugin
                 run inside those tools and put our wall in place of their kernel
gradebook        Canvas's and Gradescope's CSV, and the course total
"""
