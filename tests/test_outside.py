"""Other people's implementations behind our signatures: full marks, or a convention with a name.

Each file of outside/NAME/ is put behind the solution, like those of reported/. Its comments say
which library it needs, and which conventions of docs/CONVENTIONS.md it follows. Without the library
it is skipped.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autograder.authoring.course import load_assignment
from autograder.judging import naming, plugin
from autograder.judging.diagnose import AnswerKey
from autograder.model import Basis, Verdict

HERE = Path(__file__).resolve().parent
OUTSIDE = sorted((HERE / "outside").glob("*/*.py"))
SEED = 5


def about(path: Path, word: str) -> str:
    """What a comment of the file says."""
    found = re.search(rf"^# {word}: (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{path} has no line '# {word}: ...'"
    return found[1]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_outside_implementation_is_right_or_follows_a_named_convention(path):
    pytest.importorskip(about(path, "Needs"))
    conventions = set(about(path, "Conventions").split(", ")) - {"none"}
    assignment = load_assignment(HERE.parent, path.parent.name)
    key = AnswerKey(assignment)
    tests = [test for test in plugin.collect(assignment.hidden_tests) if not test.learning]
    text = f"{key.source.solution()}\n\n{path.read_text(encoding='utf-8')}"
    marked = naming.examine(key, tests, key.candidate(text), SEED)
    failed = [outcome for outcome in marked if outcome.verdict is not Verdict.PASSED]
    named = [outcome for outcome in failed if outcome.basis in (Basis.NAMED, Basis.FOLLOWS)]
    assert {outcome.test: outcome.detail for outcome in failed if outcome not in named} == {}
    assert {mistake.bug for outcome in named for mistake in outcome.mistakes} == conventions
    page = (HERE.parent / "docs" / "CONVENTIONS.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in conventions)
