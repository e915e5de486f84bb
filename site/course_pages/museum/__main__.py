"""Print boards, to look at while one writes them: python -m course_pages.museum [NAME ...]."""

from __future__ import annotations

import sys

from autograder.authoring.course import find_root, load_course
from autograder.errors import CourseError
from course_pages.museum.boards import Board, boards
from course_pages.museum.shown import text


def main(names: list[str]) -> None:
    """Print the boards of some assignments, of all if none is named."""
    count = 0
    for assignment in load_course(find_root()).catalogue:
        if not names or assignment.name in names:
            for board in boards(assignment):
                _print(board)
                count += 1
    print(f"{count} boards")


def _print(board: Board) -> None:
    print(f"\n{board.assignment} {board.number}: {board.spelling} ({board.scene.calls})")
    print(f"  {board.scene.words}")
    for name, column in board.right.given.items():
        print(f"  {name:>24}        {'  '.join(map(text, column[:30]))}")
    for name, column in board.right.found.items():
        print(f"  {name:>24}, right {'  '.join(map(text, column[:30]))}")
        print(f"  {name:>24}, here  {'  '.join(map(text, board.broken.found[name][:30]))}")
    for number, one in enumerate(board.choices):
        mark = "*" if number == board.answer else " "
        print(f"  {mark} {one.bug}: {one.when} {one.would}")
    print(f"  law: {board.law}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CourseError as error:
        sys.exit(f"museum: {error}")
