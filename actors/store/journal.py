"""The interface of a journal: where answered batches outlive the store's actor, and with SQLite the process.

A journal is made once and outlives the incarnations of the actor. Its calls are done one after another, in the order in which they
were begun, also when the caller is cancelled meanwhile: `open` therefore comes after whatever an earlier incarnation had begun, and
nothing is written behind the back of the next one. Implementations: memory.py, sqlite.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from actors.store.records import Cursor, Drop, Fold, Head, Page, Record

if TYPE_CHECKING:
    from actors.store.tally import Tally  # it counts in StoreStatus's words, and those speak of journals


class JournalError(Exception):
    """The journal cannot be used at all (written by a newer version, no journal, no access): the text is one line for the operator."""


class JournalUnavailable(Exception):  # noqa: N818 - it says what happened, as Trio's Cancelled does
    """This call failed and left nothing behind; a later one may succeed (disk full, I/O error, read-only). The text says why."""


class JournalStatistics(Struct, frozen=True):
    """Counts of a journal since it was made."""

    kind: str
    commits: int
    failures: int
    last_error: str | None
    """The kind of the last failure (`full`, `readonly`, …), kept after it has healed."""
    records: int
    """Batches that are kept."""
    rows: int
    """Rows of observations and history that are kept."""
    bytes: int | None
    """Of the files, where there are any."""


class Journal(Protocol):
    """Every async call raises JournalUnavailable when it fails, and has then changed nothing."""

    fold_reads: int
    """Reads that are kept as records before rows are made of them: what a reload has to apply, and what is kept at most."""
    tally: Tally
    """What incarnations hand to one another besides what is kept."""

    async def open(self) -> Head:
        """First call of each incarnation. Raises JournalError too."""

    async def read(self, cursor: Cursor | None) -> Page:
        """One part of what is kept; None: the first."""

    async def append(self, records: Sequence[Record]) -> None:
        """Keep these batches, in one commit: durable when this returns."""

    async def fold(self, fold: Fold) -> None:
        """Write rows, in one commit."""

    async def drop(self, drop: Drop) -> bool:
        """Delete the rows named, and forget some of the reads and digests; whether there are more of these. One bounded commit."""

    async def announce(self, lit: Sequence[str], dark: Sequence[str]) -> None:
        """Remember what was announced as lit, forget what was announced as dark."""

    def statistics(self) -> JournalStatistics:
        """Counts; never blocks."""

    async def close(self) -> None:
        """After the last call."""
