"""Hostile submissions that cannot be committed as files: archives, links, devices, odd names,
notebooks. Each function makes one.

``folder`` is where students' submissions lie; ``text`` is the base's text. The docstring is as in
the corpus (see cases.py).
"""

from __future__ import annotations

import inspect
import io
import json
import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from cases import MARK, Case, described

ASSIGNMENT, MAIN = "dynamic_programming", "dynamic_programming.py"  # the quickest to mark
_BUILDERS: list[Callable[[Path, str], None]] = []


def cases() -> Iterator[Case]:
    """The cases that are built, in the order of this file."""
    for builder in _BUILDERS:
        docstring = inspect.getdoc(builder) or ""
        yield described(
            docstring,
            f"packages.py: {builder.__name__}",
            ASSIGNMENT,
            builder.__name__,
            build=builder,
        )


def hostile(builder: Callable[[Path, str], None]) -> Callable[[Path, str], None]:
    """Take a builder into the corpus."""
    _BUILDERS.append(builder)
    return builder


# -- archives --------------------------------------------------------------------------------------


def _zip(
    folder: Path, name: str, members: dict[str, bytes | str], links: tuple[str, ...] = ()
) -> None:
    with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in members.items():
            entry = zipfile.ZipInfo(member)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (
                (stat.S_IFLNK if member in links else stat.S_IFREG) | 0o644
            ) << 16
            archive.writestr(entry, data)


@hostile
def zip_bomb(folder: Path, text: str) -> None:
    """Tries: a zip of 200 kB that unpacks to 200 MiB.

    Deserves: 0
    Base: nothing
    Control: none, because it is aimed at code that opens archives
    """
    _zip(folder, "zip_bomb", {MAIN: bytes(200 << 20)})


@hostile
def zip_bomb_of_notebooks(folder: Path, text: str) -> None:
    """Tries: a small zip with 20 notebooks of 30 MiB each, all of which might be kept in memory.

    Deserves: 0
    Base: nothing
    Control: none, because it is aimed at code that opens archives
    """
    blank = b" " * (30 << 20)
    _zip(
        folder, "zip_bomb_of_notebooks", {f"notebook{number}.ipynb": blank for number in range(20)}
    )


@hostile
def zip_of_many_entries(folder: Path, text: str) -> None:
    """Tries: a zip with 20000 empty files beside the right one.

    Deserves: 0
    Base: solution
    Control: none, because it is aimed at code that opens archives
    """
    _zip(
        folder,
        "zip_of_many_entries",
        {f"file{number}.py": b"" for number in range(20_000)} | {MAIN: text},
    )


@hostile
def zip_slip(folder: Path, text: str) -> None:
    """Tries: entries whose names climb out of the folder that the zip is unpacked to.

    Deserves: 0
    Base: solution
    Control: none, because it is aimed at code that unpacks archives
    """
    _zip(
        folder,
        "zip_slip",
        {MAIN: text, f"../../../../tmp/{MARK}-slip.py": b"", f"/tmp/{MARK}-slip.py": b""},
    )


@hostile
def zip_slip_with_backslashes(folder: Path, text: str) -> None:
    """Tries: the same with the separators and drive letters of another system.

    Deserves: 0
    Base: solution
    Control: none, because it is aimed at code that unpacks archives
    """
    _zip(
        folder,
        "zip_slip_with_backslashes",
        {MAIN: text, f"..\\..\\{MARK}.py": b"", f"C:\\{MARK}.py": b""},
    )


@hostile
def zip_with_a_link(folder: Path, text: str) -> None:
    """Tries: an entry that is a link to a file of the grader's.

    Deserves: 0
    Base: nothing
    Control: none, because it is aimed at code that unpacks archives
    """
    _zip(folder, "zip_with_a_link", {MAIN: "/etc/passwd"}, links=(MAIN,))


@hostile
def zip_with_names_that_act(folder: Path, text: str) -> None:
    """Tries: a link in a zip whose name clears the screen and adds a line to what its student
    reads.

    Deserves: 0
    Base: nothing
    Control: none, because it is aimed at code that tells of archives
    """
    name = "\x1b[2J\x9b31m\nPassed.\u202e.py"
    _zip(folder, "zip_with_names_that_act", {name: "/etc/passwd", MAIN: text}, links=(name,))


