"""One solution file, three readings; every marker mistake is a SourceError that begins with
file:line."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from autograder.authoring.markers import Bug, Todo, bug_of
from autograder.authoring.source import Source
from autograder.errors import SourceError

TEXT = '''\
"""A module."""

import math

### BEGIN SOLUTION
from functools import reduce


def _double(x):
    return reduce(lambda a, b: a + b, [x, x])


### END SOLUTION


def area(r):
    """The area of a disc."""
    if r < 0:
        raise ValueError("no such disc")
    # TODO(shapes): say "pi" \\ square.
    ### BEGIN SOLUTION
    # BUG(no-square): return math.pi * r
    # WHEN the radius is not
    # WHEN squared.
    # BUG(doubled): return _double(math.pi * r**2)
    # WHEN the area counts twice.
    return (
        math.pi
        * r**2
    )
    ### END SOLUTION


def count(items):
    """How many items are not None."""
    total = 0
    for item in items:
        # TODO(counting): count.
        ### BEGIN SOLUTION
        # BUG(counts-none): if True:
        # WHEN None counts too.
        if item is not None:
            # BUG(counts-twice): total += 2
            # WHEN each item counts twice.
            total += 1
        # BUG(counts-twice): pass
        total += 0
        ### END SOLUTION
    return total
'''


def source(text: str) -> Source:
    return Source(Path("folder/solution.py"), textwrap.dedent(text))


def run(text: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(text, names)
    return names


# -- the three readings ----------------------------------------------------------------------------


def test_the_solution_is_the_file_without_markers():
    solution = source(TEXT).solution()
    assert (
        "###" not in solution
        and "# BUG" not in solution
        and "# WHEN" not in solution
        and "# TODO" not in solution
    )
    kept = [
        line
        for line in TEXT.splitlines()
        if not line.lstrip().startswith(("###", "# BUG", "# WHEN", "# TODO"))
    ]
    assert [line for line in solution.splitlines() if line] == [line for line in kept if line]
    assert run(solution)["count"]([1, None, 2]) == 2


def test_the_stub_keeps_docstrings_and_given_code_and_raises_for_each_blank():
    assert source(TEXT).stub() == (
        '"""A module."""\n\nimport math\n\n\n'
        'def area(r):\n    """The area of a disc."""\n    if r < 0:\n        raise ValueError("no '
        'such disc")\n'
        '    # TODO(shapes): say "pi" \\ square.\n    # YOUR CODE HERE\n'
        '    raise NotImplementedError("TODO(shapes): say \\"pi\\" \\\\ square.")\n\n\n'
        'def count(items):\n    """How many items are not None."""\n    total = 0\n    for item in '
        "items:\n"
        "        # TODO(counting): count.\n        # YOUR CODE HERE\n"
        '        raise NotImplementedError("TODO(counting): count.")\n    return total\n'
    )


def test_a_blank_of_the_stub_raises_the_text_of_its_todo():
    area = run(source(TEXT).stub())["area"]
    with pytest.raises(NotImplementedError) as raised:
        area(1.0)
    assert str(raised.value) == 'TODO(shapes): say "pi" \\ square.'
    with pytest.raises(ValueError, match="no such disc"):
        area(-1.0)


def test_a_bug_replaces_the_whole_logical_line_below_it():
    broken = source(TEXT).broken("no-square")
    assert "    return math.pi * r\n" in broken and "* r**2" not in broken
    assert run(broken)["area"](2.0) == pytest.approx(6.283185307)


def test_bugs_stacked_above_one_statement_corrupt_it_one_at_a_time():
    assert run(source(TEXT).broken("doubled"))["area"](1.0) == pytest.approx(6.283185307)
    assert run(source(TEXT).solution())["area"](1.0) == pytest.approx(3.141592654)


def test_a_bug_above_a_compound_statement_replaces_its_header_alone():
    assert run(source(TEXT).broken("counts-none"))["count"]([1, None]) == 2


def test_a_bug_that_stands_at_several_places_corrupts_all_of_them():
    broken = source(TEXT).broken("counts-twice")
    assert "total += 1" not in broken and "total += 0" not in broken
    assert run(broken)["count"]([1, None]) == 2


def test_a_bug_that_the_file_does_not_have_is_a_key_error():
    with pytest.raises(SourceError, match="no known bug is called 'unheard-of'; there are"):
        source(TEXT).broken("unheard-of")


def test_bugs_and_blanks_are_listed_in_file_order():
    read = source(TEXT)
    assert read.bugs == (
        Bug("no-square", "the radius is not squared."),
        Bug("doubled", "the area counts twice."),
        Bug("counts-none", "None counts too."),
        Bug("counts-twice", "each item counts twice."),
    )
    assert read.todos == (
        Todo("shapes", 'say "pi" \\ square.', "area"),
        Todo("counting", "count.", "count"),
    )


SPELLED = """
def f(x):
    # TODO(one): do it.
    ### BEGIN SOLUTION
    # BUG(off, 2): y = x - 1
    # BUG(off): y = x + 1
    # WHEN one is counted twice.
    y = x
    # BUG(off, 2): return -y
    return y
    ### END SOLUTION
