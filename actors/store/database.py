"""The SQLite file underneath a journal: schema, statements, what its errors mean. Blocking; one thread owns it (sqlite.py).

Write-ahead log and synchronous=FULL: a commit is one fsync of the log, and what was committed survives power loss. The file is
locked for this process alone, which also does without shared memory. The tables are described in SCHEMA.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from actors.evidence import Account, ObservationKey, Read, Scope
from actors.messages import BatchAnswer
from actors.store.journal import JournalError, JournalUnavailable
from actors.store.records import Cursor, Drop, Fold, Head, HistoryRow, Page, Record, StateRow, last_heard, notes_of

T = TypeVar("T")

APPLICATION_ID: Final = 0x70726F74
"""Marks the file as ours (https://sqlite.org/pragma.html#pragma_application_id)."""
SCHEMA_VERSION: Final = 2
SCHEMA: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL)",
    # One row a batch. answer: msgpack; reads: deflated msgpack, NULL once state and history rows contain them.
    (
        "CREATE TABLE batch (seq INTEGER PRIMARY KEY, digest BLOB NOT NULL, recorded_at REAL NOT NULL,"
        " received_at REAL NOT NULL, answer BLOB NOT NULL, reads BLOB)"
    ),
    # What all batches up to as_of (inside value) came to.
    "CREATE TABLE state (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL)",
    "CREATE TABLE history (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL)",
    "CREATE TABLE announced (key TEXT PRIMARY KEY) WITHOUT ROWID",
    # What a source of batches wants back, written in the commit of the batch that it came with.
    "CREATE TABLE note (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)
MIGRATIONS: Final = {1: (SCHEMA[-1],)}
"""What makes a file of the next version out of one of this version."""
LOCK_WAIT_S: Final = 5.0
"""How long to wait for another process to let go of the file: one that is just ending."""
WAL_PAGES: Final = 512
"""The log is copied into the file every so many pages (2 MiB)."""
WAL_KEPT_BYTES: Final = 4 << 20
"""The log's file is cut back to this size afterwards."""
PAGE_ROWS: Final = 256
"""Rows of states or history in one page of reading."""
PAGE_RECORDS: Final = 16
"""Batches in one page of reading."""
DROP_RECORDS: Final = 32
"""Batches whose reads are let go in one commit."""
DROP_BATCHES: Final = 512
"""Batches forgotten in one commit."""
READS_BYTES_MAX: Final = 1 << 28
"""Longest decompressed reads of one batch; a longer one was not written by us."""

_UPSERT: Final = "INSERT INTO {} (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_encoder = msgspec.msgpack.Encoder()
_reads = msgspec.msgpack.Decoder(tuple[Read, ...])
_answer = msgspec.msgpack.Decoder(BatchAnswer)
_state = msgspec.msgpack.Decoder(StateRow)
_history = msgspec.msgpack.Decoder(HistoryRow)


def state_key(account: Account, key: ObservationKey) -> bytes:
    """The key of a row in `state`."""
    return _encoder.encode((account, key))


def history_key(account: Account, scope: Scope, verb: str) -> bytes:
    """The key of a row in `history`."""
    return _encoder.encode((account, scope, verb))


def error_kind(error: sqlite3.Error) -> str:
    """`full`, `ioerr`, `readonly`, `busy`, …: SQLite's own name of the error, without its extension."""
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return name.removeprefix("SQLITE_").split("_")[0].lower()


