"""What is known of a live cluster, kept in a SQLite file beside the store, so that a restart remembers what has gone.

What went while nobody looked is missing from the first list after the restart, and is buried then as if it had gone at that time;
what had been gone before keeps its time. Everything here can be had again from the API server, but for what is gone: so a file that
cannot be used is begun anew, and a commit is not forced to the disk (a killed process loses nothing, a power cut some moments).
Blocking, in threads of the caller's. Counterparts: keeper.py writes, actor.py reads at its start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import structlog
from msgspec import Struct

from actors.cluster.records import Binding, KnownSecret, Pod, Record, RecordKey, Role, Route, Service, ServiceAccount

T = TypeVar("T")

log = structlog.get_logger("protector.cluster")

VERSION: Final = 1
"""Of the rows; others are dropped."""
READ_ROWS: Final = 1000
"""Rows in one part of reading."""
LOCK_WAIT_S: Final = 2.0

_TYPES: Final[dict[str, Any]] = {
    each.__name__: each for each in (Pod, Role, Binding, Service, Route, ServiceAccount, KnownSecret)
}
_DECODERS: Final[dict[str, msgspec.msgpack.Decoder[tuple[Record, ...]]]] = {
    name: msgspec.msgpack.Decoder(tuple.__class_getitem__((each, ...))) for name, each in _TYPES.items()
}
_encode: Final = msgspec.msgpack.encode


class KeptStatistics(Struct, frozen=True):
    """Counts since the start of the process."""

    saves: int
    failures: int
    rows: int
    """Written, over and over."""
    unreadable: int
    """Rows that were left out at the start."""
    last_error: str | None


class KeptCluster:
    """The file at `path`. Calls come one after another."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saves = self._failures = self._rows = self._unreadable = 0
        self._last_error: str | None = None

    def load(self, now: float, memory_s: float) -> Iterator[list[Record]]:
        """What was kept, in parts, the versions of a key in their order; nothing where it is older than `memory_s`."""
        rows = self._guard(lambda db: self._read(db, now, memory_s)) or []
        for begin in range(0, len(rows), READ_ROWS):
            part: list[Record] = []
            for name, value in rows[begin : begin + READ_ROWS]:
                try:
                    part += _DECODERS[name].decode(value)
                except (KeyError, msgspec.MsgspecError):
                    self._unreadable += 1
            yield part

    def save(
        self, records: Iterable[Sequence[Record]], forgotten: Iterable[RecordKey], now: float, *, only: bool = False
    ) -> bool:
        """Each sequence is all there is of its key. `only`: whatever else is kept goes. Whether it could be written."""
        rows = [(_encode(group[0].key), type(group[0]).__name__, _encode(tuple(group))) for group in records]
        gone = [(_encode(key),) for key in forgotten]

        def write(db: sqlite3.Connection) -> bool:
            with db:
                if only:
                    db.execute("DELETE FROM kept")
                db.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", rows)
                db.executemany("DELETE FROM kept WHERE key = ?", gone)
                db.execute("INSERT OR REPLACE INTO seen VALUES (1, ?)", (now,))
            return True

        self._saves += 1
        self._rows += len(rows)
        return bool(self._guard(write))

    def statistics(self) -> KeptStatistics:
        """Counts."""
        return KeptStatistics(self._saves, self._failures, self._rows, self._unreadable, self._last_error)

    @staticmethod
    def _read(db: sqlite3.Connection, now: float, memory_s: float) -> list[tuple[str, bytes]]:
        seen = db.execute("SELECT at FROM seen").fetchone()
        if seen is None or not now - memory_s <= seen[0]:
            return []
        return db.execute("SELECT type, value FROM kept").fetchall()

    def _guard(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """What `work` returns; None where the file cannot be used, which is counted and said once for each reason."""
        try:
            with closing(self._open()) as db:
                return work(db)
        except (sqlite3.Error, OSError) as error:
            why = getattr(error, "sqlite_errorname", None) or type(error).__name__
            if why != self._last_error:
                log.warning("what is known of the cluster cannot be kept", file=str(self.path), why=why)
            self._failures += 1
            self._last_error = why
            if why in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
                with suppress(OSError):
                    self.path.unlink()
            return None

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.touch(mode=0o600)
        db = sqlite3.connect(self.path, timeout=LOCK_WAIT_S)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                db.executescript(
                    "DROP TABLE IF EXISTS kept; DROP TABLE IF EXISTS seen;"
                    "CREATE TABLE kept (key BLOB PRIMARY KEY, type TEXT NOT NULL, value BLOB NOT NULL) WITHOUT ROWID;"
                    "CREATE TABLE seen (id INTEGER PRIMARY KEY, at REAL NOT NULL);"
                    f"PRAGMA user_version={VERSION};"
                )
        except BaseException:
            db.close()
            raise
        return db
