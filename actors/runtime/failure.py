"""The record of a failure: types, places in the code, times; never the text of an exception, which may hold what a message held.

Counterpart: `Cell` keeps the last one of each place, `snapshot.py` shows it, the log gets it.
"""

from __future__ import annotations

import functools
import traceback
from collections import deque
from pathlib import PurePath
from typing import Final

from msgspec import Struct

FRAMES_MAX: Final = 20
"""How many frames of a traceback are kept, the innermost."""

CAUSES_MAX: Final = 5
"""How many exceptions of a chain of causes are named."""


class Failure(Struct, frozen=True):
    """One failure. `at`: epoch seconds; `type`: the exception's type, then those of its causes; `traceback`: `file:line function`."""

    at: float
    type: str
    message_type: str | None
    """The type of the message that was being handled; None in `on_start`, or in a task beside the loop."""
    traceback: tuple[str, ...]


def failure_of(error: BaseException, at: float, message_type: str | None) -> Failure:
    """The record of `error`."""
    # By hand: traceback.extract_tb would look for the text of each line on the disk, and only the places are wanted.
    frames = deque(traceback.walk_tb(error.__traceback__), maxlen=FRAMES_MAX)
    return Failure(
        at=at,
        type=types_of(error),
        message_type=message_type,
        traceback=tuple(f"{_short(frame.f_code.co_filename)}:{line} {frame.f_code.co_name}" for frame, line in frames),
    )


def types_of(error: BaseException) -> str:
    """The names of the types of an exception and of its causes: all that is said of it anywhere."""
    names: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(names) < CAUSES_MAX:
        name = type(cause).__name__
        if isinstance(cause, BaseExceptionGroup):
            inner = sorted({type(member).__name__ for member in cause.exceptions})[:CAUSES_MAX]
            name = f"{name}[{', '.join(inner)}]"
        names.append(name)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return " from ".join(names)


@functools.lru_cache(maxsize=1024)
def _short(filename: str) -> str:
    """The last two steps of the path: where the code lies on this machine is nobody's business."""
    return "/".join(PurePath(filename).parts[-2:])
