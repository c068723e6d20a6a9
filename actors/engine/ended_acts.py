"""Acts that ended in the last hour: a bounded ring beside that of reads, which outlives the engine's actor too. Pure.

An act that ended while the engine started again is not lost: what an earlier incarnation held, and the window names no longer, has
ended meanwhile. Counterparts: acts.py (what is live), ended.py (reads).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from msgspec import Struct

from actors.evidence import Act, ActKey

ENDED_ACTS_MAX: Final = 10_000
"""Acts that are kept; over it the oldest goes, counted."""
ENDED_ACTS_KEPT_S: Final = 3600.0
"""How long each is kept."""


class LiveAct(Protocol):
    """As much of acts.Held as is needed."""

    act: Act
    number: int


class EndedAct(Struct, frozen=True, gc=False):
    """An act that is not live, as it was. `ended_at`: epoch seconds."""

    number: int
    act: Act
    ended_at: float

    @property
    def position(self) -> tuple[float, int]:
        """Its place among evidence, newest first."""
        return (self.act.observed_at, self.number)


class EndedActs:
    """One of each key, the newest end last."""

    def __init__(self, capacity: int = ENDED_ACTS_MAX, kept_s: float = ENDED_ACTS_KEPT_S) -> None:
        self._capacity = capacity
        self._kept_s = kept_s
        self._held: OrderedDict[ActKey, EndedAct] = OrderedDict()
        self._earlier: dict[ActKey, LiveAct] = {}
        self._live: Mapping[ActKey, LiveAct] = {}
        self.overflowed = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[EndedAct]:
        return iter(self._held.values())

    def put(self, live: LiveAct, now: float) -> None:
        """Keeps it; the oldest makes room."""
        act = live.act
        self._held.pop(act.key, None)
        self._held[act.key] = EndedAct(live.number, act, min(now, act.live_until))
        if len(self._held) > self._capacity:
            self._held.popitem(last=False)
            self.overflowed += 1

    def take(self, key: ActKey) -> None:
        """It is live again."""
        self._held.pop(key, None)

    def begin(self, live: Mapping[ActKey, LiveAct]) -> None:
        """A new incarnation of the engine, which holds `live`: what those before it held may end while it hears of nothing yet."""
        for key, each in self._live.items():
            self._earlier[key] = each
            if len(self._earlier) > self._capacity:
                del self._earlier[next(iter(self._earlier))]
                self.overflowed += 1
        self._live = live

    def heard_all(self, now: float) -> None:
        """Everything that is live has been told to this incarnation."""
        for key, each in self._earlier.items():
            if key not in self._live and key not in self._held:
                self.put(each, now)
        self._earlier = {}

    def next_at(self) -> float | None:
        """When (epoch seconds) the oldest has been kept long enough."""
        oldest = next(iter(self._held.values()), None)
        return None if oldest is None else oldest.ended_at + self._kept_s

    def forget(self, now: float) -> None:
        """Lets go of what has been kept long enough."""
        while (at := self.next_at()) is not None and at <= now:
            self._held.popitem(last=False)
