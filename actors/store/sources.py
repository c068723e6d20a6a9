"""Where the live reads of one observation came from: a few addresses, each with its own end.

So a read from elsewhere stays visible when the pod itself reads again. Counterparts: window.py, watches.py; attribution judges them.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from actors.evidence import Observation, Read, SeenSource

SOURCES_MAX: Final = 8
"""Addresses kept of one observation. Beyond: the one whose reads end soonest goes."""


def newest_sources(sources: Iterable[SeenSource | None], now: float) -> tuple[SeenSource, ...]:
    """Each address once with its latest end and read, only live ones, the newest first, at most SOURCES_MAX."""
    found: dict[str, SeenSource] = {}
    for source in sources:
        if source is not None and source.live_until > now:
            known = found.get(source.address)
            if known is not None:
                latest = max(known.live_until, source.live_until)
                source = SeenSource(source.address, latest, max(known.at, source.at))  # noqa: PLW2901 - both in one
            found[source.address] = source
    while len(found) > SOURCES_MAX:
        del found[min(found.values(), key=lambda source: source.live_until).address]
    return tuple(sorted(found.values(), key=lambda source: -source.at))


def with_source(was: Observation, read: Read, live_until: float, now: float) -> tuple[SeenSource, ...]:
    """Where the live reads of `was` came from, and this one, which is no watch; in whatever order they come."""
    if (address := read.source_ip) is None:
        return was.seen_from
    at, kept = read.at, []
    for source in was.seen_from:
        if source.address == address:
            at, live_until = max(at, source.at), max(live_until, source.live_until)
        elif source.live_until > now:
            kept.append(source)
    place = 0
    if read.at < was.last.at:  # then the newest read's address stays the first, which `Observation.seen_from` relies on
        while place < len(kept) and kept[place].at >= at:
            place += 1
    kept.insert(place, SeenSource(address, live_until, at))
    if len(kept) > SOURCES_MAX:
        kept.remove(min(reversed(kept), key=attrgetter("live_until")))
    return tuple(kept)
