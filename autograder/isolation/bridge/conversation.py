"""Numbered questions to a worker and their answers: the grader's side of the conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from autograder.errors import IsolationError, StudentError, StudentMisuse
from autograder.isolation import codec
from autograder.isolation.codec.exceptions import rebuild

__tracebackhide__ = True

# The number of the report that a worker sends when it has loaded the files.
LOADING = 0

# What reading a hostile answer may raise in addition to the codec's own errors.
NONSENSE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

# Gets each answer of the student's code.
Listener = Callable[[Any], None]
Result = TypeVar("Result")


class Channel(Protocol):
    """A way to a Worker: a socket, or the same process."""

    @property
    def prints(self) -> str:
        """What the student's code printed, capped."""

    @property
    def used(self) -> bool:
        """Whether the worker has served a test before this one."""

    def loaded(self) -> bytes:
        """The worker's report of loading the files, which comes without being asked for."""

    def request(self, message: bytes, on_callback: Callable[[bytes], bytes]) -> bytes:
        """Send one message and return the answer; ``on_callback`` serves what comes meanwhile."""

    def abort(self) -> None:
        """Break the conversation from another thread."""

    def close(self, passed: bool = False) -> None:
        """End the worker, if it is a process; it may be reused if its test has ``passed``."""


class Conversation:
    """Sends questions with increasing numbers and accepts the answer to the last one only."""

    def __init__(self, channel: Channel, on_callback: Callable[[bytes], bytes]) -> None:
        # The number of questions so far.
        self.asked = 0
        self.on_answer: Listener = lambda event: None
        self._channel = channel
        self._on_callback = on_callback
        self._report: bytes | None = None

    def report(self) -> bytes:
        """What the worker reported of loading the files; waited for once."""
        if self._report is None:
            self._report = self._channel.loaded()
        return self._report

    def ask(self, operation: str, fields: list[Any], buffers: Sequence[Any]) -> bytes:
        """Send the next question and return its answer as it came."""
        self.asked += 1
        message = codec.pack([self.asked, operation, *fields], buffers)
        return self._channel.request(message, self._on_callback)

    def read(
        self, answer: bytes, number: int, take: Callable[[list[Any], list[memoryview]], Result]
    ) -> Result:
        """What ``take`` makes of the four fields of an answer and its buffers.

        Raises the StudentError that the answer tells of. An answer to another question, or one
        that makes no sense, is a StudentMisuse.
        """
        try:
            header, buffers = codec.unpack(answer)
            return take(self._fields(header, number), buffers)
        except (StudentError, IsolationError):
            raise
        except codec.WireError as error:
            text = f"the student's process answered with {error}"
            raise StudentMisuse("no answer", text) from None
        except NONSENSE as error:
            text = f"the student's process answered with nonsense ({type(error).__name__})"
            raise StudentMisuse("no answer", text) from None

    def _fields(self, header: Any, number: int) -> list[Any]:
        """[node, tensors, changes, parameters] of the answer to question ``number``."""
        if not isinstance(header, list) or header[:1] != [number] or len(header) < 2:
            raise codec.WireError("an answer to another question")
        if header[1] == "raise":
            error = rebuild(header[2:])
            self.on_answer(("raise", error.kind))
            raise error
        if header[1] != "ok" or len(header) != 6:
            raise codec.WireError("an answer of an unknown form")
        return header[2:]
