"""Notes of sources: kept with the batch that they come with, or not at all; and files of the schema that had none."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace
from store_kit import T0, get, record
from trio_run import run

from actors.messages import Note
from actors.store import MemoryJournal, SqliteJournal
from actors.store.database import SCHEMA, SCHEMA_VERSION, Database
from actors.store.journal import JournalUnavailable


def noted(seq: int, value: bytes) -> object:
    """A batch with a note."""
    return replace(record(seq, get(f"s{seq}", T0)), note=Note("log", value))


def test_the_last_note_comes_back_in_memory_and_from_the_file(tmp_path: Path) -> None:
    """By name, as of the last batch that had one."""

    async def main() -> list[dict[str, bytes]]:
        found = []
        for journal in (MemoryJournal(), SqliteJournal(tmp_path / "journal.db")):
            await journal.open()
            await journal.append([noted(1, b"a"), noted(2, b"b"), record(3, get("c", T0))])
            found.append((await journal.open()).notes)
            await journal.close()
        again = SqliteJournal(tmp_path / "journal.db")
        found.append((await again.open()).notes)
        await again.close()
        return found

    assert run(main, real_time=True) == [{"log": b"b"}] * 3


def test_a_note_of_a_commit_in_doubt_goes_with_its_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch that failed may be in the file all the same; the next commit takes it out, and its note."""
    database = Database(tmp_path / "journal.db")
    database.open()
    database.append([noted(1, b"a")])

    def failing(db: sqlite3.Connection, *, count_rows: bool) -> None:
        raise sqlite3.OperationalError("after the commit")

    with monkeypatch.context() as patch:
        patch.setattr(database, "_measure", failing)
        with pytest.raises(JournalUnavailable):
            database.append([noted(2, b"b")])
    database.append([record(2, get("other", T0))])
    assert database.open().notes == {"log": b"a"}
    database.close()


def test_a_file_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    """With everything in it; afterwards it is one of this schema."""
    path = tmp_path / "journal.db"
    database = Database(path)
    database.open()
    database.append([record(1, get("a", T0))])
    database.close()
    with sqlite3.connect(path) as db:  # as version 1 made it
        db.execute("DROP TABLE note")
        db.execute("PRAGMA user_version = 1")
    db.close()
    database = Database(path)
    head = database.open()
    records = database.read(("batch", 0)).records
    database.append([noted(2, b"x")])
    database.close()
    with sqlite3.connect(path) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        tables = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_schema WHERE sql NOT NULL")}
    db.close()
    assert (head.last_seq, len(records), head.notes) == (1, 1, {})
    assert (SCHEMA_VERSION, set(SCHEMA)) == (version, tables)
