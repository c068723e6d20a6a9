"""The private names of Trio that are used here, each with what is lost without it. Looked at when a system is opened.

Counterpart: park.py (the receive loop's sleep) and schedules.py (seeded schedules, for tests). Everything else of the runtime uses what
Trio documents. A new Trio may change a private name: then there is one clear line at the start instead of something odd later.
"""

from __future__ import annotations

import functools
import importlib
import random
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import trio

from actors.runtime.log import say_warning


class PrivateName(NamedTuple):
    """One name, how to see that it is what it was, and what happens without it."""

    module: str
    name: str
    as_expected: Callable[[Any], bool]
    without_it: str


WAIT_TASK_RESCHEDULED: Final = PrivateName(
    "trio._core._traps",
    "WaitTaskRescheduled",
    lambda found: getattr(found, "__match_args__", None) == ("abort_func",),
    "actors sleep by trio.lowlevel.wait_task_rescheduled, which makes each ask a little slower",
)
"""What a sleeping task yields to the scheduler."""

PRIVATE_NAMES: Final = (
    WAIT_TASK_RESCHEDULED,
    PrivateName(
        "trio._core._run",
        "_ALLOW_DETERMINISTIC_SCHEDULING",
        lambda found: isinstance(found, bool),
        "tests cannot use seeded schedules",
    ),
    PrivateName(
        "trio._core._run",
        "_r",
        lambda found: isinstance(found, random.Random),
        "tests cannot use seeded schedules",
    ),
)
"""All of them. None is needed to run: each has another way, or only tests want it."""


def find(wanted: PrivateName) -> Any:
    """What the name stands for, or None when this Trio has no such thing."""
    try:
        found = getattr(importlib.import_module(wanted.module), wanted.name, None)
    except ImportError:
        return None
    return found if found is not None and wanted.as_expected(found) else None


def missing(names: tuple[PrivateName, ...] = PRIVATE_NAMES) -> tuple[PrivateName, ...]:
    """Those that this Trio does not have as they are expected."""
    return tuple(wanted for wanted in names if find(wanted) is None)


@functools.cache
def check_trio() -> None:
    """Say in one line what is missing and what follows, once in a process."""
    gone = missing()
    if gone:
        say_warning(
            "this Trio differs from the one that the runtime was written against",
            trio=trio.__version__,
            missing=", ".join(f"{wanted.module}.{wanted.name}" for wanted in gone),
            therefore="; ".join(dict.fromkeys(wanted.without_it for wanted in gone)),
        )
