"""The course's autograder. Reading order: the order in which packages see a submission.

1. errors, model: what can go wrong, and the data that everything passes on.
2. authoring: course (course.yml and assignment.yml, with yaml_file and dates), prerequisites and
   syllabus, source (the solution file and its readings, with markers, lines and leaks), given and
   right (shared modules, other styles), notebook, starter, scaffold, release and roll_over.
3. marking: submission and intake (what a student sent), roster and received (whose it is, and when
   it came), grade (the pipeline), grader, messages and engines (where it runs), score, feedback,
   provenance (what a result depends on), result_files.
4. judging: plugin and checks (what a hidden test is), hidden_test and alarm (one run of one test,
   in time), diagnose and relevance (which known mistake gives these numbers), gpu_part.
5. isolation: the wall between a hidden test and the code of a student. It knows nothing of courses.
6. proof: choice (what is stale), prove (one proof), verify (in this process), wall (behind the
   wall), bars, public and thorough, record (proof.json).
7. reports, export, cli: pages for people, other routes to the same marks, commands.

Imports go one way: errors, model <- isolation <- authoring <- judging <- proof, marking <- reports
<- export <- cli. docs/ARCHITECTURE.md has the decisions and a glossary.
"""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    # Before numpy is imported: threads that compete take 6 to 78 times as long.
    os.environ.setdefault(_name, "1")

__version__ = "0.1.0"