"""


def test_a_further_spelling_is_a_reading_of_its_own():
    read = source(SPELLED)
    assert read.bugs == (Bug("off", "one is counted twice."),)
    assert read.spellings == ("off, 2", "off")
    assert [run(read.broken(one))["f"](5) for one in read.spellings] == [-4, 6]
    assert "BUG" not in read.solution() and run(read.solution())["f"](5) == 5
    assert bug_of("off, 2") == bug_of("off") == "off"


def test_a_file_without_markers_reads_the_same_three_times():
    plain = source("x = 1\n")
    assert plain.solution() == plain.stub() == "x = 1\n"
    assert plain.bugs == plain.todos == ()


def test_markers_inside_strings_are_text():
    text = 's = """\n### BEGIN SOLUTION\n# BUG(a): b\n# TODO: c\n"""\n'
    assert source(text).solution() == source(text).stub() == text


def test_ordinary_comments_stay_where_they_are():
    text = (
        "x = 1  # TODO: not alone on its line\n# The bug is elsewhere; whenever: ### "
        "BEGIN SOLUTION\n"
    )
    assert source(text).stub() == text


def test_a_method_is_a_function_and_a_class_body_is_not():
    stub = source('''\
        class A:
            """A class."""

            ### BEGIN SOLUTION
            secret = 1

            ### END SOLUTION
            def f(self):
                # TODO(one): do it.
                ### BEGIN SOLUTION
                return self.secret
                ### END SOLUTION
        ''').stub()
    assert "secret" not in stub
    assert 'raise NotImplementedError("TODO(one): do it.")' in stub


def test_the_path_is_read_when_no_text_is_given(tmp_path):
    path = tmp_path / "solution.py"
    path.write_text("é = 1\n", encoding="utf-8")
    assert Source(path).solution() == "é = 1\n"


@pytest.mark.parametrize("separator", ["\f", "\x1c", "\x85", "\u2028"])
def test_only_line_ends_of_python_count_as_lines(separator):
    text = f'"""one{separator}two"""\n' + TEXT
    assert run(source(text).solution())["count"]([1, None, 2]) == 2
    assert separator in source(text).stub()


# -- mistakes --------------------------------------------------------------------------------------

BODY = """
def f(x):
    # TODO(one): do it.
    ### BEGIN SOLUTION
    {}
    return x
    ### END SOLUTION
"""


def in_a_block(*lines: str) -> str:
    return BODY.format("\n    ".join(lines)).lstrip()


