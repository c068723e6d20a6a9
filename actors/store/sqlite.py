"""A journal in a SQLite file. One thread of its own does the work, call after call, and outlives the incarnations of the store's actor.

A caller that is cancelled takes back a call that has not begun; one that has begun is finished, and whatever the next incarnation
calls comes after it. Counterpart: database.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import trio
from msgspec.structs import replace

from actors.store.database import Database
from actors.store.journal import JournalStatistics
from actors.store.records import Cursor, Drop, Fold, Head, Page, Record
from actors.store.tally import Tally

T = TypeVar("T")

FOLD_READS: Final = 250_000
"""Reads kept as records before rows are made of them: some 30 MB deflated, and two seconds to apply at the next start. Most
observations of a busy cluster have ended by then, so that they never need a row."""


class SqliteJournal:
    """The journal at `path`. Directories that are missing are made with mode 0700, files have mode 0600."""

    def __init__(self, path: Path | str) -> None:
        self.fold_reads = FOLD_READS
        self.tally = Tally()
        self._database = Database(Path(path))
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._opens = 0

    async def open(self) -> Head:
        """Waits for what earlier incarnations began. JournalError names the file and what is wrong with it."""
        self._opens += 1
        return replace(await self._run(self._database.open), opens=self._opens)

    async def read(self, cursor: Cursor | None) -> Page:
        """A page, decoded in the thread."""
        return await self._run(self._database.read, cursor)

    async def append(self, records: Sequence[Record]) -> None:
        """One commit; durable when this returns."""
        await self._run(self._database.append, tuple(records))

    async def fold(self, fold: Fold) -> None:
        """One commit."""
        await self._run(self._database.fold, fold)

    async def drop(self, drop: Drop) -> bool:
        """One commit."""
        return await self._run(self._database.drop, drop)

    async def announce(self, lit: Sequence[str], dark: Sequence[str]) -> None:
        """One commit."""
        await self._run(self._database.announce, tuple(lit), tuple(dark))

    def statistics(self) -> JournalStatistics:
        """Counts, as of the last call that was finished."""
        database = self._database
        return JournalStatistics(
            kind="sqlite",
            commits=database.commits,
            failures=database.failures,
            last_error=database.last_error,
            records=database.records,
            rows=database.rows,
            bytes=database.bytes,
        )

    async def close(self) -> None:
        """Finish what was begun, close the file, end the thread."""
        with trio.CancelScope(shield=True):
            await self._run(self._database.close)
        self._worker.shutdown(wait=False)

    async def _run(self, call: Callable[..., T], *args: Any) -> T:
        """What the call returns or raises, done by the thread in its turn."""
        done = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def wake(_: Future[T]) -> None:
            with suppress(trio.RunFinishedError):  # then nobody waits any more
                token.run_sync_soon(done.set)

        future = self._worker.submit(call, *args)
        future.add_done_callback(wake)
        try:
            await done.wait()
        finally:
            future.cancel()  # only what has not begun
        return future.result()