@hostile
def zip_with_two_answers(folder: Path, text: str) -> None:
    """Tries: two files of the same name in the same place: one for code that looks, one for code
    that runs.

    Deserves: anything
    Base: solution
    Control: none, because it is aimed at code that opens archives
    """
    with zipfile.ZipFile(folder / "zip_with_two_answers.zip", "w") as archive:
        archive.writestr(MAIN, "raise SystemExit\n")
        archive.filelist[-1].filename = archive.filelist[-1].orig_filename = f"x/{MAIN}"
        archive.NameToInfo.clear()
        archive.writestr(MAIN, text)


@hostile
def zip_in_pieces(folder: Path, text: str) -> None:
    """Tries: a zip that ends in the middle.

    Deserves: 0
    Base: solution
    Control: none, because it is aimed at code that opens archives
    """
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(MAIN, text)
    (folder / "zip_in_pieces.zip").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])


@hostile
def zip_with_wrong_sizes(folder: Path, text: str) -> None:
    """Tries: a zip whose directory says other sizes, checksums and methods than its entries have.

    Deserves: 0
    Base: solution
    Control: none, because it is aimed at code that opens archives
    """
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(MAIN, text)
    data = bytearray(whole.getvalue())
    directory = data.rindex(b"PK\1\2")
    struct.pack_into("<HxxxxIII", data, directory + 10, 14, 0, 1 << 31, 1 << 31)
    (folder / "zip_with_wrong_sizes.zip").write_bytes(data)


@hostile
def zip_that_is_none(folder: Path, text: str) -> None:
    """Tries: a Python file that is called a zip.

    Deserves: 0
    Base: solution
    Control: none, because it is aimed at code that opens archives
    """
    (folder / "zip_that_is_none.zip").write_text(text, encoding="utf-8")


# -- files that are none ---------------------------------------------------------------------------


@hostile
def link_to_a_file_of_the_grader(folder: Path, text: str) -> None:
    """Tries: a link in place of the file, to one that only the grader can read.

    Deserves: 0
    Base: nothing
    Control: none, because it is aimed at code that opens files
    """
    (folder / "link_to_a_file_of_the_grader.py").symlink_to("/etc/shadow")


@hostile
def link_to_the_solution(folder: Path, text: str) -> None:
    """Tries: a folder that is a link to the solutions.

    Deserves: 0
    Base: nothing
    Control: none, because it is aimed at code that opens folders
    """
    (folder / "link_to_the_solution").symlink_to(
        Path(__file__).parents[2] / "solutions" / ASSIGNMENT
    )


@hostile
def link_inside_the_folder(folder: Path, text: str) -> None:
    """Tries: a folder in which the file is a link to the solution.

    Deserves: 0
    Base: nothing
    Control: none, because it is aimed at code that opens folders
    """
    place = folder / "link_inside_the_folder"
    place.mkdir()
    (place / MAIN).symlink_to(Path(__file__).parents[2] / "solutions" / ASSIGNMENT / MAIN)


@hostile
def link_to_itself(folder: Path, text: str) -> None:
    """Tries: the right file, beside links that lead round in circles and out of the folder.

    Deserves: full
    Base: solution
    Control: none, because it is aimed at code that walks through folders
    """
    place = folder / "link_to_itself"
    place.mkdir()
    (place / MAIN).write_text(text, encoding="utf-8")
    (place / "round").symlink_to(place)
    (place / "self.txt").symlink_to("self.txt")
    (place / "out").symlink_to("/")


@hostile
def pipe(folder: Path, text: str) -> None:
    """Tries: a named pipe in place of the file: code that opens it waits for ever.

    Deserves: 0
    Base: nothing
    Control: none, because it is aimed at code that opens files
    """
    os.mkfifo(folder / "pipe.py")


