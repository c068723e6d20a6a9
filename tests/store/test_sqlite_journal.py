"""What only a file can do: be killed, full, read-only, damaged, from a later version, or somebody else's."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.lowlevel
from store_kit import T0, everything, get, record
from trio_run import run

from actors.store import JournalError, JournalUnavailable, SqliteJournal
from actors.store.database import APPLICATION_ID, SCHEMA_VERSION
from actors.store.records import Record

PROJECT = Path(__file__).parents[2]


def noisy(seq: int, reads: int = 100) -> Record:
    """A record that does not pack."""
    return record(seq, *(get(os.urandom(20).hex(), user_agent=os.urandom(100).hex()) for _ in range(reads)))


async def refused(path: Path) -> str:
    journal = SqliteJournal(path)
    try:
        await journal.open()
    except JournalError as error:
        return str(error)
    finally:
        await journal.close()
    return "opened"


# --- at the start


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Directory 0700, files 0600, whatever the umask; a directory that was there is left as it is."""
    before = os.umask(0)
    try:

        async def main() -> None:
            journal = SqliteJournal(tmp_path / "state" / "journal.db")
            await journal.open()
            await journal.append([record(1)])
            modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "state").iterdir()}
            assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600}
            await journal.close()

        tmp_path.chmod(0o755)
        run(main, real_time=True)
    finally:
        os.umask(before)
    assert tuple(stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "state", tmp_path)) == (0o700, 0o755)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """In one line that names the file."""
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    newer = f"written by a newer protector (schema {SCHEMA_VERSION + 1}; this one knows {SCHEMA_VERSION})"
    assert f"{path}: {newer}" == run(refused, path, real_time=True)


def test_garbage_is_refused(tmp_path: Path) -> None:
    """A file that is no database."""
    path = tmp_path / "journal.db"
    path.write_bytes(b"no database at all " * 1000)
    assert f"{path}: file is not a database" == run(refused, path, real_time=True)


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    """And left alone."""
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    assert f"{path}: a database of something else, not of protector" == run(refused, path, real_time=True)


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    """Decoding it is an error of the journal, not a crash without a name."""
    path = tmp_path / "journal.db"

    async def main() -> str:
        journal = SqliteJournal(path)
        await journal.open()
        await journal.append([record(1, get())])
        await journal.close()
        with sqlite3.connect(path) as db:
            db.execute("UPDATE batch SET reads = x'00'")
        db.close()
        journal = SqliteJournal(path)
        await journal.open()
        try:
            await everything(journal)
        except JournalError as error:
            return str(error)
        finally:
            await journal.close()
        return "read"

    assert run(main, real_time=True).startswith(f"{path}: damaged in table batch")


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """Where a file is in the way."""
    (tmp_path / "file").write_text("")
    answer = run(refused, tmp_path / "file" / "journal.db", real_time=True)
    assert answer.startswith(f"{tmp_path / 'file' / 'journal.db'}: ")


def test_a_second_opener_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes never write one journal."""
    monkeypatch.setattr("actors.store.database.LOCK_WAIT_S", 0.05)

    async def main() -> str:
        first = SqliteJournal(tmp_path / "journal.db")
        await first.open()
        answer = await refused(tmp_path / "journal.db")
        await first.close()
        return answer

    assert f"{tmp_path / 'journal.db'}: in use by another process" == run(main, real_time=True)


# --- while it runs


def test_a_cancelled_call_is_finished_before_the_next_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next incarnation opens after the commit that an earlier one had begun, and finds what it wrote; one that had not
    begun never is."""

    async def main() -> None:
        journal = SqliteJournal(tmp_path / "journal.db")
        await journal.open()
        begun, go_on, append = threading.Event(), threading.Event(), journal._database.append

        def slow(records: Sequence[Record]) -> None:
            begun.set()
            go_on.wait(10)
            append(records)

        monkeypatch.setattr(journal._database, "append", slow)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.append, [record(1)])
            nursery.start_soon(journal.append, [record(2)])
            await trio.to_thread.run_sync(begun.wait, 10)
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, go_on.set)
            head = await journal.open()
        assert head.last_seq in (1, 2)
        assert len((await everything(journal)).records) == 1
        await journal.close()

    run(main, real_time=True)


def test_a_commit_in_doubt_is_undone_by_the_next(tmp_path: Path) -> None:
    """A batch that was refused although it came to be written is not there besides the one that takes its number."""

    async def main() -> None:
        journal = SqliteJournal(tmp_path / "journal.db")
        await journal.open()
        await journal.append([record(1), record(2)])
        await journal.append([record(3)])
        journal._database._doubt = True
        again = record(3, get("again"))
        await journal.append([again])
        assert again == (await everything(journal)).records[-1]
        await journal.close()

    run(main, real_time=True)


