"""Which watches of one observation are open, which have ended, and until when they make it live.

A watch is known by (audit id, start, URI hash). Its two stages arrive in any order, alone, or again: it is counted once, and what
has ended stays ended. Counterpart: window.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct, field

from actors.evidence import Account, NamedGrant, ObservationKey, Read, SeenSource
from actors.store.sources import newest_sources

WATCHES_MAX: Final = 64
"""Watches told apart in one observation. Beyond: the one that ends soonest is folded into `WatchBook.floor`."""
NAMED_MAX: Final = 8
"""Named grants kept of one observation, newest first."""
OPEN_MAX_S: Final = 3600.0
"""Longest that a watch is believed to be open when only its start is known (design 3)."""
CLOSED_MAX: Final = 50_000
"""Ended watches remembered after their observation left the window. Beyond: the older half is forgotten."""

WatchId = tuple[str, float, int]
"""(audit id, start, URI hash)."""


def watch_id(read: Read) -> WatchId:
    """What tells this watch from the others of its observation."""
    return (read.audit_id, read.sent_at or read.at, read.uri_hash)


class Watch(Struct, frozen=True, gc=False, array_like=True):
    """What is known of one watch."""

    live_until: float
    open_until: float
    """0.0 once it has ended."""
    named: NamedGrant | None
    source: SeenSource | None = None

    def ending(self, live_until: float) -> Watch:
        """The same watch, known to have ended."""
        named, source = self.named, self.source
        return Watch(
            live_until,
            0.0,
            None if named is None else NamedGrant(named.grant, live_until),
            None if source is None else SeenSource(source.address, live_until, source.at),
        )


class Effect(Struct, frozen=True, gc=False):
    """What all watches of an observation come to."""

    live_until: float
    held_open_until: float
    named: tuple[NamedGrant, ...]
    sources: tuple[SeenSource, ...] = ()


def newest_named(grants: Iterable[NamedGrant | None]) -> tuple[NamedGrant, ...]:
    """Each grant once with its latest end, the longest live first, at most NAMED_MAX."""
    found: dict[object, NamedGrant] = {}
    for named in grants:
        if named is not None:
            known = found.get(named.grant)
            if known is None or known.live_until < named.live_until:
                found[named.grant] = named
    return tuple(sorted(found.values(), key=lambda named: -named.live_until)[:NAMED_MAX])


def as_watch(read: Read, ttl_s: float) -> Watch:
    """What this stage alone says of its watch."""
    if read.complete:
        live_until, open_until = max(read.at, read.stage_at) + ttl_s + read.lag_s, 0.0
    else:
        open_until = read.at + min(max(read.open_s, 0.0), OPEN_MAX_S)
        live_until = open_until + ttl_s + read.lag_s
    source = None if read.source_ip is None else SeenSource(read.source_ip, live_until, read.at)
    return Watch(live_until, open_until, None if read.named is None else NamedGrant(read.named, live_until), source)


class WatchBook(Struct, gc=False):
    """The watches of one observation, at most WATCHES_MAX of them, and what the others left behind."""

    watches: dict[WatchId, Watch] = field(default_factory=dict)
    floor: Effect = Effect(0.0, 0.0, ())
    """Of watches that were live when they were displaced: they count until their end, and cannot be ended any more."""

    def known(self, id_: WatchId) -> Watch | None:
        """The watch, if it is told apart here."""
        return self.watches.get(id_)

    def put(self, id_: WatchId, watch: Watch, now: float) -> tuple[WatchId, Watch] | None:
        """Add or replace a watch; returns the one that had to make room."""
        displaced = None
        if id_ not in self.watches and len(self.watches) >= WATCHES_MAX:
            soonest = min(self.watches, key=lambda other: self.watches[other].live_until)
            displaced = (soonest, self.watches.pop(soonest))
            left = displaced[1]
            if left.live_until > now:
                self.floor = Effect(
                    max(self.floor.live_until, left.live_until),
                    max(self.floor.held_open_until, left.open_until),
                    newest_named((left.named, *self.floor.named)),
                    newest_sources((left.source, *self.floor.sources), now),
                )
        self.watches[id_] = watch
        return displaced

    def effect(self, now: float) -> Effect:
        """Until when they make the observation live and held open, and what was named."""
        live_until, open_until = self.floor.live_until, self.floor.held_open_until
        for watch in self.watches.values():
            live_until = max(live_until, watch.live_until)
            open_until = max(open_until, watch.open_until)
        if len(self.watches) == 1 and not self.floor.named:
            named = tuple(w.named for w in self.watches.values() if w.named is not None)
        else:
            named = newest_named((*(w.named for w in self.watches.values()), *self.floor.named))
        sources = newest_sources((*(w.source for w in self.watches.values()), *self.floor.sources), now)
        return Effect(live_until, open_until if open_until > now else 0.0, named, sources)

    def copy(self) -> WatchBook:
        """One that does not change with this one."""
        return WatchBook(dict(self.watches), self.floor)


class _Closed(Struct, frozen=True, gc=False):
    account: Account
    key: ObservationKey
    audit_id: str
    at: float
    uri_hash: int


class ClosedWatches:
    """Ends of watches whose observation is no longer in the window, so that a late start does not open them again.

    Two generations: when the younger is half of the bound, the older one is forgotten.
    """

    def __init__(self, ttl_s: float, bound: int = CLOSED_MAX) -> None:
        self._ttl_s = ttl_s
        self._half = max(1, bound // 2)
        self._young: dict[_Closed, float] = {}
        self._old: dict[_Closed, float] = {}
        self.overflows = 0
        """Forgotten while their start could still have come."""

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def add(
        self, account: Account, key: ObservationKey, id_: WatchId, live_until: float, now: float, lag_s: float = 0.0
    ) -> None:
        """Remember the end, unless a start that comes from now on would be too late anyway."""
        if id_[1] + OPEN_MAX_S + self._ttl_s + lag_s <= now:
            return
        self._young[_Closed(account, key, *id_)] = live_until
        if len(self._young) >= self._half:
            self.overflows += sum(closed.at + OPEN_MAX_S + self._ttl_s > now for closed in self._old)
            self._old, self._young = self._young, {}

    def live_until(self, account: Account, key: ObservationKey, id_: WatchId) -> float | None:
        """Until when the ended watch counts; None for one that is not known to have ended."""
        if not self._young and not self._old:
            return None
        closed = _Closed(account, key, *id_)
        found = self._young.get(closed)
        return found if found is not None else self._old.get(closed)
