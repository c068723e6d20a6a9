"""A journal in memory: the store's actor may crash and loses nothing; the process may not. What rows contain is dropped."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.evidence import Account, Scope
from actors.store.journal import JournalStatistics
from actors.store.place import Place
from actors.store.records import Cursor, Drop, Fold, Head, HistoryRow, Page, Record, StateRow, last_heard, notes_of
from actors.store.sharded import ShardedDict
from actors.store.tally import Tally

FOLD_READS: Final = 50_000
"""Reads kept as objects before rows are made of them: some 30 MB."""
PAGE_RECORDS: Final = 64
"""Batches in one page."""
ANNOUNCED_MAX: Final = 200_000
"""Announced keys remembered. Beyond: further ones are not, and a restart announces them a second time."""


class _Line(Struct, frozen=True, gc=False):
    account: Account
    scope: Scope
    verb: str


class MemoryJournal:
    """Keeps the objects themselves; `capacity`: the window's, for which the parts are laid out."""

    def __init__(self, capacity: int = 100_000) -> None:
        self.fold_reads = FOLD_READS
        self.tally = Tally()
        self._records: deque[Record] = deque()
        self._unfolded: deque[Record] = deque()
        self._states: ShardedDict[Place, StateRow] = ShardedDict(capacity)
        self._history: ShardedDict[_Line, HistoryRow] = ShardedDict(capacity)
        self._reading: tuple[Record, ...] = ()
        self._announced: set[str] = set()
        self._since: float | None = None
        self._last_batch_at: float | None = None
        self._lag_s: float | None = None
        self._notes: dict[str, bytes] = {}
        self._last_seq = 0
        self._opens = self._commits = 0

    async def open(self) -> Head:
        """Nothing to wait for."""
        self._opens += 1
        announced = frozenset(self._announced)
        return Head(
            self._last_seq, self._since, announced, self._opens, self._last_batch_at, self._lag_s, dict(self._notes)
        )

    async def read(self, cursor: Cursor | None) -> Page:
        """A part of the states or of the history, or some batches."""
        table, at = cursor if cursor is not None else ("states", 0)
        assert isinstance(at, int)  # noqa: S101 - cursors of this journal count
        if table == "states":
            parts = self._states.parts()
            return Page(
                states=tuple(parts[at].values()), next=("states", at + 1) if at + 1 < len(parts) else ("history", 0)
            )
        if table == "history":
            rows = self._history.parts()
            return Page(
                history=tuple(rows[at].values()), next=("history", at + 1) if at + 1 < len(rows) else ("records", 0)
            )
        if at == 0:
            self._reading = (*self._records, *self._unfolded)
        some = self._reading[at : at + PAGE_RECORDS]
        if at + PAGE_RECORDS < len(self._reading):
            return Page(records=some, next=("records", at + PAGE_RECORDS))
        self._reading = ()
        return Page(records=some)

    async def append(self, records: Sequence[Record]) -> None:
        """Keep the batches."""
        if self._since is None and records:
            self._since = records[0].recorded_at
        self._unfolded.extend(records)
        self._last_seq = records[-1].seq if records else self._last_seq
        last_batch_at, lag_s = last_heard(records)
        self._last_batch_at = self._last_batch_at if last_batch_at is None else last_batch_at
        self._lag_s = self._lag_s if lag_s is None else lag_s
        self._notes |= notes_of(records)
        self._commits += 1

    async def fold(self, fold: Fold) -> None:
        """Replace rows."""
        for state in fold.states:
            self._states[Place(state.observation.account, state.observation.key)] = state
        for row in fold.history:
            self._history[_Line(row.account, row.scope, row.verb)] = row
        self._commits += 1

    async def drop(self, drop: Drop) -> bool:
        """Let go of reads, digests and rows, of all at once."""
        while self._unfolded and self._unfolded[0].seq <= drop.seq:
            self._records.append(replace(self._unfolded.popleft(), reads=()))
        while self._records and self._records[0].recorded_at < drop.digests_before:
            self._records.popleft()
        for state in drop.states:
            self._states.pop(Place(*state))
        for row in drop.history:
            self._history.pop(_Line(*row))
        self._commits += 1
        return False

    async def announce(self, lit: Sequence[str], dark: Sequence[str]) -> None:
        """Keep the keys."""
        self._announced.difference_update(dark)
        self._announced.update(lit[: max(0, ANNOUNCED_MAX - len(self._announced))])

    def statistics(self) -> JournalStatistics:
        """Counts."""
        return JournalStatistics(
            kind="memory",
            commits=self._commits,
            failures=0,
            last_error=None,
            records=len(self._records) + len(self._unfolded),
            rows=len(self._states) + len(self._history),
            bytes=None,
        )

    async def close(self) -> None:
        """Nothing to close."""