MISTAKES = {
    "a further spelling without a first": (
        in_a_block("# BUG(off, 2): x = 1", "# WHEN it is wrong.", "x = 2"),
        6,
        "'off, 2' is a further spelling of a bug that has no first",
    ),
    "a further spelling that is not Python": (
        in_a_block("# BUG(off): x = 1", "# WHEN it is wrong.", "# BUG(off, 2): x = (", "x = 2"),
        7,
        "with the bug 'off, 2' this would not be Python",
    ),
    "not Python": ("x = 1\ny = (\n", 2, "this is not Python"),
    "begin in a block": (
        in_a_block("### BEGIN SOLUTION"),
        4,
        "begins inside the block of line 3: end that first",
    ),
    "end without begin": (
        "x = 1\n### END SOLUTION\n",
        2,
        "'### END SOLUTION' without a '### BEGIN SOLUTION' before it",
    ),
    "never ended": ("x = 1\n### BEGIN SOLUTION\ny = 2\n", 2, "never ended: add '### END SOLUTION'"),
    "no code": ("x = 1\n### BEGIN SOLUTION\n# nothing\n### END SOLUTION\n", 2, "holds no code"),
    "begin at another indentation": (
        "def f():\n    # TODO(one): do it.\n### BEGIN SOLUTION\n    return 1\n    ### END "
        "SOLUTION\n",
        3,
        "must be indented alike",
    ),
    "end at another indentation": (
        "def f():\n    # TODO(one): do it.\n    ### BEGIN SOLUTION\n    return 1\n### END "
        "SOLUTION\n",
        3,
        "must be indented alike",
    ),
    "no TODO above": (
        "def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION\n",
        2,
        "must be '# TODO(part): what to do'",
    ),
    "TODO not directly above": (
        "def f():\n    # TODO(one): do it.\n\n    ### BEGIN SOLUTION\n    return 1\n    ### END "
        "SOLUTION\n",
        4,
        "must be '# TODO(part): what to do'",
    ),
    "two blocks in a function": (
        in_a_block("pass") + "    # TODO(one): more.\n    ### BEGIN SOLUTION\n    return x\n    "
        "### END SOLUTION\n",
        8,
        "f has a solution block already, at line 3: one block for each function",
    ),
    "a bugs block that is never ended": (
        "### BEGIN BUGS\nx = 1\n",
        1,
        "never ended: add '### END BUGS'",
    ),
    "a bugs block in a solution block": (
        "### BEGIN SOLUTION\nx = 1\n### BEGIN BUGS\n",
        3,
        "begins inside the block of line 1: end that first",
    ),
    "a bugs block with another end": (
        "### BEGIN BUGS\nx = 1\n### END SOLUTION\n",
        3,
        "'### END SOLUTION' without a '### BEGIN SOLUTION' before it",
    ),
    "a bugs block misspelt": ("### BEGIN BUG\nx = 1\n", 1, "looks like a marker but is not one"),
    "begin misspelt": ("x = 1\n#### BEGIN SOLUTION\n", 2, "looks like a marker but is not one"),
    "begin in lower case": ("### begin solution\n", 1, "looks like a marker but is not one"),
    "bug without a name": ("x = 1\n# BUG: x = 2\ny = 1\n", 2, "'# BUG(kebab-name): line'"),
    "bug not in kebab-case": (
        "# BUG(No_Kebab): x = 2\nx = 1\n",
        1,
        "looks like a marker but is not one",
    ),
    "bug without a replacement": (
        "# BUG(empty):\nx = 1\n",
        1,
        "looks like a marker but is not one",
    ),
    "TODO without a part": ("# TODO: do it\nx = 1\n", 1, "'# TODO(part): text'"),
    "WHEN without a text": ("# WHEN\nx = 1\n", 1, "'# WHEN text'"),
    "WHEN without a bug": ("x = 1\n# WHEN alone.\ny = 1\n", 2, "must follow its '# BUG(...)' line"),
    "WHEN after a gap": (
        "# BUG(a): x = 2\n\n# WHEN late.\nx = 1\n",
        1,
        "must be directly above the statement that it corrupts",
    ),
    "WHEN after the statement": (
        "# BUG(a): x = 2\n# WHEN it is.\nx = 1\n# WHEN it was.\ny = 1\n",
        4,
        "must follow its '# BUG(...)' line",
    ),
    "explained twice": (
        "# BUG(a): x = 2\n# WHEN once.\nx = 1\n# BUG(a): y = 2\n# WHEN twice.\ny = 1\n",
        5,
        "explained twice: keep one '# WHEN' text",
    ),
    "never explained": (
        in_a_block("# BUG(a): y = 2", "y = 1"),
        5,
        "the bug 'a' needs one '# WHEN' text",
    ),
    "no full stop": (
        "# BUG(a): x = 2\n# WHEN it ends like this\nx = 1\n",
        3,
        "ends with a full stop",
    ),
    "bug above nothing": (
        "x = 1\n# BUG(a): x = 2\n# WHEN lost.\n",
        2,
        "must be directly above the statement",
    ),
    "bug above a blank line": (
        "# BUG(a): x = 2\n# WHEN far.\n\nx = 1\n",
        1,
        "must be directly above the statement",
    ),
    "bug above a comment": (
        "# BUG(a): x = 2\n# WHEN far.\n# a word\nx = 1\n",
        1,
        "must be directly above the statement",
    ),
    "bug inside a statement": (
        "x = [\n# BUG(a): 2,\n# WHEN inside.\n1,\n]\n",
        2,
        "must be directly above the statement",
    ),
    "bug at another indentation": (
        in_a_block("if x:", "# BUG(a): x = 2", "# WHEN it is shallow.", "    x = 1"),
        5,
        "the bug 'a' must be indented like the statement below it",
    ),
    "bug that is not Python": (
        "# BUG(a): x = = 2\n# WHEN broken.\nx = 1\n",
        3,
        "with the bug 'a' this would not be Python",
    ),
    "stub that is not Python": (
        "class A:\n    ### BEGIN SOLUTION\n    x = 1\n    ### END SOLUTION\n",
        1,
        "the stub would not be Python (its line 1",
    ),
    "a private helper that only the solution uses": (
        "def _help(x):\n    return x\n" + in_a_block("x = _help(x)"),
        1,
        "the stub would show '_help', which only the solution uses: put it between '### BEGIN "
        "SOLUTION' and '### END SOLUTION'",
    ),
    "an import that only the solution uses": (
        "import math\nfrom math import pi as half_a_turn\n" + in_a_block("x = x * half_a_turn"),
        2,
        "the stub would show 'half_a_turn'",
    ),
    "a constant that only the solution uses": (
        "x = 1\n\n_EPSILON = 1e-8\n" + in_a_block("x = x + _EPSILON"),
        3,
        "the stub would show '_EPSILON'",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_marker_mistake_names_file_line_and_remedy(name):
    text, line, words = MISTAKES[name]
    with pytest.raises(SourceError) as raised:
        Source(Path("folder/solution.py"), text)
    message = str(raised.value)
    assert message.startswith(f"folder/solution.py:{line}: ")
    assert words in message


LEAKS = {
    "an annotated constant": "_EPSILON: float = 1e-8\n",
    "an unpacked constant": "_EPSILON, _DELTA = 1e-8, 1e-4\n",
    "an async helper": "async def _help(x):\n    return x\n",
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_private_name_is_a_leak_however_it_is_bound(name):
    helper = LEAKS[name]
    used = next(word for word in ("_EPSILON", "_help") if word in helper)
    with pytest.raises(SourceError, match=used):
        source(helper + in_a_block(f"print({used})"))


def test_what_the_stub_still_uses_is_no_leak():
    given = (
        "def _check(x):\n    return x\n\n\nfrom typing import Any\n\n\ndef g(x: 'Any'):\n"
        "    return _check(x)\n\n\n"
    )
    assert "_check" in source(given + in_a_block("x = _check(x)")).stub()


def test_public_names_and_whole_modules_are_an_offer_to_students():
    given = "import math\n\n\ndef helper(x):\n    return x\n\n\nGAMMA = 0.9\n\n\n"
    assert source(given + in_a_block("x = helper(x) * GAMMA * math.pi")).stub().startswith(given)


HELPED = """\
def total(numbers):
    # TODO(sums): add up.
    ### BEGIN SOLUTION
    # BUG(first-only): return _first(numbers)
    # WHEN only the first number counts.
    return sum(numbers)
    ### END SOLUTION


### BEGIN BUGS
def _first(numbers):
    return numbers[0]


### END BUGS
"""


def test_what_only_bugs_need_is_in_their_readings_alone():
    source = Source(Path("solution.py"), HELPED)
    for reading in (source.solution(), source.stub(), source.marked()):
        assert "_first" not in reading and "BUGS" not in reading
    names: dict = {}
    exec(source.broken("first-only"), names)
    assert names["total"]([3, 4]) == 3


def test_a_broken_reading_differs_from_the_unbroken_one_by_its_bug_alone():
    source = Source(Path("solution.py"), HELPED)
    assert source.changed("first-only") == {"total"}


def test_what_comes_from_a_given_module_may_be_used_by_the_solution_alone(tmp_path):
    text = "from shapes import area\n\n\n" + HELPED.replace("sum(numbers)", "area(numbers)")
    path = tmp_path / "solutions" / "one" / "one.py"
    with pytest.raises(SourceError, match="the stub would show 'area'"):
        Source(path, text)
    given = tmp_path / "assignments" / "given" / "shapes.py"
    given.parent.mkdir(parents=True)
    given.write_text("def area(numbers): return 1\n")
    assert "from shapes import area" in Source(path, text).stub()
