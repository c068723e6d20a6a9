"""What the window holds of one account: by key, and by recency, so that a pull costs what changed and no more.

By key: one dict, or many once it grows large. By recency: version -> entry in segments, oldest first; a change moves its entry to
the end. No dict ever exceeds a bound, because resizing a dict of a million entries stalls the loop. Counterpart: window.py.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

from actors.evidence import Account, ObservationKey
from actors.store.entry import Entry
from actors.store.sharded import PART_SHIFT

INDEX_MAX: Final = 2048
"""Entries in the one dict of a small account; beyond that they are spread."""
SEGMENT_MAX: Final = 4096
"""Entries in one segment of the recency order."""
ENDED_MAX: Final = 4096
"""Ended keys remembered for pulls; never many more than there are live ones, since then everything is the shorter answer."""
ENDED_MIN: Final = 64
"""Ended keys remembered however few are live."""
DISSOLVE_STEP: Final = 200
"""Entries freed in one step."""
ENDED_STEP: Final = 8
"""Ended keys freed in one step. What goes last holds most of the memory's pages: each key may give back some."""
PAGING_MAX: Final = 8
"""Pulls of everything in parts that may be under way at once; the oldest has to begin again."""


class Partition:
    """The entries of one account."""

    __slots__ = (
        "_from",
        "_index",
        "_lasts",
        "_newest",
        "_older",
        "_spread",
        "_spread_over",
        "account",
        "count",
        "ended",
        "floor",
        "latest",
        "noted_in",
        "paging",
    )

    def __init__(self, account: Account, version: int, spread_over: int) -> None:
        """`version`: of the window, before this account's first change. `spread_over`: dicts of a large account, a power of two."""
        self.account = account
        self.count = 0
        self.floor = version
        """Pulls from before this version need everything."""
        self.ended: deque[tuple[int, ObservationKey]] | None = None
        self.latest = version
        """The version of the last change or end."""
        self.noted_in = 0
        """The round of the window's changes that this account was last noted in."""
        self.paging: dict[int, int] | None = None
        """Where a pull of everything goes on -> the window's version when it began."""
        self._index: dict[ObservationKey, Entry] = {}
        self._spread: list[dict[ObservationKey, Entry]] | None = None
        self._spread_over = spread_over
        self._newest: dict[int, Entry] = {}
        self._from = version + 1
        """The first version that may be in `_newest`."""
        self._older: list[dict[int, Entry]] = []
        self._lasts: list[int] = []
        """The last version that each older segment may hold."""

    def get(self, key: ObservationKey) -> Entry | None:
        """The entry of this key."""
        if self._spread is None:
            return self._index.get(key)
        return self._spread[(hash(key) >> PART_SHIFT) & (self._spread_over - 1)].get(key)

    def add(self, entry: Entry) -> None:
        """A new entry, changed last of all; its observation carries the version."""
        key = entry.observation.key
        if self._spread is None:
            self._index[key] = entry
            if len(self._index) >= INDEX_MAX and self._spread_over > 1:
                self._spread = [{} for _ in range(self._spread_over)]
                for other, there in self._index.items():
                    self._spread[(hash(other) >> PART_SHIFT) & (self._spread_over - 1)][other] = there
                self._index = {}
        else:
            self._spread[(hash(key) >> PART_SHIFT) & (self._spread_over - 1)][key] = entry
        self.count += 1
        self._append(entry)

    def touch(self, entry: Entry, before: int) -> None:
        """The entry has changed; `before` is the version of its observation until now."""
        if before >= self._from:
            del self._newest[before]
        else:
            self._drop_older(before)
        self._append(entry)

    def end(self, entry: Entry, version: int) -> None:
        """The entry leaves the window with this version."""
        observation, key = entry.observation, entry.observation.key
        if self._spread is None:
            del self._index[key]
        else:
            del self._spread[(hash(key) >> PART_SHIFT) & (self._spread_over - 1)][key]
        if observation.version >= self._from:
            del self._newest[observation.version]
        else:
            self._drop_older(observation.version)
        self.count -= 1
        self.latest = version
        if self.ended is None:
            self.ended = deque()
        self.ended.append((version, observation.key))
        while len(self.ended) > min(self.count + ENDED_MIN, ENDED_MAX):
            self.floor = self.ended.popleft()[0]

    def since(self, version: int, limit: int) -> list[Entry]:
        """Entries changed after `version`, oldest change first, at most `limit`."""
        first = bisect_right(self._lasts, version)
        head, *rest = (*self._older[first:], self._newest)
        found = [head[there] for there in _newer(head, version)][::-1][:limit]
        for segment in rest:
            if len(found) >= limit:
                break
            found.extend(islice(segment.values(), limit - len(found)))
        return found

    def ended_since(self, version: int) -> list[tuple[int, ObservationKey]]:
        """(version, key) of what ended after `version`, oldest first; meaningful from `floor` on."""
        found = []
        for item in reversed(self.ended or ()):
            if item[0] <= version:
                break
            found.append(item)
        return found[::-1]

    def reaches(self, version: int) -> bool:
        """Whether what ended after `version` is still remembered, as far as somebody who asks from there can know of it."""
        return version >= self.floor or (self.paging is not None and self.paging.get(version, -1) >= self.floor)

    def began(self, version: int) -> int | None:
        """When the pull of everything began that goes on from `version`."""
        return self.paging.get(version) if self.paging is not None else None

    def page(self, version: int, began: int) -> None:
        """A pull of everything that began when the window was at `began` will go on from `version`."""
        if self.paging is None:
            self.paging = {}
        self.paging[version] = began
        while len(self.paging) > PAGING_MAX:
            del self.paging[next(iter(self.paging))]

    def dissolve(self) -> Iterator[None]:
        """Let go of all entries, and of what held them, some in each step."""
        while self.ended:
            for _ in range(min(len(self.ended), ENDED_STEP)):
                self.ended.pop()
            yield
        self._newest = {}
        while self._older:
            self._older.pop()
            yield
        spread, self._spread = self._spread or [], None
        spread.append(self._index)
        self._index = {}
        while spread:
            index = spread.pop()
            while index:
                for _ in range(min(len(index), DISSOLVE_STEP)):
                    index.popitem()
                yield
            yield

    def _append(self, entry: Entry) -> None:
        self.latest = entry.observation.version
        self._newest[self.latest] = entry
        if len(self._newest) >= SEGMENT_MAX:
            self._older.append(self._newest)
            self._lasts.append(entry.observation.version)
            self._newest = {}
            self._from = entry.observation.version + 1
            if len(self._older) > 2 * self.count // SEGMENT_MAX + 4:
                self._merge()

    def _drop_older(self, version: int) -> None:
        at = bisect_left(self._lasts, version)
        segment = self._older[at]
        del segment[version]
        if not segment:
            del self._older[at], self._lasts[at]

    def _merge(self) -> None:
        """Join the two neighbours that are smallest together; there are some that fit, or there would not be so many segments."""
        sizes = [len(segment) for segment in self._older]
        at = min(range(len(sizes) - 1), key=lambda i: sizes[i] + sizes[i + 1])
        self._older[at].update(self._older[at + 1])
        self._lasts[at] = self._lasts[at + 1]
        del self._older[at + 1], self._lasts[at + 1]


def _newer(segment: dict[int, Entry], version: int) -> Iterator[int]:
    """Versions in the segment after `version`, newest first."""
    for there in reversed(segment):
        if there <= version:
            return
        yield there
