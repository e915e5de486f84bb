"""A submitted notebook runs as it was made; what fails is left out and said."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import nbformat
import pytest

from autograder.authoring import notebook
from autograder.errors import StudentError
from autograder.isolation import cells as runtime
from autograder.isolation.bridge import worker
from autograder.isolation.limits import Limits
from autograder.marking.intake import cells

MAIN = "work.py"


def read(*sources: Any) -> cells.Notebook:
    made = [notebook.code(one) if isinstance(one, str) else one for one in sources]
    return cells.read("work.ipynb", notebook.new(made).encode(), MAIN)


def loaded(*sources: Any) -> worker.Worker:
    found = read(*sources)
    made = worker.load({MAIN: found.code} | found.files, MAIN)
    assert made.failure is None
    return made


def names(*sources: Any) -> dict[str, Any]:
    return vars(loaded(*sources).module)


def told(*sources: Any) -> list[str]:
    return runtime.left_out(names(*sources))


# -- what counts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "if 1 > 2:\n    device = 'cuda'\nelse:\n    device = 'cpu'",
        "try:\n    import nowhere\n    device = 'gpu'\nexcept ImportError:\n    device = 'cpu'",
        "for device in ('gpu', 'cpu'):\n    pass",
        "import contextlib\nwith contextlib.nullcontext('cpu') as device:\n    pass",
        "device = 'c'\ndevice += 'pu'",
        "CONFIG = {}\nCONFIG.update(device='cpu')\ndevice = CONFIG['device']",
        "%time device = 'cpu'",
        "%%time\ndevice = 'cpu'",
        "%%capture out\ndevice = 'cpu'",
        "globals()['device'] = 'cpu'",
        "a = 1; device = 'cpu'",
        "device = '''\ncpu'''.strip()",
        "device = 'cpu'\r\nprint(device)\r",
    ],
)
def test_a_statement_counts_whatever_its_form(source):
    assert names(source)["device"] == "cpu"
    assert told(source) == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("from google.colab import drive", "ModuleNotFoundError: No module named 'google'"),
        ("history = train(agent, 500)", "NameError: name 'train' is not defined"),
        ("n = int(input())", ""),
        ("obs, _ = env.reset()", "NameError: name 'env' is not defined"),
        ("assert 1 == 2", "AssertionError"),
        ("exit()", "SystemExit"),
        ("return 3", "this is not Python: 'return' outside function"),
        ("await later()", "this is not Python: 'await' outside function"),
        ("class A(Missing): pass", "NameError: name 'Missing' is not defined"),
    ],
)
def test_a_statement_that_fails_is_left_out_with_its_cell_and_line(source, said):
    module = names("x = 1", f"{source}\ny = 2", "z = 3")
    (line,) = runtime.left_out(module)
    assert line.startswith(f"cell 2: `{source}` (") and said in line
    assert (module["x"], module["y"], module["z"]) == (1, 2, 3)


@pytest.mark.parametrize("prose", ["for i in range(3)\n    pass", "In this cell I explain."])
def test_a_cell_that_is_not_python_costs_what_is_in_it(prose):
    found = read("x = 1", prose, "y = 2")
    assert found.notes and found.notes[0].startswith(f"cell 2: `{prose.splitlines()[0]}` (")
    assert told("x = 1", prose, "y = 2") == list(found.notes)
    assert names("x = 1", prose, "y = 2")["y"] == 2


def test_what_computes_for_too_long_is_left_out_and_not_tried_again(monkeypatch):
    monkeypatch.setattr(runtime, "EACH", (0.2, 0.2))
    found = read("x = 1", "while True:\n    x += 1", "y = 2")
    known: dict[str, bytes] = {}
    first = worker.load({MAIN: found.code}, MAIN, known)
    first.report()
    (said,) = runtime.left_out(vars(first.module))
    assert said == "cell 2: `while True:` (it took more than 0.2 seconds of computing)"
    begun = time.process_time()
    again = worker.load({MAIN: found.code}, MAIN, known)
    assert time.process_time() - begun < 0.1
    assert again.module.x == 1 and again.module.y == 2
    assert runtime.left_out(vars(again.module)) == [said]


def test_what_waits_is_left_out(monkeypatch):
    monkeypatch.setattr(runtime, "WAITING", 0.3)
    (said,) = told("import time\ntime.sleep(1000)")
    assert "waiting for something" in said


def test_all_experiments_together_have_a_budget(monkeypatch):
    monkeypatch.setattr(runtime, "EACH", (0.2, 0.2))
    monkeypatch.setattr(runtime, "IN_ALL", (0.2, 0.2))
    begun = time.process_time()
    assert len(told(*["while True: pass"] * 5)) == 5
    assert time.process_time() - begun < 2


def test_code_that_swallows_everything_is_stopped_too(monkeypatch):
    monkeypatch.setattr(runtime, "EACH", (0.2, 0.2))
    source = "while True:\n    try:\n        while True: pass\n    except Exception:\n        pass"
    (said,) = told(source)
    assert "seconds of computing" in said


def test_an_alarm_that_was_set_before_still_rings():
    from autograder.errors import StudentTimeout
    from autograder.judging.alarm import within

    found = read("x = 1\nx += 1")

    def endless() -> None:
        worker.load({MAIN: found.code}, MAIN)
        while True:
            pass

    with pytest.raises(StudentTimeout):
        within(0.5, endless)


def test_experiments_print_nothing_and_functions_do(capfd):
    module = names("print('an experiment')\ndef f():\n    print('a call')")
    assert capfd.readouterr().out == ""
    module["f"]()
    assert capfd.readouterr().out == "a call\n"


# -- magics and what only a notebook has -----------------------------------------------------------


@pytest.mark.parametrize(
    "magic",
    [
        "!pip install gymnasium",
        "%pip install gymnasium",
        "!pip install a \\\n      b",
        "%matplotlib inline",
        "files = !ls",
        "f?",
    ],
)
@pytest.mark.parametrize(
    "form", ["{0}\nx = 1", "if 1:\n    {0}\nx = 1", "try:\n    {0}\nexcept: pass\nx = 1"]
)
def test_a_magic_does_nothing_wherever_it_stands(magic, form):
    source = form.format(magic)
    assert names(source)["x"] == 1 and told(source) == []


def test_what_looks_like_a_magic_in_a_cell_of_python_is_python():
    assert names("b = 3\nx = (7\n     %b)\n")["x"] == 1


def test_display_and_get_ipython_do_nothing():
    source = (
        "shell = get_ipython()\nshell.run_line_magic('matplotlib', 'inline')\n"
        "IN_COLAB = 'google.colab' in str(get_ipython())\n"
        "def f(x):\n    display(x)\n    return x\ny = f(1)"
    )
    module = names(source)
    assert module["y"] == 1 and module["IN_COLAB"] is False and told(source) == []


@pytest.mark.parametrize("magic", ["%%bash", "%%html", "%%javascript", "%%latex"])
def test_a_cell_in_another_language_does_not_count(magic):
    assert b"hello" not in read(f"{magic}\nhello = 1").code


def test_writefile_of_the_submitted_name_is_the_file():
    found = read("x = 1", f"%%writefile {MAIN}\ndef f():\n    return 2\n", "y = 3")
    assert found.code == b"def f():\n    return 2\n"
    assert found.notes == (f"cell 2 writes {MAIN}: that text was marked, not the other cells",)


def test_writefile_of_another_name_is_a_neighbour():
    module = names(
        "%%writefile tools.py\nONE = 1", "%%writefile -a tools.py\nTWO = 2", "import tools"
    )
    assert (module["tools"].ONE, module["tools"].TWO) == (1, 2)
    sys.modules.pop("tools", None)


def test_writefile_leads_nowhere_else():
    assert read("%%writefile ../work.py\nx = 1", "%%writefile /etc/x.py\nx = 1").files == {}


def test_what_otter_and_nbgrader_put_in_is_not_the_student_s():
    test = notebook.code("x = 1 / 0", nbgrader={"grade": True, "solution": False})
    text = read("import otter\ngrader = otter.Notebook()", test, "y = 2").code
    assert b"otter" not in text and b"1 / 0" not in text and b"y = 2" in text


def test_outputs_are_dropped():
    cell = notebook.code("x = 1")
    cell.outputs = [nbformat.v4.new_output("stream", text="an old output\n")]
    assert b"an old output" not in read(cell).code


def test_a_byte_order_mark_is_fine():
    data = b"\xef\xbb\xbf" + notebook.new([notebook.code("x = 1")]).encode()
    assert b"x = 1" in cells.read("a.ipynb", data, MAIN).code


def test_imports_from_the_future_may_be_in_any_cell():
    module = names(
        "import math",
        "from __future__ import annotations\n\nx = math.pi",
        "from __future__ import annotations, division\ny = 2",
    )
    assert (module["x"], module["y"]) == (module["math"].pi, 2)


def test_cells_are_counted_as_code_cells_from_the_top():
    document = json.loads(notebook.new([notebook.markdown("# A"), notebook.code("1 / 0")]))
    found = cells.read("a.ipynb", json.dumps(document).encode(), MAIN)
    made = worker.load({MAIN: found.code}, MAIN)
    assert runtime.left_out(vars(made.module)) == [
        "cell 1: `1 / 0` (ZeroDivisionError: division by zero)"
    ]


# -- places and names ------------------------------------------------------------------------------


def test_a_traceback_names_cell_and_line(reach):
    text = read("x = 1", "# about f\nx += 1\ndef f(a=x):\n    return a.nothing").code.decode()
    with pytest.raises(StudentError) as raised:
        reach(text).student.f()
    assert "cell 2, line 4 in f" in raised.value.story()


def test_a_missing_name_says_which_cell_would_have_made_it(reach):
    text = read("device = choose()", "def f():\n    return device").code.decode()
    with pytest.raises(NameError, match=r"cell 1 would have made it .*name 'choose'"):
        reach(text).student.f()


def test_what_was_left_out_is_known_behind_the_wall(server):
    found = read("x = undefined", "def f():\n    return 1")
    candidate = server.candidate({MAIN: found.code}, MAIN, Limits())
    candidate.open(lambda event: None, None).close()
    assert candidate.shared.left_out == [
        "cell 1: `x = undefined` (NameError: name 'undefined' is not defined)"
    ]


def test_a_list_that_a_student_puts_in_place_of_ours_does_no_harm():
    assert runtime.left_out({runtime.LEFT_OUT: 3}) == []
    assert runtime.left_out({runtime.LEFT_OUT: [3, (1,)]}) == []


def test_a_frame_that_is_in_no_cell_has_no_place():
    assert runtime.place(["x = 1", "y = 2"], 2) is None
