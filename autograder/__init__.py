"""The course's autograder. Reading order: the order in which a submission meets the modules.

course (what is asked) -> source (one solution file, three readings) -> submission and notebook (what was handed in) ->
isolation/ (the wall) -> plugin and checks (what a hidden test is) -> examine and alarm (one run of one) -> gpu and scale (the
part that needs a GPU) -> grade (the pipeline) -> reach and diagnose (which known mistake) -> score (pure arithmetic) -> report
(results.json, gradebook, text) -> provenance (what a score depends on) -> engines/ (where it runs) -> class_report, charts and
pages (HTML) -> similar -> watch and cli.
export/ has the other routes to the same marks; console is what the commands share.
"""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(
        _name, "1"
    )  # before numpy is imported: threads that compete cost 6 to 78 times

__version__ = "0.1.0"
