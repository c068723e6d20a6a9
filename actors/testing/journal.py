"""The store's journal of a test: in memory, and failing or taking its time when it is told to. Counterpart: faults.py."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from actors.store import MemoryJournal
from actors.store.journal import JournalUnavailable
from actors.store.records import Record

__all__ = ["FaultyJournal"]


class FaultyJournal(MemoryJournal):
    """`fail`: so many commits from now on fail, as on a full disk, and leave nothing behind. `slow_s`: how long each takes."""

    def __init__(self, capacity: int = 100_000) -> None:
        super().__init__(capacity)
        self.fail = 0
        self.failed = 0
        self.slow_s = 0.0

    async def append(self, records: Sequence[Record]) -> None:
        """Raises JournalUnavailable while it is to fail."""
        if self.slow_s:
            await trio.sleep(self.slow_s)
        if self.fail > 0:
            self.fail -= 1
            self.failed += 1
            raise JournalUnavailable("database or disk is full (a fault of the test)")
        await super().append(records)