class Database:
    """One file, opened when first needed and again after an error that may have spoilt the connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_error: str | None = None
        self.failures = 0
        self.commits = 0
        self.records = 0
        self.rows = 0
        self.bytes = 0
        self._connection: sqlite3.Connection | None = None
        self._checked = False
        """It was opened once, so it is ours: later errors may pass."""
        self._doubt = False
        """A commit failed: whatever it may have left is taken out before the next one."""
        self._notes: dict[str, bytes] = {}
        """As they were committed, without doubt."""
        self._folded = 0
        """Reads of the batches up to this one are let go."""

    # --- opening -------------------------------------------------------------------------------------------------------

    def open(self) -> Head:
        """Make or check the file, and say where it stands. JournalError for what no later try can mend."""
        return self._guard(self._head)

    def _head(self, db: sqlite3.Connection) -> Head:
        meta: dict[str, Any] = dict(db.execute("SELECT name, value FROM meta"))
        last = db.execute("SELECT max(seq) FROM batch").fetchone()[0] or 0
        keys = frozenset(key for (key,) in db.execute("SELECT key FROM announced"))
        first = db.execute("SELECT min(seq) FROM batch WHERE reads IS NOT NULL").fetchone()[0]
        self._folded = (first or last + 1) - 1
        self.records = db.execute("SELECT count(*) FROM batch").fetchone()[0]
        self._measure(db, count_rows=True)
        self._notes = dict(db.execute("SELECT name, value FROM note"))
        return Head(
            max(last, int(meta.get("last_seq", 0))),
            meta.get("since"),
            keys,
            last_batch_at=meta.get("last_batch_at"),
            lag_s=meta.get("lag_s"),
            notes=dict(self._notes),
        )

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        if not self._checked:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_mode & 0o077:
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
        db = sqlite3.connect(self.path, timeout=LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        self._connection, self._checked = db, True
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise JournalError(f"{self.path}: this file system allows no write-ahead log (journal mode {mode})")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        db.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("BEGIN IMMEDIATE")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        owner = db.execute("PRAGMA application_id").fetchone()[0]
        if version == 0 and owner == 0 and db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
            for statement in SCHEMA:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif owner != APPLICATION_ID:
            raise JournalError(f"{self.path}: a database of something else, not of protector")
        elif version > SCHEMA_VERSION:
            raise JournalError(
                f"{self.path}: written by a newer protector (schema {version}; this one knows {SCHEMA_VERSION})"
            )
        elif version < SCHEMA_VERSION:
            for before in range(version, SCHEMA_VERSION):
                for statement in MIGRATIONS[before]:
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")

    # --- calls ------------------------------------------------------------------------------------------------------------

    def append(self, records: Sequence[Record]) -> None:
        """One transaction with one row a batch."""
        rows = [
            (
                record.seq,
                record.digest,
                record.recorded_at,
                record.received_at,
                _encoder.encode(record.answer),
                zlib.compress(_encoder.encode(record.reads), 1),
            )
            for record in records
        ]
        # beside the batches, which are forgotten some time: how long nothing was heard must be known for longer
        last_batch_at, lag_s = last_heard(records)
        heard = [(n, v) for n, v in (("last_batch_at", last_batch_at), ("lag_s", lag_s)) if v is not None]
        notes = notes_of(records)

        def write(db: sqlite3.Connection) -> None:
            if self._doubt:
                db.execute("DELETE FROM batch WHERE seq >= ?", (rows[0][0],))
                db.execute("DELETE FROM note")
                db.executemany("INSERT INTO note VALUES (?, ?)", self._notes.items())
            db.executemany("INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?)", rows)
            if self.records == 0:
                db.execute("INSERT OR IGNORE INTO meta VALUES ('since', ?)", (rows[0][2],))
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", heard)
            db.executemany("INSERT OR REPLACE INTO note VALUES (?, ?)", notes.items())

        if rows:
            self._transaction(write)
            self._doubt = False
            self._notes |= notes
            self.records += len(rows)

    def fold(self, fold: Fold) -> None:
        """One transaction that replaces rows."""
        states = [(state_key(s.observation.account, s.observation.key), _encoder.encode(s)) for s in fold.states]
        history = [(history_key(row.account, row.scope, row.verb), _encoder.encode(row)) for row in fold.history]

        def write(db: sqlite3.Connection) -> None:
            db.executemany(_UPSERT.format("state"), states)
            db.executemany(_UPSERT.format("history"), history)

        self._transaction(write)

    def drop(self, drop: Drop) -> bool:
        """Delete rows, let go of the reads of some batches, forget some digests: one transaction; whether there are more."""
        upto = max(self._folded, min(self._folded + DROP_RECORDS, drop.seq))
        states = [(state_key(*state),) for state in drop.states]
        history = [(history_key(*row),) for row in drop.history]

        def write(db: sqlite3.Connection) -> int:
            db.executemany("DELETE FROM state WHERE key = ?", states)
            db.executemany("DELETE FROM history WHERE key = ?", history)
            db.execute("UPDATE batch SET reads = NULL WHERE seq > ? AND seq <= ?", (self._folded, upto))
            db.execute("INSERT OR REPLACE INTO meta SELECT 'last_seq', max(seq) FROM batch HAVING count(*) > 0")
            return db.execute(
                "DELETE FROM batch WHERE seq IN"
                " (SELECT seq FROM batch WHERE seq <= ? AND recorded_at < ? ORDER BY seq LIMIT ?)",
                (upto, drop.digests_before, DROP_BATCHES),
            ).rowcount

        last = upto >= drop.seq
        deleted = self._transaction(write, count_rows=last)
        self._folded = upto
        self.records -= deleted
        return not last or deleted == DROP_BATCHES

    def announce(self, lit: Sequence[str], dark: Sequence[str]) -> None:
        """Replace announced keys."""

        def write(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM announced WHERE key = ?", [(key,) for key in dark])
            db.executemany("INSERT OR IGNORE INTO announced VALUES (?)", [(key,) for key in lit])

        self._transaction(write)

    def read(self, cursor: Cursor | None) -> Page:
        """One page of what is kept, decoded."""
        table, after = cursor if cursor is not None else ("state", 0)

        def read(db: sqlite3.Connection) -> Page:
            if table == "batch":
                return self._records(db, after)
            rows = db.execute(
                f"SELECT id, value FROM {table} WHERE id > ? ORDER BY id LIMIT ?",  # noqa: S608 - one of two names above
                (after, PAGE_ROWS),
            ).fetchall()
            following = "history" if table == "state" else "batch"
            ahead: Cursor = (table, rows[-1][0]) if len(rows) == PAGE_ROWS else (following, 0)
            if table == "state":
                return Page(states=tuple(_state.decode(value) for _, value in rows), next=ahead)
            return Page(history=tuple(_history.decode(value) for _, value in rows), next=ahead)

        try:
            return self._guard(read)
        except (msgspec.DecodeError, zlib.error) as error:
            raise JournalError(f"{self.path}: damaged in table {table}: {error}") from error

    def _records(self, db: sqlite3.Connection, after: int | bytes) -> Page:
        rows = db.execute(
            "SELECT seq, digest, recorded_at, received_at, answer, reads FROM batch WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, PAGE_RECORDS),
        ).fetchall()
        records = tuple(
            Record(seq, digest, recorded_at, received_at, _answer.decode(answer), _inflate(reads))
            for seq, digest, recorded_at, received_at, answer, reads in rows
        )
        return Page(records=records, next=("batch", rows[-1][0]) if len(rows) == PAGE_RECORDS else None)

    def close(self) -> None:
        """Close the file; the log is copied into it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # --- errors -------------------------------------------------------------------------------------------------------------

    def _transaction(self, write: Callable[[sqlite3.Connection], T], *, count_rows: bool = False) -> T:
        def whole(db: sqlite3.Connection) -> T:
            db.execute("BEGIN IMMEDIATE")
            result = write(db)
            db.execute("COMMIT")
            self.commits += 1
            self._measure(db, count_rows=count_rows)
            return result

        return self._guard(whole)

    def _guard(self, call: Callable[[sqlite3.Connection], T]) -> T:
        """Call it with the connection; every error becomes one of ours, and leaves no transaction open."""
        try:
            return call(self._connect())
        except (sqlite3.Error, OSError) as error:
            self.failures += 1
            self._doubt = True
            kind = error_kind(error) if isinstance(error, sqlite3.Error) else (error.strerror or "os error")
            self.last_error = kind
            self._let_go(kind)
            if not self._checked or kind in ("corrupt", "notadb"):
                busy = "in use by another process" if kind == "busy" else str(error)
                raise JournalError(f"{self.path}: {busy}") from error
            raise JournalUnavailable(f"{kind}: {error}") from error

    def _let_go(self, kind: str) -> None:
        """Roll back. A connection of which it is not known what it believes is closed; the next call opens it anew."""
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if kind in ("full", "busy", "readonly"):
                return
            connection.close()
        except sqlite3.Error as error:
            self.last_error = error_kind(error)
        self._connection = None

    def _measure(self, db: sqlite3.Connection, *, count_rows: bool) -> None:
        if count_rows:
            self.rows = db.execute("SELECT (SELECT count(*) FROM state) + (SELECT count(*) FROM history)").fetchone()[0]
        pages, size = db.execute("SELECT page_count, page_size FROM pragma_page_count, pragma_page_size").fetchone()
        self.bytes = pages * size


def _inflate(reads: bytes | None) -> tuple[Read, ...]:
    if reads is None:
        return ()
    inflater = zlib.decompressobj()
    plain = inflater.decompress(reads, READS_BYTES_MAX)
    return _reads.decode(plain)
