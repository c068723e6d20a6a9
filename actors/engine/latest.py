"""The exact maximum, and the few greatest, of many values that keep changing: heaps that are cleaned when they are looked at.

Theory of operation: a change pushes a new entry and leaves the old one in the heap, where it no longer agrees with
`values`; `top` drops such entries when they come up. The heap is rebuilt before it holds twice as many entries as values,
so a change costs O(log n) and no change ever looks at everything. Due is the counterpart for the earliest moment.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush, heapreplace
from typing import Final, Generic, Protocol, TypeVar


class Numbered(Protocol):
    """Anything hashable with a number of its own, which decides between equal values."""

    number: int


K = TypeVar("K", bound=Numbered)
SLACK: Final = 16
"""Stale entries that a small heap may hold before it is rebuilt."""


class Latest(Generic[K]):
    """Values by key, and the greatest of them."""

    __slots__ = ("_heap", "values")

    def __init__(self) -> None:
        self.values: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []

    def __len__(self) -> int:
        return len(self.values)

    def set(self, key: K, value: float) -> None:
        """The value of this key from now on."""
        values = self.values
        if values.get(key) == value:
            return
        values[key] = value
        heap = self._heap
        if heap and heap[0][2] is key and value >= -heap[0][0]:
            heap[0] = (-value, -key.number, key)
            return
        heappush(heap, (-value, -key.number, key))
        if len(heap) > 2 * len(values) + SLACK:
            self._rebuild()

    def drop(self, key: K) -> None:
        """Forgets this key."""
        if self.values.pop(key, None) is not None and len(self._heap) > 2 * len(self.values) + SLACK:
            self._rebuild()

    def top(self) -> float:
        """The greatest value; 0.0 when there is none."""
        heap, values = self._heap, self.values
        while heap:
            negative, _, key = heap[0]
            if values.get(key) == -negative:
                return -negative
            heappop(heap)
        return 0.0

    def greatest(self, count: int) -> list[K]:
        """The keys of the greatest values, greatest first, of equals the newer number. A walk down the heap."""
        heap, values = self._heap, self.values
        found: dict[K, None] = {}
        edge = [(heap[0], 0)] if heap else []
        while edge and len(found) < count:
            (negative, _, key), index = edge[0]
            if values.get(key) == -negative:
                found[key] = None
            children = [i for i in (2 * index + 1, 2 * index + 2) if i < len(heap)]
            if not children:
                heappop(edge)
                continue
            heapreplace(edge, (heap[children[0]], children[0]))
            for child in children[1:]:
                heappush(edge, (heap[child], child))
        return list(found)

    def _rebuild(self) -> None:
        self._heap = [(-value, -key.number, key) for key, value in self.values.items()]
        heapify(self._heap)


class Due(Generic[K]):
    """Keys by the moment (epoch seconds) at which somebody must look at them; earliest first."""

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._at: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []

    def __len__(self) -> int:
        return len(self._at)

    def at(self, key: K, moment: float) -> None:
        """Look at this key at that moment. A later moment for a key that waits is not taken over: it is looked at too
        early, and whoever looks says the new moment. So a value that only rises costs nothing here."""
        waiting = self._at.get(key)
        if waiting is not None and waiting <= moment:
            return
        self._at[key] = moment
        heappush(self._heap, (moment, key.number, key))
        if len(self._heap) > 2 * len(self._at) + SLACK:
            self._heap = [(at, k.number, k) for k, at in self._at.items()]
            heapify(self._heap)

    def drop(self, key: K) -> None:
        """Nobody need look at this key."""
        self._at.pop(key, None)

    def next_at(self) -> float | None:
        """The earliest moment, None when nothing waits."""
        heap = self._heap
        while heap and self._at.get(heap[0][2]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def pop(self, now: float) -> K | None:
        """One key whose moment has come, None when there is none left."""
        earliest = self.next_at()
        if earliest is None or earliest > now:
            return None
        key = heappop(self._heap)[2]
        del self._at[key]
        return key
