"""Runs a Trio test from a plain function, on a virtual clock that jumps to the next deadline when nothing else can run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import trio
from trio.testing import MockClock

T = TypeVar("T")


def run(async_fn: Callable[..., Awaitable[T]], *args: Any, real_time: bool = False) -> T:
    """What `async_fn(*args)` returns. `real_time` is for tests over real sockets, where jumping the clock would lie."""
    return trio.run(async_fn, *args, clock=None if real_time else MockClock(autojump_threshold=0))