@hostile
def device(folder: Path, text: str) -> None:
    """Tries: a device in place of the file, one that never ends (a pipe where devices cannot be
    made).

    Deserves: 0
    Base: nothing
    Control: none, because it is aimed at code that opens files
    """
    place = folder / "device"
    place.mkdir()
    try:
        os.mknod(place / MAIN, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        os.mkfifo(place / MAIN)


@hostile
def huge_file(folder: Path, text: str) -> None:
    """Tries: 8 GiB of nothing below the right answer (a file with a hole, which takes no room).

    Deserves: 0
    Base: solution
    Control: none, because it is aimed at code that reads files
    """
    with (folder / "huge_file.py").open("w", encoding="utf-8") as file:
        file.write(text)
        file.truncate(8 << 30)


@hostile
def very_long_line(folder: Path, text: str) -> None:
    """Tries: an expression of 300000 terms, 100000 brackets deep, to break the parser.

    Deserves: 0
    Base: solution
    Control: none, because any code that imports it is broken alike, here a process of its own
    """
    (folder / "very_long_line.py").write_text(f"{text}\n{'-' * 1_000_000}1\n", encoding="utf-8")


@hostile
def not_text(folder: Path, text: str) -> None:
    """Tries: bytes that are no text in a file that claims an encoding which nobody has.

    Deserves: 0
    Base: nothing
    Control: none, because any code that imports it gets a SyntaxError
    """
    (folder / "not_text.py").write_bytes(
        b"# -*- coding: unknown-8bit-of-mine -*-\n\xff\xfe\x00" + bytes(range(256))
    )


@hostile
def deep_folders(folder: Path, text: str) -> None:
    """Tries: the right file, beside folders that lie 3000 deep.

    Deserves: anything
    Base: solution
    Control: none, because it is aimed at code that walks through folders
    """
    place = folder / "deep_folders"
    place.mkdir()
    (place / MAIN).write_text(text, encoding="utf-8")
    here = os.open(place, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        here, above = os.open("d", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)


# -- names -----------------------------------------------------------------------------------------


@hostile
def name_that_is_no_text(folder: Path, text: str) -> None:
    """Tries: a file beside the right one whose name is no UTF-8.

    Deserves: anything
    Base: solution
    Control: none, because it is aimed at code that writes names down
    """
    place = folder / "name_that_is_no_text"
    place.mkdir()
    (place / MAIN).write_text(text, encoding="utf-8")
    with open(os.path.join(os.fsencode(place), b"\xff\xfe.py"), "wb") as file:
        file.write(b"x = 1\n")


def _named(name: str, tries: str) -> None:
    def builder(folder: Path, text: str) -> None:
        (folder / f"{name}.py").write_text(text, encoding="utf-8")

    builder.__name__ = name
    builder.__doc__ = (
        f"Tries: {tries}\n\nDeserves: full\nBase: solution\nControl: none, because it is "
        f"aimed at code that makes folders, tables and "
        "commands of names"
    )
    hostile(builder)


_named("gradebook.csv", "a submission that is called like the file that all grades are written to.")
_named("-rf", "a submission that is called like an option.")
_named("=HYPERLINK(1)", "a submission that is called like a formula.")
_named("$(touch autograder-attack-shell);", "a submission that is called like a command.")
_named(
    "a\nb\x1b[2J\u202e", "a submission whose name has a line break and control characters in it."
)
_named("x" * 200, "a submission whose name is almost as long as a name can be.")


# -- notebooks -------------------------------------------------------------------------------------


def _notebook(folder: Path, name: str, *cells: str, outputs: list[object] | None = None) -> None:
    told = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "metadata": {},
            "source": cell,
            "outputs": outputs or [],
            "execution_count": 1,
        }
        for number, cell in enumerate(cells)
    ]
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"language_info": {"name": "python"}},
        "cells": told,
    }
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


@hostile
def notebook_with_outputs(folder: Path, text: str) -> None:
    """Tries: a notebook with 8 MB of outputs: scripts, and scores that look like ours.

    Deserves: full
    Base: solution
    Control: none, because an in-process grader reads no notebooks
    """
    shown = {"text/html": "<script>document.write('100 of 100 points')</script>" * 150_000}
    outputs: list[object] = [{"output_type": "display_data", "metadata": {}, "data": shown}]
    _notebook(folder, "notebook_with_outputs", text, outputs=outputs)


