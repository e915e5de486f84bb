"""What a student sends becomes a Submission; what cannot be opened, one with a sentence."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from autograder.errors import CourseError
from autograder.isolation.cells import left_out
from autograder.marking.intake import archives as intake
from autograder.marking.submission import Submission, read_all

MAIN = "gae.py"
CODE = b"def f(x):\n    return x\n"


def read(path: Path) -> Submission:
    """The submission at ``path``, alone or as one of its class."""
    if path.is_dir() and not (path / MAIN).is_file():
        return class_of(path.parent)[path.name]
    (one,) = read_all(path, MAIN)
    return one


def problem(path: Path) -> str:
    """Why ``path`` cannot be opened; nothing of it is kept."""
    one = read(path)
    assert one.problem and not one.files
    return one.problem


def class_of(folder: Path) -> dict[str, Submission]:
    return {one.student: one for one in read_all(folder, MAIN)}


def write(path: Path, data: bytes = CODE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    return path


def notebook(*cells: str | dict[str, object]) -> bytes:
    whole = [
        cell
        if isinstance(cell, dict)
        else {
            "cell_type": "code",
            "id": f"c{number}",
            "source": cell,
            "metadata": {},
            "execution_count": 1,
            "outputs": [{"output_type": "stream", "name": "stdout", "text": "an old output"}],
        }
        for number, cell in enumerate(cells)
    ]
    return json.dumps({"cells": whole, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


# -- the forms of a submission ---------------------------------------------------------------------


def test_the_same_content_has_the_same_digest_whatever_it_is_packed_in(tmp_path):
    file = read(write(tmp_path / "ada.py"))
    folder = read(write(tmp_path / "ada" / MAIN).parent)
    archive = read(pack(tmp_path / "ada.zip", {f"hw/{MAIN}": CODE}))
    assert file.files == folder.files == archive.files == {MAIN: CODE}
    assert file.digest == folder.digest == archive.digest
    assert file.student == folder.student == archive.student == "ada"


def test_other_content_has_another_digest(tmp_path):
    first = Submission("a", {"x.py": b"1", "y.py": b"2"})
    assert first.digest == Submission("b", {"y.py": b"2", "x.py": b"1"}).digest
    for files in (
        {"x.py": b"12", "y.py": b""},
        {"x.py": b"2", "y.py": b"1"},
        {"x.py": b"1"},
        {"x.py": b"1", "z.py": b"2"},
    ):
        assert Submission("a", files).digest != first.digest


def test_a_class_is_a_folder_of_files_folders_zips_and_notebooks(tmp_path):
    write(tmp_path / "ada.py")
    write(tmp_path / "ben" / MAIN)
    pack(tmp_path / "cleo.zip", {MAIN: CODE})
    write(tmp_path / "dan.ipynb", notebook(CODE.decode()))
    found = class_of(tmp_path)
    assert list(found) == ["ada", "ben", "cleo", "dan"]
    assert not any(one.problem for one in found.values())
    assert all(CODE.strip() in one.files[MAIN] for one in found.values())


def test_what_is_no_hand_in_is_passed_over(tmp_path):
    write(tmp_path / "ada.py")
    for name in (
        "README.md",
        ".DS_Store",
        "received.csv",
        "__MACOSX/x.py",
        "__pycache__/gae.pyc",
        ".git/config",
    ):
        write(tmp_path / name, b"student,received\n")
    assert list(class_of(tmp_path)) == ["ada"]


def test_a_folder_with_the_file_in_it_is_one_submission_and_not_a_class(tmp_path):
    write(tmp_path / "ada" / MAIN)
    write(tmp_path / "ada" / "helper.py")
    assert list(class_of(tmp_path / "ada")) == ["ada"]


def test_neighbours_come_along_and_nothing_else_does(tmp_path):
    ada = write(tmp_path / "ada" / MAIN).parent
    for name in (
        "helper.py",
        "package/__init__.py",
        "notes.txt",
        ".venv/x.py",
        "venv/y.py",
        "__pycache__/z.py",
        ".hidden.d/w.py",
    ):
        write(ada / name)
    assert sorted(read(ada).files) == [MAIN, "helper.py", "package/__init__.py"]


def test_a_wrapping_folder_is_taken_off(tmp_path):
    ada = write(tmp_path / "ada" / "homework 3" / "src" / MAIN).parents[2]
    write(ada / "homework 3" / "src" / "helper.py")
    write(ada / "homework 3" / "elsewhere.py")
    packed = pack(
        tmp_path / "ben.zip",
        {f"hw/{MAIN}": CODE, "hw/helper.py": CODE, f"__MACOSX/hw/._{MAIN}": b"junk"},
    )
    assert sorted(read(ada).files) == sorted(read(packed).files) == [MAIN, "helper.py"]


def test_the_outermost_of_several_is_the_one_that_is_asked_for(tmp_path):
    packed = pack(tmp_path / "ada.zip", {f"old/{MAIN}": b"old = 1\n", MAIN: CODE})
    assert read(packed).files[MAIN] == CODE


def test_a_single_file_of_another_name_can_only_be_it(tmp_path):
    assert read(write(tmp_path / "ada" / "my_work.py").parent).files[MAIN] == CODE
    assert read(pack(tmp_path / "ben.zip", {"gae (1).py": CODE})).files[MAIN] == CODE


def test_text_in_another_encoding_is_handed_on_as_it_is(tmp_path):
    latin = "# caf\xe9\n".encode("latin-1")
    assert read(write(tmp_path / "ada.py", latin)).files == {MAIN: latin}


# -- notebooks -------------------------------------------------------------------------------------


def code_of(path: Path) -> str:
    return read(path).files[MAIN].decode()


def test_a_notebook_is_its_code_cells_without_magics_and_outputs(tmp_path):
    cells = [
        "%matplotlib inline\n!pip install torch\nimport math",
        "%%time\nslow = 1",
        {"cell_type": "markdown", "id": "m", "source": "def not_code(): pass", "metadata": {}},
        "LIMIT = 3\n\ndef f(x):\n    print(x)\n    return math.sqrt(x)",
        "print(f(2))\nfor i in range(3):\n    f(i)\nif LIMIT:\n    f(1)",
        "class A:\n    pass\nx: int = 2\nassert f(4) == 3",
    ]
    code = code_of(write(tmp_path / "ada.ipynb", notebook(*cells)))
    names: dict[str, object] = {}
    exec(code, names)
    assert names["f"](9.0) == 3.0 and names["x"] == 2 and names["LIMIT"] == 3 and "A" in names
    assert names["slow"] == 1 and names["i"] == 2
    assert "an old output" not in code and "not_code" not in names
    assert left_out(names) == ["cell 5: `assert f(4) == 3` (AssertionError)"]


def test_outputs_do_not_change_the_submission(tmp_path):
    ran = read(write(tmp_path / "a.ipynb", notebook("x = 1")))
    fresh = read(
        write(tmp_path / "b.ipynb", notebook("x = 1").replace(b"an old output", b"another"))
    )
    assert ran.digest == fresh.digest


def test_a_cell_that_is_not_python_is_kept_as_a_comment(tmp_path):
    assert "# def f(:" in code_of(write(tmp_path / "ada.ipynb", notebook("def f(:\n    pass")))


def test_a_notebook_is_found_in_folders_and_zips(tmp_path):
    folder = write(tmp_path / "ada" / "gae.ipynb", notebook("x = 1")).parent
    write(folder / "helper.py")
    packed = pack(
        tmp_path / "ben.zip",
        {"hw/gae.ipynb": notebook("x = 1"), "hw/other.ipynb": notebook("y = 1")},
    )
    assert "x = 1" in code_of(folder) and "helper.py" in read(folder).files
    assert "x = 1" in code_of(packed)


@pytest.mark.parametrize(
    "data",
    [b"", b"not json", b"[]", b"{}", b'{"cells": 3, "nbformat": 4}', b"\xff\xfe", b"[" * 100_000],
    ids=range(7),
)
def test_a_notebook_that_is_none_is_explained(tmp_path, data):
    found = problem(write(tmp_path / "ada.ipynb", data))
    assert found.startswith("ada.ipynb cannot be read as a notebook (")
    assert found.endswith("): save it again, or submit a .py file")


STRANGE_CELLS = {
    "half a surrogate pair": r'"x = \"\ud800\""',
    "signs without end": json.dumps("x = " + "-" * 100_000 + "1"),
    "brackets without end": json.dumps("x = " + "(" * 100_000),
    "a null byte": json.dumps("x = '\0'"),
}


@pytest.mark.parametrize("name", STRANGE_CELLS)
def test_one_strange_notebook_does_not_keep_the_class_from_being_read(tmp_path, name):
    write(tmp_path / "ada.ipynb", notebook("HERE").replace(b'"HERE"', STRANGE_CELLS[name].encode()))
    write(tmp_path / "ben.py")
    found = class_of(tmp_path)
    assert found["ben"].files == {MAIN: CODE}
    assert b"x = " in found["ada"].files[MAIN]  # the worker will complain


@pytest.mark.parametrize(
    "cells", [["x = 1\n" * 50_000], ["x = 1"] * 2001], ids=["much code", "many cells"]
)
def test_a_notebook_of_much_code_is_not_parsed(tmp_path, cells):
    write(tmp_path / "ada.ipynb", notebook(*cells))
    (found,) = class_of(tmp_path).values()
    assert found.problem.startswith("ada.ipynb holds more than 2000 code cells or 256 KiB of code")


def test_pictures_and_long_texts_in_a_notebook_are_no_code(tmp_path):
    cells = [
        {
            "cell_type": "markdown",
            "id": "m",
            "source": "![x](data:image/png;base64," + "A" * 400_000 + ")",
            "metadata": {},
        }
    ]
    cells += [
        {
            "cell_type": "code",
            "id": "c",
            "source": "x = 1",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
        }
    ]
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    write(tmp_path / "ada.ipynb", json.dumps(document).encode())
    (found,) = class_of(tmp_path).values()
    assert b"x = 1" in found.files[MAIN] and not found.problem


def test_whatever_a_parser_raises_is_that_student_s_problem_alone(tmp_path, monkeypatch):
    def explode(*args: object) -> None:
        raise MemoryError

    write(tmp_path / "ada.ipynb", notebook("x = 1"))
    write(tmp_path / "ben.py")
    monkeypatch.setattr("autograder.marking.intake.cells._parsed", explode)
    found = class_of(tmp_path)
    assert (
        found["ada"].problem == "ada.ipynb cannot be read (MemoryError): submit one plain .py file"
    )
    assert not found["ben"].problem


@pytest.mark.parametrize("separator", ["\f", "\u2028", "\x85"])
def test_only_line_ends_of_python_count_as_lines_of_a_notebook(tmp_path, separator):
    cell = f"print('an{separator}experiment')\ndef f():\n"
    cell += f"    return 'a{separator}b'  # pasted{separator}text"
    names: dict[str, object] = {}
    exec(code_of(write(tmp_path / "ada.ipynb", notebook(cell))), names)
    assert names["f"]() == f"a{separator}b"


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Zoë_Müller-Lüdenscheid", "李小龍", "ada@uni.edu+2", "a.b.c"])
def test_an_ordinary_name_stays_as_it_is(tmp_path, name):
    write(tmp_path / f"{name}.py")
    assert list(class_of(tmp_path)) == [name]


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("ada lovelace.py", "ada_lovelace"),
        ("=cmd|'calc'!A1.py", "_cmd__calc__A1"),
        ("a\nb\x1b[31m.py", "a_b__31m"),
        ("x" * 200 + ".py", "x" * 80),
    ],
)
def test_any_other_name_becomes_safe_as_a_folder_s(tmp_path, name, student):
    write(tmp_path / name)
    assert list(class_of(tmp_path)) == [student]


@pytest.mark.parametrize("name", ["gradebook.csv", "Report.html"])
def test_what_stands_beside_the_students_folders_is_nobody_s_name(tmp_path, name):
    write(tmp_path / f"{name}.py")
    (student,) = class_of(tmp_path)
    assert re.fullmatch(re.escape(name) + "-[0-9a-f]{6}", student)


def test_dots_cannot_lead_out_of_the_folder(tmp_path):
    assert read(write(tmp_path / "..odd.py")).student == "odd"
    assert read(write(tmp_path / "...py")).student == "_"


def test_a_name_that_is_no_text_is_a_name_all_the_same(tmp_path):
    write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.py")))
    assert list(class_of(tmp_path)) == ["caf_"]


def test_names_that_become_the_same_stay_apart(tmp_path):
    for name in ("a b", "a_b", "a?b", "A_B"):
        write(tmp_path / f"{name}.py")
    found = class_of(tmp_path)
    assert len({student.casefold() for student in found}) == 4
    assert not any(one.problem for one in found.values())


def test_a_neighbour_whose_name_is_no_text_costs_nothing(tmp_path):
    ada = write(tmp_path / "ada" / MAIN).parent
    write(Path(os.fsdecode(os.fsencode(ada) + b"/caf\xe9.py")))
    assert sorted(read(ada).files) == ["caf_.py", MAIN]


def test_two_hand_ins_under_one_name_are_not_chosen_between(tmp_path):
    write(tmp_path / "ada.py")
    pack(tmp_path / "ada.zip", {MAIN: CODE})
    write(tmp_path / "ben.py")
    found = class_of(tmp_path)
    assert (
        found["ada"].problem
        == "there are two submissions under this name, ada.py and ada.zip: keep the one that counts"
    )
    assert not found["ben"].problem


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (
            ("gea.py", "x.py"),
            "gae.py is missing (the nearest name is gea.py): name the file gae.py",
        ),
        (
            ("first_try.py", "homework.py"),
            "gae.py is missing (it holds first_try.py, homework.py): name the file gae.py",
        ),
        (
            ("work.txt",),
            "gae.py is missing (it holds no Python file, only work.txt): name the file gae.py",
        ),
        (
            ("a/gae.py", "b/gae.py"),
            "gae.py is there more than once (a/gae.py, b/gae.py): keep the one that counts",
        ),
    ],
)
def test_a_file_that_cannot_be_found_is_asked_for_by_name(tmp_path, names, sentence):
    for name in names:
        write(tmp_path / "ada" / name)
    write(tmp_path / "zoe.py")
    assert problem(tmp_path / "ada") == sentence
    assert problem(pack(tmp_path / "ben.zip", dict.fromkeys(names, CODE))) == sentence


def test_other_kinds_of_files_are_refused_by_name(tmp_path):
    assert problem(write(tmp_path / "ada.docx")) == (
        "ada.docx is neither a .py file, nor a notebook, a zip or a folder: submit gae.py"
    )


def test_an_empty_folder_of_submissions_is_the_instructor_s_mistake(tmp_path):
    write(tmp_path / "README.md")
    with pytest.raises(
        CourseError,
        match=r"no submissions here: one \.py, \.ipynb, \.zip or folder for each student is",
    ):
        read_all(tmp_path, MAIN)


def test_a_path_that_is_not_there_is_the_instructor_s_mistake(tmp_path):
    with pytest.raises(CourseError, match="there is no such file or folder") as raised:
        read_all(tmp_path / "nowhere", MAIN)
    assert str(raised.value).startswith(f"{tmp_path / 'nowhere'}: ")


# -- links, devices, pipes -------------------------------------------------------------------------


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return write(tmp_path / "outside" / "secret.py", b"SECRET = 1\n")


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path, secret):
    (tmp_path / "ada.py").symlink_to(secret)
    (tmp_path / "ada.zip").symlink_to(secret)
    assert problem(tmp_path / "ada.py").endswith(": submit a regular file")
    assert problem(tmp_path / "ada.zip").startswith("ada.zip cannot be read (")


def test_a_link_in_place_of_a_folder_is_not_followed(tmp_path, secret):
    entry = tmp_path / "class" / "ada"
    entry.parent.mkdir()
    entry.symlink_to(secret.parent)
    assert "neither a .py file" in class_of(entry.parent)["ada"].problem


@pytest.mark.parametrize("name", [MAIN, "helper.py", "gae.ipynb"])
def test_a_link_inside_a_folder_is_not_followed(tmp_path, secret, name):
    ada = write(tmp_path / "ada" / "deep" / MAIN).parent.parent
    (ada / name).symlink_to(secret)
    assert problem(ada).startswith(f"{name} cannot be read (")


def test_a_linked_folder_inside_a_folder_is_left_out(tmp_path, secret):
    ada = write(tmp_path / "ada" / MAIN).parent
    (ada / "linked").symlink_to(secret.parent)
    assert sorted(read(ada).files) == [MAIN]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "ada.py")
    ben = write(tmp_path / "ben" / "other.py").parent
    os.mkfifo(ben / MAIN)
    assert problem(tmp_path / "ada.py") == "ada.py is not a regular file: submit ada.py itself"
    assert problem(ben) == "gae.py is not a regular file: submit gae.py itself"


def test_a_folder_in_place_of_a_file_is_no_file(tmp_path):
    (tmp_path / "ada" / MAIN).mkdir(parents=True)
    assert "gae.py is missing" in problem(tmp_path / "ada")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make devices")
def test_a_device_is_not_read(tmp_path):
    try:
        os.mknod(tmp_path / "ada.py", stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("this container refuses devices")
    found = problem(tmp_path / "ada.py")
    assert "is not a regular file" in found or "cannot be read" in found


# -- sizes -----------------------------------------------------------------------------------------


def test_a_file_may_be_large_but_not_larger_than_the_limit(tmp_path):
    fits = b"#" * intake.MAX_FILE
    assert read(write(tmp_path / "ada.py", fits)).files[MAIN] == fits
    assert problem(write(tmp_path / "ben.py", fits + b"#")) == (
        "ben.py is larger than 2 MiB: submit only what the assignment asks for"
    )
    assert "helper.py is larger than 2 MiB" in problem(
        write(write(tmp_path / "c" / MAIN).parent / "helper.py", fits + b"#").parent
    )
    assert "gae.py is larger than 2 MiB" in problem(pack(tmp_path / "d.zip", {MAIN: fits + b"#"}))


def test_all_files_together_may_not_be_larger_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "MAX_TOTAL", 1 << 20)
    monkeypatch.setattr(intake, "MAX_FILE", 1 << 19)
    half = b"#" * ((1 << 19) - len(CODE))
    folder = write(tmp_path / "ada" / MAIN).parent
    write(folder / "b.py", half)
    write(folder / "c.py", half)
    assert not read(folder).problem
    write(folder / "d.py")
    write(folder / "e.py", b"#" * 100)
    assert problem(folder) == "more than 1 MiB in all: submit only what the assignment asks for"


def test_there_may_not_be_more_files_than_the_limit(tmp_path):
    members = {f"{number}.py": b"" for number in range(intake.MAX_FILES)}
    assert "gae.py is missing" in problem(pack(tmp_path / "ada.zip", members))
    assert problem(pack(tmp_path / "ben.zip", members | {MAIN: CODE})) == (
        "more than 200 files: submit only what the assignment asks for"
    )


def test_a_notebook_may_be_as_large_in_a_zip_as_alone(tmp_path):
    big = notebook("x = 1").replace(b"an old output", b"#" * (9 << 20))
    assert not read(write(tmp_path / "ada.ipynb", big)).problem
    assert not read(pack(tmp_path / "ben.zip", {"gae.ipynb": big})).problem


def test_a_large_notebook_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "MAX_NOTEBOOK", 1 << 20)
    monkeypatch.setattr("nbformat.reads", lambda *args, **kwargs: pytest.fail("it was parsed"))
    big = notebook("#" * (1 << 20))
    assert "ada.ipynb is larger than 1 MiB" in problem(write(tmp_path / "ada.ipynb", big))
    assert "gae.ipynb is larger than 1 MiB" in problem(
        pack(tmp_path / "ben.zip", {"gae.ipynb": big})
    )


# -- zips ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../gae.py", "a/../../gae.py", "/etc/gae.py", "..\\gae.py", "C:\\gae.py", "C:/gae.py"]
)
def test_a_zip_that_points_out_of_itself_is_refused(tmp_path, name):
    found = problem(pack(tmp_path / "ada.zip", {MAIN: CODE, name: b"evil = 1\n"}))
    assert found.startswith("ada.zip holds a name that points out of it (")
    assert not (tmp_path.parent / MAIN).exists() and not (tmp_path / MAIN).exists()


def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    packed = pack(tmp_path / "ada.zip", {MAIN: b"#" * (64 << 20)})
    assert packed.stat().st_size < 1 << 20
    sizes = []
    real = zipfile.ZipExtFile.read
    monkeypatch.setattr(
        zipfile.ZipExtFile, "read", lambda self, n=-1: sizes.append(n) or real(self, n)
    )
    assert "gae.py is larger than 2 MiB" in problem(packed)
    assert sizes == [intake.MAX_FILE + 1]


def test_a_zip_with_very_many_entries_is_refused(tmp_path):
    members = {f"{number}.txt": b"" for number in range(10_001)}
    assert problem(pack(tmp_path / "ada.zip", members)).startswith(
        "ada.zip holds more than 10000 entries: "
    )


def test_an_encrypted_zip_is_explained(tmp_path):
    packed = pack(tmp_path / "ada.zip", {MAIN: CODE})
    data = bytearray(packed.read_bytes())
    data[6] |= 1  # the flag in the local header, and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert problem(write(packed, bytes(data))) == (
        "gae.py cannot be unpacked (it is encrypted): pack it again without a password"
    )


def test_a_damaged_zip_is_explained(tmp_path):
    assert problem(write(tmp_path / "ada.zip", b"PK\x03\x04 no zip")) == (
        "ada.zip is not a zip file that can be opened: pack it again, or submit the .py file itself"
    )
    data = bytearray(pack(tmp_path / "ben.zip", {MAIN: bytes(range(256)) * 40}).read_bytes())
    data[60:80] = b"\xff" * 20
    assert problem(write(tmp_path / "ben.zip", bytes(data))).startswith(
        "gae.py cannot be unpacked ("
    )


def test_a_link_in_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "ada.zip", "w") as archive:
        entry = zipfile.ZipInfo(MAIN)
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    assert problem(tmp_path / "ada.zip") == "gae.py in ada.zip is a link: pack the file itself"


def test_a_zip_in_memory_leaves_nothing_on_disk(tmp_path):
    packed = pack(tmp_path / "ada.zip", {MAIN: CODE, "helper.py": CODE})
    before = sorted(tmp_path.rglob("*"))
    assert not read(packed).problem
    assert sorted(tmp_path.rglob("*")) == before
    assert zipfile.is_zipfile(io.BytesIO(packed.read_bytes()))
