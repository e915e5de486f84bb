"""Tries: write down in every test that it has been here, wherever it may write, and look for that in
the next test and the next worker.

Deserves: full
Base: solution
Control: none, because the naive grader imports it once
"""

import os
import tempfile
from pathlib import Path

remembers = object()  # so that the file is imported again for each test
places = [Path.home(), Path(tempfile.gettempdir()), Path.cwd(), *Path.cwd().parents, Path("/dev/shm")]
seen = [place for place in places if (place / "autograder-attack-left").exists()]
for place in places:
    try:
        (place / "autograder-attack-left").write_text(str(os.getpid()))
    except OSError:
        pass
if seen:
    raise SystemExit("the attack worked")