def test_a_failing_commit_leaves_nothing_and_heals(tmp_path: Path) -> None:
    """A trigger that raises stands for any error of the database in the middle of a commit."""

    async def main() -> None:
        journal = SqliteJournal(tmp_path / "journal.db")
        await journal.open()
        db = journal._database._connection
        assert db is not None
        db.execute("CREATE TEMP TRIGGER t BEFORE INSERT ON batch WHEN new.seq = 2 BEGIN SELECT RAISE(ABORT, 'no'); END")
        with pytest.raises(JournalUnavailable, match="constraint: no"):
            await journal.append([record(1), record(2)])
        assert (await everything(journal)).records == ()
        await journal.append([record(1), record(2)])
        assert [r.seq for r in (await everything(journal)).records] == [1, 2]
        assert (journal.statistics().failures, journal.statistics().last_error) == (1, "constraint")
        await journal.close()

    run(main, real_time=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "filler").open("ab", buffering=0) as out:
        try:
            while True:
                out.write(b"\0" * 4096)
        except OSError:
            pass


@pytest.mark.slow
def test_a_full_disk_refuses_and_heals(small_disk: Path) -> None:
    """No batch is half there; with room again the next is taken; what was taken is there after a kill."""

    async def main() -> list[int]:
        journal = SqliteJournal(small_disk / "journal.db")
        await journal.open()
        taken = 0
        fill(small_disk)
        with suppress(JournalUnavailable):
            for seq in range(1, 500):
                await journal.append([noisy(seq)])
                taken = seq
                fill(small_disk)
        with pytest.raises(JournalUnavailable, match="full"):
            await journal.append([noisy(taken + 1)])
        with pytest.raises(JournalUnavailable, match="full"):
            await journal.announce(["k" * 100_000], [])
        assert list(range(1, taken + 1)) == [r.seq for r in (await everything(journal)).records]
        (small_disk / "filler").unlink()
        await journal.append([noisy(taken + 1)])
        copy = SqliteJournal(copied(small_disk, small_disk.parent / "copy"))
        await copy.open()
        found = [r.seq for r in (await everything(copy)).records]
        await copy.close()
        await journal.close()
        assert list(range(1, taken + 2)) == found
        return found

    assert run(main, real_time=True)


@pytest.mark.slow
def test_a_full_disk_that_was_opened_full(small_disk: Path) -> None:
    """A restart on a full disk still loads, refuses batches, and heals."""

    async def main() -> None:
        journal = SqliteJournal(small_disk / "journal.db")
        await journal.open()
        for seq in range(1, 20):
            await journal.append([noisy(seq)])
        copied(small_disk, small_disk / "again")
        await journal.close()
        fill(small_disk)
        journal = SqliteJournal(small_disk / "again" / "journal.db")
        assert (await journal.open()).last_seq == 19
        with suppress(JournalUnavailable):
            for seq in range(20, 500):
                await journal.append([noisy(seq)])
        last = len((await everything(journal)).records)
        with pytest.raises(JournalUnavailable, match="full"):
            await journal.append([noisy(last + 1)])
        (small_disk / "filler").unlink()
        await journal.append([noisy(last + 1)])
        await journal.close()

    run(main, real_time=True)


def copied(folder: Path, to: Path) -> Path:
    """The files as a kill would leave them."""
    to.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        (to / name).write_bytes((folder / name).read_bytes())
    return to / "journal.db"


@pytest.mark.slow
def test_a_read_only_file_system_refuses_and_heals(small_disk: Path) -> None:
    """While it runs, by SQLite's own switch; and at the start, on a file system that really is (an open file cannot become so)."""

    async def main() -> None:
        journal = SqliteJournal(small_disk / "journal.db")
        await journal.open()
        await journal.append([record(1)])
        db = journal._database._connection
        assert db is not None
        db.execute("PRAGMA query_only = ON")
        with pytest.raises(JournalUnavailable, match="readonly"):
            await journal.append([record(2)])
        db.execute("PRAGMA query_only = OFF")
        await journal.append([record(2)])
        assert [r.seq for r in (await everything(journal)).records] == [1, 2]
        await journal.close()
        await trio.run_process(["mount", "-o", "remount,ro", str(small_disk)])
        assert "Read-only file system" in await refused(small_disk / "journal.db")
        await trio.run_process(["mount", "-o", "remount,rw", str(small_disk)])
        assert await refused(small_disk / "journal.db") == "opened"

    run(main, real_time=True)


WRITER = """
import sys
sys.path[:0] = sys.argv[1:3]
import trio
from pathlib import Path
from store_kit import get, record
from actors.store import SqliteJournal

async def main():
    journal = SqliteJournal(Path(sys.argv[3]))
    seq = (await journal.open()).last_seq
    while True:
        seq += 1
        await journal.append([record(seq, *(get(f"s{seq}-{i}") for i in range(50)))])
        print(seq, flush=True)

trio.run(main)
"""


@pytest.mark.slow
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """A process that acknowledges each commit is killed several times at any moment; each time all of it is there, and no more
    than the one commit that was under way."""
    path = tmp_path / "journal.db"
    acknowledged = 0
    for kills in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(PROJECT), str(Path(__file__).parent), str(path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        for _ in range(20 + 13 * kills):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        writer.stdout.close()
        writer.wait()
        found = run(sequence, path, real_time=True)
        assert list(range(1, len(found) + 1)) == found
        assert acknowledged <= len(found) <= acknowledged + 1


async def sequence(path: Path) -> list[int]:
    journal = SqliteJournal(path)
    await journal.open()
    records = (await everything(journal)).records
    await journal.close()
    assert all(len(r.reads) == 50 for r in records)
    assert records[0].recorded_at == T0
    return [r.seq for r in records]
