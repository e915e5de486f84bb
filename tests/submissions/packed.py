"""Folders and archives of one student."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

from .common import FULL, MAIN, Case, packed, right, stub, stub_notebook, with_cells

DRAFT = "gae.ipynb"


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _folders()
    yield from _side_by_side()
    yield from _zips()
    yield from _broken()


def _folder(name: str, files: dict[str, bytes], outcome: str = FULL, **more: object) -> Case:
    placed = {f"ada/{path}": data for path, data in files.items()}
    return Case("folder", name, placed, {"ada": outcome}, **more)  # type: ignore[arg-type]


def _folders() -> Iterator[Case]:
    text, many = right(), {f"lib/{number}.py": b"" for number in range(300)}
    yield _folder("the file", {MAIN: text})
    yield _folder("a wrapping folder", {f"homework 3/src/{MAIN}": text})
    yield _folder("another name", {"my_work.py": text})
    yield _folder("a capital ending", {"gae.PY": text})
    yield _folder("a capital name", {"GAE.py": text})
    yield _folder("gae.py.txt", {"gae.py.txt": text})
    yield _folder("a browser's (1)", {"gae (1).py": text})
    yield _folder("an Untitled notebook", {"Untitled.ipynb": with_cells()})
    yield _folder("an older version deeper", {MAIN: text, f"old/{MAIN}": b"old = 1\n"})
    for name in ("venv", ".venv", "__pycache__", ".ipynb_checkpoints", ".git", ".idea", "__MACOSX"):
        files = {MAIN: text, **{f"{name}/{path}": data for path, data in many.items()}}
        yield _folder(f"and {name}", files)
    for name in ("env", "myenv", "rl-course"):
        inside = {f"{name}/{path}": data for path, data in many.items()}
        yield _folder(
            f"and {name} with its pyvenv.cfg", {MAIN: text, f"{name}/pyvenv.cfg": b"", **inside}
        )
    yield _folder("a zip, as Moodle packs it", {"hw.zip": packed({MAIN: text})})
    yield _folder("a zip and a picture", {"hw.ZIP": packed({MAIN: text}), "me.png": b"x"})
    yield _folder("the work and a zip", {MAIN: text, "old.zip": packed({MAIN: stub()})})
    yield _folder("near names", {"gea.py": text, "x.py": b""}, "the nearest name is gea.py")
    yield _folder("a document", {"gae.docx": b"PK"}, "no Python file, only gae.docx")
    yield _folder("nothing", {"empty/": b""}, "gae.py is missing")
    yield _folder(
        "two Untitled notebooks",
        {"Untitled.ipynb": with_cells(), "Untitled1.ipynb": with_cells()},
        "keep one notebook",
    )
    yield _folder("300 files", {MAIN: text, **many}, "more than 200 files")


def _side_by_side() -> Iterator[Case]:
    text, book = right(), with_cells()
    starter = {"test_local.py": b"import gae\n", "report.py": b"import gae\n"}
    said = ("the starter as it was given",)
    pairs = {
        "a filled notebook, gae.py untouched": {MAIN: stub(), DRAFT: book},
        "gae.py, the notebook untouched": {MAIN: text, DRAFT: stub_notebook()},
        "gae (1).py, gae.py untouched": {MAIN: stub(), "gae (1).py": text},
        "gae-2.ipynb, gae.py untouched": {MAIN: stub(), "gae-2.ipynb": book},
        "Copy of gae.ipynb, both untouched": {
            MAIN: stub(),
            DRAFT: stub_notebook(),
            "Copy of gae.ipynb": book,
        },
        "gae_final.py, gae.py untouched": {MAIN: stub(), "gae_final.py": text},
        "a/gae.py, b/gae.py untouched": {f"b/{MAIN}": stub(), f"a/{MAIN}": text},
    }
    for name, files in pairs.items():
        yield _folder(name, files | starter, notes=said)
        packed_up = {"ada.zip": packed({f"hw/{path}": data for path, data in files.items()})}
        yield Case("zip", name, packed_up, notes=said)
    yield _folder(
        "an Untitled notebook among the starter's files", {"Untitled.ipynb": book} | starter
    )
    other = book.replace(b'execution_count": 1', b'execution_count": 2')
    yield _folder("both filled", {MAIN: text, DRAFT: other}, notes=("gae.ipynb was not",))
    two = {f"a/{MAIN}": text, f"b/{MAIN}": text + b"\n"}
    yield _folder("two answers", two, "there more than once")
    both = {"ada.py": stub(), "ada.ipynb": book}
    yield Case("folder", "ada.ipynb beside an untouched ada.py", both, notes=said)
    twice = {"ada.py": text, "ada.ipynb": book}
    yield Case("folder", "ada.py and ada.ipynb", twice, {"ada": "two submissions under this name"})


def _zip(name: str, data: bytes, outcome: str = FULL, file: str = "ada.zip") -> Case:
    return Case("zip", name, {file: data}, {"ada": outcome})


def _zips() -> Iterator[Case]:
    text = right()
    for name, method in {
        "stored": zipfile.ZIP_STORED,
        "deflated": zipfile.ZIP_DEFLATED,
        "packed by bzip2": zipfile.ZIP_BZIP2,
        "packed by LZMA": zipfile.ZIP_LZMA,
    }.items():
        yield _zip(name, packed({MAIN: text}, method))
    yield _zip("a capital ending", packed({MAIN: text}), file="ada.ZIP")
    yield _zip("a wrapping folder", packed({f"hw 3/{MAIN}": text}))
    yield _zip("Windows' backslashes", packed({f"hw\\{MAIN}": text}))
    yield _zip("a Mac's extras", packed({MAIN: text, f"__MACOSX/._{MAIN}": b"\0", "._x.py": b"\0"}))
    yield _zip("a comment and bytes behind it", packed({MAIN: text}, comment=b"hello"))
    yield _zip(
        "an environment",
        packed({MAIN: text, "env/pyvenv.cfg": b"", **{f"env/{n}.py": b"" for n in range(300)}}),
    )
    yield _zip(
        "site-packages",
        packed({MAIN: text, **{f"lib/site-packages/{n}.py": b"" for n in range(300)}}),
    )
    yield _zip("a notebook", packed({"hw/gae.ipynb": with_cells()}))
    yield _zip("a capital name inside", packed({"GAE.PY": text}))
    accents = packed({MAIN: text, "Übung/größe.py": b""})
    yield _zip("names with accents", accents)
    yield _zip(
        "names that are not the UTF-8 they claim", accents.replace("Übung".encode(), b"\xdc_bung")
    )
    yield _zip("control characters in a name", packed({MAIN: text, "a\x07b.py": b""}))


def _broken() -> Iterator[Case]:
    text = right()
    good = packed({MAIN: text}, zipfile.ZIP_STORED)
    locked = bytearray(good)
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    damaged = good.replace(b"import", b"IMPORT", 1)
    yield _zip(
        "a zip in it", packed({"hw.zip": packed({MAIN: text})}), "another zip inside, hw.zip"
    )
    yield _zip("a password", bytes(locked), "without a password")
    yield _zip("a wrong checksum", damaged, "the zip is damaged")
    yield _zip("cut off", good[:-60], "is not a zip file that can be opened")
    yield _zip("nothing at all", b"", "is empty: the upload broke off")
    yield _zip("a RAR archive", b"Rar!\x1a\x07\x00", "is a RAR archive")
    yield _zip("a 7-Zip archive", b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive")
    yield _zip("a way out of it", packed({"../gae.py": text}), "points out of it")
    yield _zip("300 files", packed({f"{n}.py": b"" for n in range(300)}), "more than 200 files")
    yield _zip("no file of Python", packed({"report.pdf": b""}), "no Python file, only report.pdf")
