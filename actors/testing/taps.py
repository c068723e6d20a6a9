"""What passed between the actors of a test: the newest messages for a report, and copies for whoever taps a place.

Counterpart: session.py, whose system calls `see` before each message is handled; probes.py, timeline.py.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

__all__ = ["Seen", "Taps"]

SEEN_MAX: Final = 2000
"""Messages that are remembered, the newest."""


class Seen(Struct, frozen=True, gc=False):
    """One message that an actor began to handle. `at`: epoch seconds; never its contents."""

    at: float
    path: str
    message_type: str


class Taps:
    """`handled` counts by (path, type of message)."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.seen: deque[Seen] = deque(maxlen=SEEN_MAX)
        self.handled: Counter[tuple[str, str]] = Counter()
        self._taps: dict[str, list[Callable[[Any], None]]] = {}

    def see(self, path: str, message: Any) -> None:
        """An actor is about to handle this."""
        kind = type(message).__name__
        self.handled[path, kind] += 1
        self.seen.append(Seen(self._now(), path, kind))
        for tap in self._taps.get(path, ()):
            tap(message)

    def add(self, path: str, tap: Callable[[Any], None]) -> None:
        """Call `tap` with every message that the actor at `path` handles from now on."""
        self._taps.setdefault(path, []).append(tap)
