"""In which order the window's entries end. Exact, and no step of it depends on how many there are.

Two rules:
1. Entries lie unsorted on pages of half a second; only a page that may hold the soonest is opened (sorted into a heap).
2. An entry that moves is taken off its page at once; in the heap its old item stays and is recognised by `Entry.due`.

So a refresh costs two dict operations and taking the soonest a heap step. A heap alone, with items that are renewed only when
they come up, would have to walk over everything that was refreshed meanwhile to find the soonest of a full window: a stall.
No dict exceeds PAGE_MAX entries. Counterpart: window.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final

from actors.store.entry import Entry

TICKS_PER_S: Final = 2
"""Pages a second."""
PAGE_MAX: Final = 2048
"""Entries on one page; half a second with more of them has several."""
_RUNNING_BITS: Final = 20
_RUNNING: Final = (1 << _RUNNING_BITS) - 1


class Calendar:
    """Entries by when they end. An entry is in it while `entry.due` is not 0.0."""

    def __init__(self) -> None:
        self._pages: dict[int, dict[int, Entry]] = {}
        """page number (half second and running number) -> serial -> entry; may be empty."""
        self._numbers: list[int] = []
        """Heap of the page numbers."""
        self._crowded: dict[int, int] = {}
        """half second -> running number of its newest page, where that is not 0."""
        self._heap: list[tuple[float, int, Entry]] = []

    def put(self, entry: Entry, due: float) -> None:
        """Let the entry end at `due` (epoch seconds > 0), wherever it was before."""
        tick = int(due * TICKS_PER_S)
        pages = self._pages
        if entry.due:
            page = pages.get(entry.page)
            if page is not None and entry.serial in page:
                if tick == entry.page >> _RUNNING_BITS:
                    entry.due = due
                    return
                del page[entry.serial]
        entry.due = due
        number = tick << _RUNNING_BITS
        if self._crowded:
            number += self._crowded.get(tick, 0)
        page = pages.get(number)
        if page is None or len(page) >= PAGE_MAX:
            if page is not None:
                number += 1
                self._crowded[tick] = number & _RUNNING
            page = pages[number] = {}
            heappush(self._numbers, number)
        page[entry.serial] = entry
        entry.page = number

    def remove(self, entry: Entry) -> None:
        """Take the entry out; nothing happens when it is not in."""
        if entry.due:
            page = self._pages.get(entry.page)
            if page is not None:
                page.pop(entry.serial, None)
            entry.due = 0.0

    def soonest(self) -> Entry | None:
        """What ends first, without taking it out. Only of more than PAGE_MAX in one half second it may be another one's turn."""
        top = self._top()
        if top is not None and self._numbers and self._numbers[0] >> _RUNNING_BITS <= int(top.due * TICKS_PER_S):
            self._open()
            return self._top()
        while top is None and self._numbers:
            self._open()
            top = self._top()
        return top

    def ended(self, now: float) -> Entry | None:
        """Something that has ended by `now`, without taking it out; opens at most one page that holds anything."""
        top = self._top()
        while (top is None or top.due > now) and self._numbers:
            if self._numbers[0] >> _RUNNING_BITS > now * TICKS_PER_S:
                break
            opened = self._open()
            top = self._top()
            if opened and top is not None and top.due > now:
                continue
        return top if top is not None and top.due <= now else None

    def next_at(self) -> float | None:
        """When to look again: when the soonest ends, or (not later than that) when the page begins that may hold it."""
        top = self._top()
        while self._numbers and not self._pages[self._numbers[0]]:
            self._open()
        begins = (self._numbers[0] >> _RUNNING_BITS) / TICKS_PER_S if self._numbers else None
        if top is None or begins is None:
            return begins if top is None else top.due
        return min(top.due, begins)

    def dissolve(self) -> Iterator[None]:
        """Let go of all entries, a page in each step."""
        self._heap = []
        while self._pages:
            self._pages.popitem()
            yield

    def _top(self) -> Entry | None:
        """The soonest in the heap, rid of items whose entry has moved on."""
        heap = self._heap
        while heap:
            due, _, entry = heap[0]
            if entry.due == due:
                return entry
            heappop(heap)
        return None

    def _open(self) -> int:
        """Move the first page into the heap; returns how many entries that were."""
        number = heappop(self._numbers)
        page = self._pages.pop(number)
        running, tick = number & _RUNNING, number >> _RUNNING_BITS
        if running and self._crowded.get(tick) == running:
            del self._crowded[tick]
        items = [(entry.due, serial, entry) for serial, entry in page.items()]
        if self._heap:
            for item in items:
                heappush(self._heap, item)
        elif items:
            self._heap = items
            heapify(self._heap)
        return len(items)
