"""What can go wrong, and who can fix it.

AutograderError      explainable: one paragraph (place, finding, remedy), no traceback, exit code 2
  CourseError        course.yml or assignment.yml is wrong                        the instructor
  SourceError        a solution's markers are wrong (file:line)                   the TA
  SubmissionError    a submission cannot be opened                                the student
  IsolationError     we could not run it: the submission stays ungraded           the instructor

Stopped              a signal has asked this process to end                       nobody

StudentError         the student's code raised, ran out of time or memory, or died: that test
                     fails, with the student's own line. Raised inside tests, never shown as ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AutograderError(Exception):
    """One paragraph that a person can act on: place, finding, remedy."""


class CourseError(AutograderError):
    """course.yml or an assignment.yml is wrong; the message names file and key."""


class SourceError(AutograderError):
    """A marker in a solution file is wrong; the message begins with file:line."""


class SubmissionError(AutograderError):
    """A submission cannot be opened; the message is written for the student."""


class IsolationError(AutograderError):
    """We could not run the student's code as we must. No score is recorded, not even zero."""


class Stopped(KeyboardInterrupt):
    """The signal ``number`` has asked this process to end. No test may take it for its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@dataclass(frozen=True)
class Frame:
    """One line of a student's traceback: their file's name, never our paths."""

    file: str
    line: int
    function: str
    text: str

    def __str__(self) -> str:
        mark = ", line " if self.file.startswith("cell ") else ":"
        return f"{self.file}{mark}{self.line} in {self.function}\n    {self.text}"


class StudentError(Exception):
    """The student's code raised an exception, or ended without an answer.

    ``kind`` is the exception's class name there; ``message`` its text (capped); ``frames`` the
    student's own lines, outermost first.
    """

    def __init__(self, kind: str, message: str, frames: tuple[Frame, ...] = ()) -> None:
        super().__init__(kind, message, frames)
        self.kind = kind
        self.message = message
        self.frames = frames

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind

    def story(self) -> str:
        """What a student reads: their exception and their own lines."""
        lines = "".join(f"\n  {frame}" for frame in self.frames)
        return f"{self}{lines}"


class Limit(StrEnum):
    """Which time limit ended something: that of computing, or that of waiting."""

    COMPUTING = "computing"
    WAITING = "waiting"


class StudentTimeout(StudentError):
    """A call used up its time; the student's process was ended. ``limit`` says by which limit."""

    def __init__(
        self, kind: str, message: str, frames: tuple[Frame, ...] = (), limit: Limit = Limit.WAITING
    ) -> None:
        super().__init__(kind, message, frames)
        self.limit = limit


class StudentDied(StudentError):
    """The student's process ended during a call (a crash, os._exit, the memory limit)."""


class StudentMisuse(StudentError):
    """The student's process answered with something that is not a valid answer."""