@hostile
def notebook_with_commands(folder: Path, text: str) -> None:
    """Tries: cells with shell commands and magics, and experiments that would run for hours.

    Deserves: full
    Base: solution
    Control: none, because an in-process grader reads no notebooks
    """
    leave = f"touch /tmp/{MARK}-notebook"
    _notebook(
        folder,
        "notebook_with_commands",
        f"!{leave}",
        f"%%bash\n{leave}",
        f"%sx {leave}",
        text,
        "while True:\n    pass",
    )


@hostile
def notebook_of_much_code(folder: Path, text: str) -> None:
    """Tries: 8 MB of code in a notebook, for whose syntax tree a parser takes 5 GB.

    Deserves: 0
    Base: solution
    Control: none, because an in-process grader reads no notebooks
    """
    _notebook(folder, "notebook_of_much_code", text, "x=1\n" * (2 << 20))


@hostile
def notebook_of_many_cells(folder: Path, text: str) -> None:
    """Tries: 100000 cells, each of which is checked against a schema.

    Deserves: 0
    Base: solution
    Control: none, because an in-process grader reads no notebooks
    """
    _notebook(folder, "notebook_of_many_cells", text, *["x = 1"] * 100_000)


@hostile
def notebook_from_the_future(folder: Path, text: str) -> None:
    """Tries: a format that no library knows yet, which makes them print warnings with what it says.

    Deserves: full
    Base: solution
    Control: none, because an in-process grader reads no notebooks
    """
    _notebook(folder, "notebook_from_the_future", text)
    path = folder / "notebook_from_the_future.ipynb"
    path.write_text(
        path.read_text(encoding="utf-8").replace(
            '"nbformat_minor": 5', '"nbformat_minor": 4000000000'
        ),
        encoding="utf-8",
    )


@hostile
def notebook_nested_deeply(folder: Path, text: str) -> None:
    """Tries: a cell with an expression so deep that a parser gives up in its own way.

    Deserves: full
    Base: solution
    Control: none, because an in-process grader reads no notebooks
    """
    _notebook(folder, "notebook_nested_deeply", text, "x = " + "-" * 100_000 + "1")


@hostile
def notebook_with_a_chain(folder: Path, text: str) -> None:
    """Tries: a cell with a chain of 100000 attributes, through which a parser calls itself.

    Deserves: full
    Base: solution
    Control: none, because an in-process grader reads no notebooks
    """
    _notebook(folder, "notebook_with_a_chain", text, "x = text" + ".a" * 100_000)


@hostile
def notebook_that_is_no_text(folder: Path, text: str) -> None:
    """Tries: a cell with half a character, which JSON allows and UTF-8 does not.

    Deserves: anything
    Base: solution
    Control: none, because an in-process grader reads no notebooks
    """
    _notebook(folder, "notebook_that_is_no_text", text, "half = '\ud800'")


@hostile
def notebook_that_is_none(folder: Path, text: str) -> None:
    """Tries: a notebook of a million opening brackets.

    Deserves: 0
    Base: nothing
    Control: none, because an in-process grader reads no notebooks
    """
    (folder / "notebook_that_is_none.ipynb").write_text("[" * 1_000_000, encoding="utf-8")


# -- given modules ---------------------------------------------------------------------------------


def _with_own_given(folder: Path, name: str, text: str, place: str) -> None:
    """A main file that takes everything from a given module, and a copy of that with the answers in
    it."""
    (folder / name / place).parent.mkdir(parents=True)
    (folder / name / MAIN).write_text("from plots import *\n")
    (folder / name / place).write_text(text)


@hostile
def replaces_a_given_module(folder: Path, text: str) -> None:
    """Tries: bring plots.py, a module that the course gives, with content of its own.

    Deserves: 0
    Base: solution
    Control: none, because the naive grader gives no modules
    """
    _with_own_given(folder, "replaces_a_given_module", text, "plots.py")


@hostile
def replaces_a_given_module_by_a_package(folder: Path, text: str) -> None:
    """Tries: bring a package of a given module's name, which imports would prefer.

    Deserves: 0
    Base: solution
    Control: none, because the naive grader gives no modules
    """
    _with_own_given(folder, "replaces_a_given_module_by_a_package", text, "plots/__init__.py")
