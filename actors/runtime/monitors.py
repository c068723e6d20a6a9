"""Monitors: being told when the actor of a place has ended for good (Erlang's monitors, Akka's death watch).

Counterpart: `ActorContext.watch`, `ActorRef.wait_terminated`; `Cell.finish` tells the watchers. A restart is no end. The message goes
to the tail of the watcher's mailbox, behind what the ended actor had told before, and is never refused for want of room.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.runtime.failure import Failure
from actors.runtime.states import ActorState

WATCHES_PER_ACTOR_MAX: Final = 10_000
"""How many places one incarnation may watch at a time; one more is a leak, and raises."""

WATCHERS_PER_PLACE_MAX: Final = 100_000
"""How many may watch one place at a time; one more is a leak, and raises."""


class Terminated(Struct, frozen=True):
    """The actor at `path` has ended for good: STOPPED, or FAILED with its last failure. Nothing told to it is handled any more."""

    path: str
    state: ActorState
    failure: Failure | None


class WatchKey:
    """The key under which a `Terminated` of `path` waits in a mailbox: at most one at a time, and `unwatch` withdraws it."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WatchKey) and other.path == self.path

    def __hash__(self) -> int:
        return hash((WatchKey, self.path))
