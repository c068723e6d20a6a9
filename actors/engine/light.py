"""What lights one chain, added up. Pure; counterparts: nodes.py (items and chains), edges.py (who puts what in)."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nlargest
from typing import TYPE_CHECKING

from actors.engine.latest import Latest
from actors.evidence import Signal

if TYPE_CHECKING:
    from actors.engine.nodes import Chain, Item


class Light:
    """The live evidence of one chain: until when it lights it, until when it names the chain's binding, how new it is.

    The maxima are exact after `refresh`. Of reads they only rise until something is taken away, so they are plain numbers and
    are made anew then; a watch that ends falls at any time, so watches are kept in heaps, and never a reason to look at all.
    """

    __slots__ = ("_watch_proven", "_watch_until", "items", "newest_at", "open", "proven_until", "read_proven", "read_until",
                 "signals", "stale", "until")  # fmt: skip

    def __init__(self) -> None:
        self.items: dict[Item, None] = {}
        self.open = 0
        """How many of them are not expected."""
        self.until = 0.0
        """The latest end (epoch seconds) of what lights it."""
        self.proven_until = 0.0
        """The latest end of a read in which the API server named the binding."""
        self.newest_at = 0.0
        """The newest event time."""
        self.read_until = 0.0
        self.read_proven = 0.0
        self._watch_until: Latest[Item] = Latest()
        self._watch_proven: Latest[Item] = Latest()
        self.signals: dict[Signal, int] = {}
        self.stale = False
        """Whether a maximum of the reads may be too high."""

    def put(self, item: Item, until: float, proven: float, *, fell: bool) -> None:
        """This evidence lights the chain until then; `proven` 0.0: it never named the binding. `fell`: one may be less than before."""
        last = item.evidence.observation.last
        if last.verb == "watch":
            self.items[item] = None
            self._watch_until.set(item, until)
            self._watch_proven.set(item, proven)
            self.until = max(self.read_until, self._watch_until.top())
            self.proven_until = max(self.read_proven, self._watch_proven.top())
            if last.at > self.newest_at:
                self.newest_at = last.at
        else:
            self.stale = self.stale or fell
            self.put_read(item, until, proven)

    def put_read(self, item: Item, until: float, proven: float) -> None:
        """As `put` for what is no watch and counts with no less than before."""
        self.items[item] = None
        self.raise_to(until, proven)
        at = item.evidence.observation.last.at
        if at > self.newest_at:
            self.newest_at = at

    def raise_to(self, until: float, proven: float) -> None:
        """A read of the chain lasts until then."""
        if until > self.read_until:
            self.read_until = until
            self.until = max(self.until, until)
        if proven > self.read_proven:
            self.read_proven = proven
            self.proven_until = max(self.proven_until, proven)

    def drop(self, item: Item, chain: Chain, *, fell: bool) -> None:
        """This evidence lights it no longer. `fell`: it counted with more than its observation says now."""
        del self.items[item]
        observation = item.evidence.observation
        if observation.last.verb == "watch":
            self._watch_until.drop(item)
            self._watch_proven.drop(item)
            self.until = max(self.read_until, self._watch_until.top())
            self.proven_until = max(self.read_proven, self._watch_proven.top())
        elif not self.stale:
            proves = self.read_proven > 0.0 and item.proven_in(chain) >= self.read_proven
            self.stale = fell or proves or observation.live_until >= self.read_until
        if observation.last.at >= self.newest_at:
            self.stale = True

    def refresh(self, chain: Chain) -> None:
        """Makes the maxima exact, after something was taken away."""
        self.stale = False
        reads = [item for item in self.items if item.evidence.observation.last.verb != "watch"]
        self.read_until = max((item.until_in(chain) for item in reads), default=0.0)
        self.read_proven = max((item.proven_in(chain) for item in reads), default=0.0)
        self.newest_at = max((item.evidence.observation.last.at for item in self.items), default=0.0)
        self.until = max(self.read_until, self._watch_until.top())
        self.proven_until = max(self.read_proven, self._watch_proven.top())

    def newest(self, count: int) -> list[Item]:
        """The newest pieces of evidence by event time."""
        return nlargest(count, self.items, key=_place_of_item)

    def count_signals(self, signals: Iterable[Signal], by: int) -> None:
        """Adds or takes away these."""
        for signal in signals:
            count = self.signals.get(signal, 0) + by
            if count:
                self.signals[signal] = count
            else:
                del self.signals[signal]


def _place_of_item(item: Item) -> tuple[float, int]:
    return (item.evidence.observation.last.at, item.number)
