"""How each kind of a live source stands: read to its end or not, when it was last heard of, what a list in progress has named. Pure.

Outlives the cluster's actor, as the model does. A source that does not tell kinds apart (a file) has none of this.
Counterparts: live/ (tells), actor.py (keeps), queries.py (KindStatus).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from actors.cluster.queries import KindStatus, SourceState
from actors.cluster.records import RecordKey

CURRENT_AFTER_S: Final = 3.0
"""A watch that was resumed is current when what was missed has had so long to come."""
EXPLAINING: Final = frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount", "Pod"})
"""Kinds without whose news no read can be called unexplained."""


class Feed(Struct):
    """One kind."""

    state: SourceState = SourceState.WAITING
    why: str = ""
    synced: bool = False
    heard_at: float | None = None
    """When the API server last said anything of it."""
    seen: set[RecordKey] | None = None
    """What the list in progress has named; None while there is none."""
    current_from: float = 0.0
    """From when on it is current, where it is watched."""

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.synced or self.state in (SourceState.FORBIDDEN, SourceState.ABSENT)


class Feeds:
    """The kinds that are watched; empty for a file."""

    def __init__(self, kinds: Iterable[str] = ()) -> None:
        self._feeds = {kind: Feed() for kind in kinds}

    def __bool__(self) -> bool:
        return bool(self._feeds)

    @property
    def is_settled(self) -> bool:
        """Whether every kind was read to its end, or cannot be read."""
        return all(feed.is_settled for feed in self._feeds.values())

    @property
    def current_at(self) -> float | None:
        """Since when at least one kind is known no better: the oldest word of those that are watched."""
        heard = [feed.heard_at for feed in self._feeds.values() if feed.synced and feed.heard_at is not None]
        return min(heard, default=None)

    def is_current(self, now: float) -> bool:
        """Whether the kinds that explain reads are known as they are now. One that may not be read explains nothing, ever."""
        return all(
            feed.state is SourceState.WATCHING and now >= feed.current_from
            for kind, feed in self._feeds.items()
            if kind in EXPLAINING
        )

    def begin(self, kind: str) -> None:
        """A list begins; an earlier one that was not told to its end is forgotten."""
        self._feeds[kind].seen = set()

    def name(self, kind: str, keys: Iterable[RecordKey], now: float) -> float | None:
        """These were told. While a list is in progress: when the kind was last known before, which is as of when they may be so."""
        feed = self._feeds[kind]
        if feed.seen is None:
            feed.heard_at = now
            return now
        feed.seen.update(keys)
        return feed.heard_at

    def end(self, kind: str, now: float) -> set[RecordKey] | None:
        """The list was told to its end: what it named; None where none was in progress."""
        feed = self._feeds[kind]
        seen, feed.seen = feed.seen, None
        if seen is not None:
            feed.synced, feed.heard_at = True, now
        return seen

    def heard(self, kind: str, state: SourceState, why: str, now: float) -> None:
        """The source says how the kind stands."""
        feed = self._feeds[kind]
        if state is SourceState.WATCHING and feed.state is not SourceState.WATCHING:
            was_behind = feed.synced and feed.state is not SourceState.LISTING
            feed.current_from = now + CURRENT_AFTER_S if was_behind else now
        feed.state, feed.why = state, why
        if state in (SourceState.WATCHING, SourceState.ABSENT):
            feed.heard_at = now

    def objects(self, counted: Mapping[str, KindStatus], now: float) -> dict[str, KindStatus]:
        """Every kind that is watched, with how many there are of it."""
        return {
            kind: KindStatus(
                counted[kind].count if kind in counted else 0,
                feed.synced,
                max(0.0, now - feed.heard_at) if feed.heard_at is not None else 0.0,
                feed.state.value,
                feed.why,
            )
            for kind, feed in sorted(self._feeds.items())
        }
