"""YAML files that people write -> checked data.

Every mistake is a CourseError: file, key, remedy.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from autograder.errors import CourseError

Model = TypeVar("Model", bound=BaseModel)
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_EXPECTED = {
    "model_type": "keys and values are expected",
    "dict_type": "keys and values are expected",
    "tuple_type": "a list is expected, as in [a, b]",
}


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, and leaves dates as they are written."""

    # Dates are read by authoring.dates, which knows zones and says what is wrong.
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, form) for tag, form in forms if tag != _TIMESTAMP]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping. Raises an error for a key that is there twice."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines and isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem=f"'{name}' is in line {lines[name]} already: keep one of them",
                    problem_mark=key.start_mark,
                )
            lines[name] = line
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a file. Raises CourseError with place and remedy."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise CourseError(
            f"{path}: this file is missing: docs/AUTHORING.md says what is in it"
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else f"{path}"
        problem = getattr(error, "problem", None) or str(error)
        if "already: keep one" in problem:
            raise CourseError(f"{place}: {problem}") from None
        raise CourseError(f"{place}: this is not YAML: {problem}") from None
    if not isinstance(data, dict):
        raise CourseError(f"{path}: keys and values are expected, as in 'title: ...'")
    return data


def parse(model: type[Model], path: Path, data: dict[str, Any]) -> Model:
    """The data as a model. Raises CourseError with one line for each mistake."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        known = set(_keys(model))
        raise CourseError(
            "\n".join(f"{path}: {_sentence(problem, known)}" for problem in error.errors())
        ) from None


def guess(name: object, known: Any) -> str:
    """'; did you mean ...?' if a known name is near, otherwise ''."""
    near = difflib.get_close_matches(str(name), [str(one) for one in known], n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _keys(model: type[BaseModel]) -> list[str]:
    """The keys of a model and of the models inside it."""
    found = list(model.model_fields)
    for field in model.model_fields.values():
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for one in inner:
            if isinstance(one, type) and issubclass(one, BaseModel):
                found += _keys(one)
    return found


def _sentence(problem: Any, known: set[str]) -> str:
    key, kind = ".".join(str(part) for part in problem["loc"]), problem["type"]
    message: str = problem["msg"].removeprefix("Value error, ")
    if kind == "missing":
        return f"'{key}' is missing"
    if kind == "extra_forbidden":
        return f"'{key}' is not a known key{guess(problem['loc'][-1], known)}"
    if kind == "literal_error":
        words = re.findall(r"'(\w+)'", problem["ctx"]["expected"])
        expected = problem["ctx"]["expected"]
        near = guess(problem["input"], words)
        return f"{key} is {problem['input']!r}: {expected} is expected{near}"
    if not key:
        return message
    message = _EXPECTED.get(kind, message)
    return f"{key} is {problem['input']!r}: {message[0].lower()}{message[1:]}"
