"""What one kind's watcher counts. It outlives the incarnations of the watcher's actor. Counterparts: follow.py, watcher.py."""

from __future__ import annotations

from msgspec import Struct


class Counts(Struct):
    """Counts since the start of the process."""

    lists: int = 0
    pages: int = 0
    watches: int = 0
    """Begun or resumed."""
    events: int = 0
    bookmarks: int = 0
    gone: int = 0
    """Versions that were too old (410 Gone): each is a list again."""
    failures: int = 0
    """Requests or streams that ended otherwise than they should, refusals included."""
    malformed: int = 0
    """Objects that were left out: wrong types or impossible names."""


class WatcherStatistics(Struct, frozen=True):
    """One kind's watcher."""

    kind: str
    state: str
    why: str
    """What is wrong, "" for nothing."""
    heard_at: float | None
    """When the API server last said anything of this kind (epoch seconds)."""
    lists: int
    pages: int
    watches: int
    events: int
    bookmarks: int
    gone: int
    failures: int
    malformed: int
