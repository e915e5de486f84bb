"""Folders of a whole class: what is among the submissions, and what platforms make of them."""

from __future__ import annotations

from collections.abc import Iterator

from .common import FULL, MAIN, Case, packed, right, stub, with_cells

TIME = b"student,received\nada,2027-02-01T23:59:00+01:00\n"
METADATA = """submission_1:
  :submitters:
  - :name: Ada Lovelace
    :sid: '1001'
    :email: ada@uni.edu
  :created_at: 2027-02-01 22:59:00.000000000 Z
  :score: 0.0
  :results: !ruby/hash:ActiveSupport::HashWithIndifferentAccess
    tests: []
submission_2:
  :submitters:
  - :name: Ben
    :sid: '1002'
    :email: ben@uni.edu
  - :name: Cleo
    :sid: '1003'
    :email: cleo@uni.edu
  :created_at: '2027-02-02T08:00:00+01:00'
"""


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _among_them()
    yield from _names()
    yield from _canvas()
    yield from _moodle()
    yield from _gradescope()


def _among_them() -> Iterator[Case]:
    text = right()
    for name in (
        "Thumbs.db",
        "desktop.ini",
        "roster.csv",
        "grades.xlsx",
        "scores.ods",
        "submission_metadata.yml",
        "notes.log",
        "ada.py~",
        "link.url",
        "x.py.crdownload",
    ):
        yield Case("class", f"and {name}", {"ada.py": text, name: b"x"}, over=(name,))
    for name in (".DS_Store", "README.md", "__pycache__/x.pyc", ".git/config", "venv/x.py"):
        yield Case("class", f"and {name}, of which nobody speaks", {"ada.py": text, name: b"x"})
    yield Case(
        "class",
        "and recieved.csv",
        {"ada.py": text, "recieved.csv": TIME},
        over=("did you mean received.csv?",),
    )
    yield Case(
        "class", "and received.csv", {"ada.py": text, "received.csv": TIME}, received=("ada",)
    )
    for ending in ("docx", "pdf", "txt", "rar", "tar.gz", "java"):
        files = {"ada.py": text, f"pdirac.{ending}": b"x"}
        yield Case("class", f"and pdirac.{ending}", files, {"ada": FULL, "pdirac": "is neither"})
    yield Case("class", "a report beside the work", {"ada.py": text, "ada.pdf": b"x"})
    mixed = {
        "ada.py": text,
        f"ben/{MAIN}": text,
        "cleo.zip": packed({MAIN: text}),
        "dan.ipynb": with_cells(),
    }
    yield Case("class", "all forms", mixed, dict.fromkeys(("ada", "ben", "cleo", "dan"), FULL))


def _names() -> Iterator[Case]:
    text = right()
    for name, student in {
        "Eve Stone": "Eve_Stone",
        "O'Brien, Pat": "O_Brien__Pat",
        "Zoë": "Zoë",
        "李小龍": "李小龍",
        "ada@uni.edu": "ada@uni.edu",
        "=1+1": "_1+1",
        "a.b.c": "a.b.c",
    }.items():
        yield Case("class", f"a student called {name}", {f"{name}.py": text}, {student: FULL})


def _canvas() -> Iterator[Case]:
    text = right()
    one = {"lovelaceada_12345_67890_gae.py": text}
    yield Case("Canvas", "a file", one, {"lovelaceada": FULL})
    yield Case("Canvas", "named by --layout", one, {"lovelaceada": FULL}, layout="canvas")
    yield Case("Canvas", "a resubmission", {"doejane_12_34_gae-3.py": text}, {"doejane": FULL})
    yield Case(
        "Canvas",
        "a late one",
        {"doejane_LATE_12_34_gae.py": text},
        {"doejane": FULL},
        notes=("marked this as late",),
    )
    times = b"doejane,2027-02-01T23:59:00+01:00\n"
    late = {"doejane_LATE_12_34_gae.py": text, "received.csv": times}
    yield Case(
        "Canvas", "a late one whose time is known", late, {"doejane": FULL}, received=("doejane",)
    )
    yield Case("Canvas", "a notebook", {"doejane_12_34_gae.ipynb": with_cells()}, {"doejane": FULL})
    yield Case("Canvas", "a zip", {"doejane_12_34_hw.zip": packed({MAIN: text})}, {"doejane": FULL})
    several = {"doejane_12_34_gae.py": text + b"\nimport tools\n", "doejane_12_35_tools.py": b""}
    yield Case("Canvas", "several files of one student", several, {"doejane": FULL})
    both = {"doejane_12_34_gae.py": stub(), "doejane_12_35_gae.ipynb": with_cells()}
    yield Case("Canvas", "a notebook and the starter", both, {"doejane": FULL})
    report = {"doejane_12_34_gae.py": text, "doejane_12_35_report.pdf": b"x"}
    yield Case("Canvas", "a report beside the work", report, {"doejane": FULL})
    namesakes = {"leekim_1_10_gae.py": text, "leekim_2_11_gae.py": text}
    yield Case("Canvas", "two people of one name", namesakes, {"leekim_1": FULL, "leekim_2": FULL})


def _moodle() -> Iterator[Case]:
    text, tail = right(), "assignsubmission_file_"
    one = f"Ada Lovelace_4711_{tail}"
    ada = {"Ada_Lovelace": FULL}
    yield Case("Moodle", "a folder with the file", {f"{one}/gae.py": text}, ada)
    yield Case("Moodle", "named by --layout", {f"{one}/gae.py": text}, ada, layout="moodle")
    yield Case("Moodle", "a folder with a zip", {f"{one}/hw.zip": packed({MAIN: text})}, ada)
    yield Case("Moodle", "a folder with a notebook", {f"{one}/my.ipynb": with_cells()}, ada)
    yield Case("Moodle", "without folders", {f"{one}gae.py": text}, ada)
    yield Case("Moodle", "the ending cut off", {f"{one[:-1]}/gae.py": text}, ada)
    online = {f"{one}/gae.py": text, "Ada Lovelace_4711_assignsubmission_onlinetext_/o.html": b"x"}
    yield Case("Moodle", "an online text beside it", online, ada)
    namesakes = {f"Kim Lee_{n}_{tail}/gae.py": text for n in (1, 2)}
    yield Case(
        "Moodle", "two people of one name", namesakes, {"Kim_Lee_1": FULL, "Kim_Lee_2": FULL}
    )
    times = {f"{one}/gae.py": text, "received.csv": b"Ada Lovelace,2027-02-01T23:59:00+01:00\n"}
    yield Case("Moodle", "with times", times, ada, received=("Ada_Lovelace",))


def _gradescope() -> Iterator[Case]:
    text = right()
    files = {
        "submission_metadata.yml": METADATA.encode(),
        "submission_1/gae.py": text,
        "submission_2/gae.ipynb": with_cells(),
    }
    people = {"ada@uni.edu": FULL, "ben@uni.edu": FULL}
    for layout in ("auto", "gradescope"):
        yield Case(
            "Gradescope",
            f"an export, --layout {layout}",
            files,
            people,
            received=tuple(people),
            layout=layout,
        )
    stranger = files | {"submission_9/gae.py": text}
    yield Case(
        "Gradescope",
        "a folder that the file does not name",
        stranger,
        people | {"submission_9": FULL},
        received=tuple(people),
    )
    plain = {f"submission_{n}/gae.py": text for n in (1, 2)}
    yield Case(
        "Gradescope", "without the file", plain, {"submission_1": FULL, "submission_2": FULL}
    )
