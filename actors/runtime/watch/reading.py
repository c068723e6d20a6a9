"""What the pages read of a tree: a glance at every place, the whole record of the few that are shown.

A record costs some tens of microseconds, a glance about one: that is what keeps a page over ten thousand actors cheap.
`SystemReader` reads a live system; `SnapshotReader` anything that only has `snapshot()`, such as a tree that was recorded.
Counterparts: rows.py chooses what is shown; sampler.py keeps the history of what was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Protocol

import trio
from msgspec import Struct

from actors.runtime.cell import Cell
from actors.runtime.dynamic import DynamicSupervisor
from actors.runtime.histogram import percentile_s
from actors.runtime.snapshot import ActorSnapshot, record_of, restarts_of
from actors.runtime.supervisor import Supervisor
from actors.runtime.system import System

__all__ = ["Glance", "HasSnapshot", "Reader", "Seen", "SnapshotReader", "SystemReader", "glances", "reader_of"]

SLICE: Final = 500
"""Places that are looked at before other tasks get their turn."""


class Glance(Struct, frozen=True, gc=False):
    """What is looked at of every place to count, search and sort."""

    path: str
    actor: str
    state: str
    depth: int
    capacity: int
    restarts: int
    """That still count against the allowance."""
    failed: int
    overflows: int
    high_water: int
    oldest_s: float
    """How long the oldest message has waited."""

    @property
    def name(self) -> str:
        """The last step of the path."""
        return self.path.rpartition("/")[2]


class Seen(Struct, frozen=True, gc=False):
    """One sample of a place."""

    handled: int
    depth: int
    failed: int


class Reader(Protocol):
    """A tree to read. A place is whatever the reader gives out as one."""

    def root(self) -> Any:
        """The uppermost place."""
        ...

    def children(self, place: Any) -> Sequence[Any]:
        """The places right below."""
        ...

    def glance(self, place: Any) -> Glance:
        """The few things that are wanted of every place."""
        ...

    def record(self, place: Any) -> ActorSnapshot:
        """Everything about this place, without those below it."""
        ...

    def sample(self, place: Any) -> Seen:
        """What the sampler keeps."""
        ...

    def slowest_ms(self, place: Any) -> tuple[float, float]:
        """The 99th percentiles of waiting and of handling, in milliseconds."""
        ...

    def is_supervisor(self, place: Any) -> bool:
        """Whether it has children by its nature."""
        ...

    def is_keyed(self, place: Any) -> bool:
        """Whether its children are made by key: there may be very many, and their names come from outside."""
        ...

    def find(self, path: str) -> Any | None:
        """The place at this path, if it is part of the tree."""
        ...


class SystemReader:
    """Reads a live system. Trio thread only."""

    def __init__(self, system: System) -> None:
        self._system = system

    def root(self) -> Cell:
        """The root supervisor's place."""
        return self._system._root

    def children(self, place: Cell) -> Sequence[Cell]:
        """The places right below, as they are now."""
        return tuple(place.children.values()) if place.children else ()

    def glance(self, place: Cell) -> Glance:
        """A few attributes; no histogram is read."""
        mailbox = place.mailbox
        return Glance(
            place.path,
            place.actor_class.__name__,
            place.state.value,
            mailbox.depth(),
            mailbox.policy.capacity,
            restarts_of(place, trio.current_time()).count if place.restart_times else 0,
            place.failed,
            mailbox.overflows,
            mailbox.high_water,
            mailbox.oldest_s(place.system.clock.monotonic()) if mailbox.queue else 0.0,
        )

    def record(self, place: Cell) -> ActorSnapshot:
        """The snapshot of this place alone."""
        return record_of(place)

    def sample(self, place: Cell) -> Seen:
        """Counters only."""
        return Seen(sum(place.handle_counts or ()), place.mailbox.depth(), place.failed)

    def slowest_ms(self, place: Cell) -> tuple[float, float]:
        """From the histograms."""
        waits, handles = place.wait_counts, place.handle_counts
        return (
            percentile_s(waits, 0.99) * 1000.0 if waits else 0.0,
            percentile_s(handles, 0.99) * 1000.0 if handles else 0.0,
        )

    def is_supervisor(self, place: Cell) -> bool:
        """By its class."""
        return issubclass(place.actor_class, Supervisor)

    def is_keyed(self, place: Cell) -> bool:
        """By its class."""
        return issubclass(place.actor_class, DynamicSupervisor)

    def find(self, path: str) -> Cell | None:
        """Step by step from the root: a path that was only named is no part of the tree."""
        names = path.split("/")
        place: Cell | None = self.root()
        if len(names) < 2 or names[0] or place is None or names[1] != place.name:
            return None
        for name in names[2:]:
            place = (place.children or {}).get(name)
            if place is None:
                return None
        return place


class HasSnapshot(Protocol):
    """The least that can be watched."""

    def snapshot(self) -> ActorSnapshot:
        """The whole tree."""
        ...


class SnapshotReader:
    """Reads one snapshot, taken when the reader is made."""

    def __init__(self, root: ActorSnapshot) -> None:
        self._root = root

    def root(self) -> ActorSnapshot:
        """The snapshot itself."""
        return self._root

    def children(self, place: ActorSnapshot) -> Sequence[ActorSnapshot]:
        """As recorded."""
        return place.children

    def glance(self, place: ActorSnapshot) -> Glance:
        """From the record."""
        box = place.mailbox
        return Glance(
            place.path,
            place.actor,
            place.state,
            box.depth,
            box.capacity,
            place.restarts.count,
            place.failed,
            box.overflows,
            box.high_water,
            box.oldest_s,
        )

    def record(self, place: ActorSnapshot) -> ActorSnapshot:
        """The record."""
        return place

    def sample(self, place: ActorSnapshot) -> Seen:
        """From the record."""
        return Seen(place.handled, place.mailbox.depth, place.failed)

    def slowest_ms(self, place: ActorSnapshot) -> tuple[float, float]:
        """From the record."""
        return place.wait_ms.p99, place.handle_ms.p99

    def is_supervisor(self, place: ActorSnapshot) -> bool:
        """By its strategy: only supervisors have one."""
        return place.strategy is not None

    def is_keyed(self, place: ActorSnapshot) -> bool:
        """By the name of its class."""
        return place.actor == DynamicSupervisor.__name__

    def find(self, path: str) -> ActorSnapshot | None:
        """Step by step from the root."""
        place = self._root
        while place.path != path:
            below = [child for child in place.children if path == child.path or path.startswith(f"{child.path}/")]
            if not below:
                return None
            place = below[0]
        return place


def reader_of(system: HasSnapshot) -> Reader:
    """How to read this system, now."""
    return SystemReader(system) if isinstance(system, System) else SnapshotReader(system.snapshot())


async def glances(reader: Reader, start: Any | None = None) -> AsyncIterator[tuple[Any, Glance]]:
    """Every place from `start` on (default: the root), in the order of the tree, letting others run in between."""
    waiting = [reader.root() if start is None else start]
    looked = 0
    while waiting:
        place = waiting.pop()
        yield place, reader.glance(place)
        waiting.extend(reversed(reader.children(place)))
        looked += 1
        if looked % SLICE == 0:
            await trio.lowlevel.checkpoint()
