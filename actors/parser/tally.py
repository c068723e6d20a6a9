"""What was found of one body so far: reads, and how many items were dropped for which reason. Counterpart: core.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from actors.evidence import Read
from actors.messages import HEARTBEAT_PREFIX, HEARTBEATS_MAX
from actors.parser.reads import at_of, plain_read_of, read_of
from actors.parser.rule import Drop, ends_watch, is_borrowed, judge
from actors.parser.views import Item

ITEMS_MAX: Final = 100_000
"""Most items of one body; the API server sends 400, unless told otherwise."""
NO_LAGS: Final[Mapping[str, float]] = {}


class Tally:
    """What was found so far."""

    __slots__ = ("allowance_s", "dropped", "events", "heartbeats", "lags_s", "newest_at", "reads", "received_at")

    def __init__(self, received_at: float, lags_s: Mapping[str, float] = NO_LAGS) -> None:
        self.received_at = received_at
        self.lags_s = lags_s
        self.reads: list[Read] = []
        self.heartbeats: list[str] = []
        self.dropped: dict[str, int] = {}
        self.events = 0
        self.newest_at: float | None = None
        self.allowance_s = 0.0

    def drop(self, reason: Drop) -> None:
        """Count an item that is no read."""
        self.events += 1
        self.dropped[reason.value] = self.dropped.get(reason.value, 0) + 1

    def add(self, items: list[Item]) -> None:
        """Count readable items, and make reads of those that are."""
        reads, received_at, newest = self.reads, self.received_at, self.newest_at or 0.0
        newest_plain = ""
        for item in items:
            read = plain_read_of(item, received_at)
            if read is not None:
                self.events += 1
                reads.append(read)
                # The API server writes all its times alike, so that they compare as texts; others are off by their offset.
                if item.staged is not None and item.staged > newest_plain:
                    newest_plain = item.staged
                continue
            staged_at = at_of(item.staged)
            if staged_at is not None and staged_at > newest:
                newest = staged_at
            reason = judge(item)
            if reason is None:
                self.events += 1
                reads.append(read_of(item, received_at, staged_at))
                continue
            self.drop(reason)
            if reason is Drop.IMPERSONATED and is_borrowed(item):
                reads.append(read_of(item, received_at, staged_at, borrowed=True))
            elif reason is Drop.DENIED:
                self._denied(item)
            elif ends_watch(item, reason):
                borrowed = item.impersonated_user is not None
                reads.append(replace(read_of(item, received_at, staged_at, borrowed=borrowed), ends_only=True))
        self.newest_at = max(newest, at_of(newest_plain) or 0.0) or None

    def _denied(self, item: Item) -> None:
        name = item.object_ref.name if item.object_ref is not None else None
        if name is not None and name.startswith(HEARTBEAT_PREFIX) and len(self.heartbeats) < HEARTBEATS_MAX:
            self.heartbeats.append(name)

    def mark(self, since: int, via: str) -> None:
        """The reads from number `since` on came by this log."""
        lag_s = self.lags_s.get(via, 0.0)
        self.allowance_s = max(self.allowance_s, lag_s)
        self.reads[since:] = [replace(read, via=via, lag_s=lag_s) for read in self.reads[since:]]

    def add_all(self, other: Tally) -> None:
        """Count what another tally found."""
        self.reads += other.reads
        self.heartbeats = (self.heartbeats + other.heartbeats)[:HEARTBEATS_MAX]
        for reason, n in other.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + n
        self.events += other.events
        self.allowance_s = max(self.allowance_s, other.allowance_s)
        self.newest_at = max(self.newest_at or 0.0, other.newest_at or 0.0) or None

    @property
    def unreadable(self) -> int:
        """How many items could not be read."""
        return self.dropped.get(Drop.MALFORMED.value, 0)

    @property
    def readable(self) -> int:
        """How many items could be read, whether they are reads or not."""
        return self.events - self.unreadable

    @property
    def room(self) -> int:
        """How many more items are read."""
        return ITEMS_MAX - self.events
