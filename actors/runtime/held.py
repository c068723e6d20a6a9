"""What a place holds only now and then, in objects that are made when first needed: most of very many actors never need them.

Counterpart: the life of an incarnation (life.py) gives back what the incarnation holds; `Cell` (cell.py) keeps what outlives it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import trio

from actors.runtime.context import Reply
from actors.runtime.monitors import Terminated
from actors.runtime.timers import Timer

if TYPE_CHECKING:
    from actors.runtime.cell import Cell
    from actors.runtime.fence import Fence


class Held:
    """Timers, promised replies, tasks and watches of one incarnation."""

    __slots__ = ("owed", "tasks", "tasks_done", "timers", "watched", "watches")

    def __init__(self) -> None:
        self.timers: set[Timer] = set()
        self.owed: set[Reply] = set()
        self.tasks: set[trio.CancelScope] = set()
        self.tasks_done: trio.Event | None = None
        self.watches: set[Cell] = set()
        """The places that it watches and that have not ended yet."""
        self.watched = False
        """Whether it ever watched one: a `Terminated` may wait in the mailbox."""


class Rare:
    """What few places have: watchers, a fence, somebody who waits for the `threading.Event` of their end."""

    __slots__ = ("fence", "stopped_event", "watchers")

    def __init__(self) -> None:
        self.stopped_event: threading.Event | None = None
        self.watchers: dict[Hashable, Callable[[Terminated], object]] = {}
        self.fence: Fence | None = None
