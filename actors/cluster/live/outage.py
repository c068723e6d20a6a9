"""An outage of the API server is one line in the log, with the kinds in it, and not one for each kind. Pure; counterpart: follow.py.

The kinds of one cluster share this. The first failure gathers the others for a moment; what is over before that is a blip, which the
statistics count (Counts.failures) and the log does not have. A server that comes and goes is said once a minute.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

GATHER_S: Final = 3.0
"""How long the first failure of an outage waits for those of the other kinds."""
LINE_EVERY_S: Final = 60.0
"""Shortest time between two lines that say so: a later outage that is over before is not said."""


class OutageLine(Struct, frozen=True):
    """What to log. `lasted_s`: None while it goes on."""

    text: str
    kinds: tuple[str, ...]
    lasted_s: float | None = None


class Outages:
    """Which kinds fail at present. Times: seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._failing: set[str] = set()
        self._named: set[str] = set()
        """Kinds that its line has named, or that failed since and its last line will name; none: it was not said yet."""
        self._since = 0.0
        self._said_at = float("-inf")

    def failing(self, kind: str, why: str, now: float) -> OutageLine | None:
        """A request or stream of this kind failed, for the first time or again; what is to be said now."""
        if not self._failing:
            self._since = now
        self._failing.add(kind)
        if self._named:
            self._named.add(kind)
            return None
        if now - self._since < GATHER_S or now - self._said_at < LINE_EVERY_S:
            return None
        self._said_at = now
        self._named |= self._failing
        return OutageLine(why, tuple(sorted(self._failing)))

    def working(self, kind: str, now: float) -> OutageLine | None:
        """The kind was answered; where it was the last of an outage that was said, what is to be said of its end."""
        if kind not in self._failing:
            return None
        self._failing.remove(kind)
        if self._failing or not self._named:
            return None
        kinds, self._named = tuple(sorted(self._named)), set()
        return OutageLine("the API server answers again", kinds, now - self._since)
