"""How a task sleeps until somebody reschedules it, with as little as possible between it and Trio's scheduler.

Counterpart: the receive loop (loop.py) and futures (future.py), which sleep once for every ask. The public way to sleep is
`trio.lowlevel.wait_task_rescheduled`. The trap that it yields is a private name of Trio's: it is used where it looks as expected,
and the public way where it does not.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Generator
from typing import Any, Final

import trio

from actors.runtime.trio_private import WAIT_TASK_RESCHEDULED, find

Abort = Callable[[Any], trio.lowlevel.Abort]


_TRAP: Final = find(WAIT_TASK_RESCHEDULED)


@types.coroutine
def _park_by_trap(abort: Abort) -> Generator[Any, Any, Any]:
    return (yield _TRAP(abort)).unwrap()


@types.coroutine
def _park_by_public_name(abort: Abort) -> Generator[Any, Any, Any]:
    return (yield from trio.lowlevel.wait_task_rescheduled(abort).__await__())  # noqa: ASYNC105 - how a generator awaits


park: Final = _park_by_trap if _TRAP is not None else _park_by_public_name
"""`await park(abort)` (or `yield from park(abort)` in a generator) is `await trio.lowlevel.wait_task_rescheduled(abort)`."""
