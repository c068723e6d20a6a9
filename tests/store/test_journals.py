"""Both journals by one set of tests: what is kept, in which order, what is let go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from store_kit import APP, T0, everything, get, grant, record, watch
from trio_run import run

from actors.evidence import Account, NamedGrant, Observation, Scope, SeenSource, observation_key
from actors.messages import BatchAnswer
from actors.store import HistoryRow, Journal, MemoryJournal, SqliteJournal
from actors.store.records import Drop, Fold, Page, StateRow
from actors.store.watches import Effect, Watch, WatchBook


def state(name: str, as_of: int) -> StateRow:
    read = get(name, named=grant("g"), pod="p", node="n", uri_hash=2**63, user_agent="ü")
    named = (NamedGrant(grant("g"), T0 + 300),)
    sources = (SeenSource("10.0.0.1", T0 + 300, T0),)
    book = WatchBook({("w", T0, -5): Watch(T0 + 1, 0.0, named[0], sources[0])}, Effect(T0, 0.0, named, sources))
    return StateRow(
        Observation(observation_key(read), read, T0, T0, 3, T0 + 300, 0.0, named, 9, True, sources), book, as_of, False
    )


def row(name: str, as_of: int) -> HistoryRow:
    return HistoryRow(APP, Scope("shop", name), "get", T0, T0 + 1, 4, as_of)


Make = Callable[[], Any]


@pytest.fixture(params=["memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Opens a journal; each call the same one again, with SQLite from its file."""
    memory = MemoryJournal()

    @asynccontextmanager
    async def make() -> AsyncIterator[Journal]:
        journal: Journal = memory if request.param == "memory" else SqliteJournal(tmp_path / "state" / "journal.db")
        try:
            yield journal
        finally:
            await journal.close()

    return make


def test_a_journal_knows_when_the_last_batch_came(opened: Make) -> None:
    """Also when the batch itself is forgotten; and the lag of the last one with a time."""

    async def main() -> None:
        async with opened() as journal:
            await journal.open()
            timed = replace(record(1, get("a")), newest_at=T0 - 8)
            await journal.append([timed, record(2, get("b"), at=T0 + 20)])
            probe = BatchAnswer(1, 0, 0, {"probe": 1})
            await journal.append([replace(record(3, at=T0 + 40), answer=probe)])  # the doctor's: nobody is heard
            await journal.drop(Drop(3, T0 + 900))
        async with opened() as journal:
            head = await journal.open()
            assert (head.last_batch_at, head.lag_s) == (T0 + 19, 7.0)
            assert (await everything(journal)).records == ()

    run(main)


def test_an_empty_journal_has_nothing(opened: Make) -> None:
    """No batch, no time since when."""

    async def main() -> None:
        async with opened() as journal:
            head = await journal.open()
            assert (0, None, frozenset()) == (head.last_seq, head.since, head.announced)
            assert Page() == await everything(journal)

    run(main, real_time=True)


def test_records_come_back_as_they_were_and_in_order(opened: Make) -> None:
    """Every field of reads and answers, over many pages."""
    records = [record(seq, get(f"s{seq}", named=grant("x"), pod="p"), watch(T0, open_s=7.5)) for seq in range(1, 40)]

    async def main() -> None:
        async with opened() as journal:
            await journal.open()
            await journal.append(records[:1])
            await journal.append(records[1:])
        async with opened() as journal:
            head = await journal.open()
            assert (head.last_seq, head.since) == (39, T0)
            assert tuple(records) == (await everything(journal)).records

    run(main, real_time=True)


def test_rows_replace_one_another_and_go(opened: Make) -> None:
    """One row for each observation, one for each line of history."""

    async def main() -> None:
        async with opened() as journal:
            await journal.open()
            await journal.fold(Fold((state("a", 1), state("b", 1)), (row("a", 1), row("b", 1))))
            await journal.fold(Fold((state("b", 2), state("c", 2)), (row("b", 2),)))
            gone = state("a", 1).observation
            await journal.drop(Drop(0, 0.0, ((gone.account, gone.key),), ((APP, Scope("shop", "a"), "get"),)))
        async with opened() as journal:
            await journal.open()
            assert Page((state("b", 2), state("c", 2)), (row("b", 2),)) == await everything(journal)
            assert journal.statistics().rows == 3

    run(main, real_time=True)


def test_many_rows_come_back_page_by_page(opened: Make) -> None:
    """None twice, none left out."""
    states = tuple(state(f"s{i:04}", 1) for i in range(700))

    async def main() -> None:
        async with opened() as journal:
            await journal.open()
            await journal.fold(Fold(states, ()))
        async with opened() as journal:
            await journal.open()
            assert states == (await everything(journal)).states

    run(main, real_time=True)


def test_a_drop_lets_reads_go_and_then_digests(opened: Make) -> None:
    """Batches that are still to be recognised stay without their reads; later ones stay as they are; the numbering goes on."""
    records = [record(seq, get("a"), at=T0 + seq) for seq in range(1, 101)]

    async def main() -> None:
        async with opened() as journal:
            await journal.open()
            await journal.append(records)
            while await journal.drop(Drop(80, T0 + 50)):
                pass
            kept = (await everything(journal)).records
            assert (list(range(50, 101)), 51) == ([r.seq for r in kept], journal.statistics().records)
            assert list(range(81, 101)) == [r.seq for r in kept if r.reads]
        async with opened() as journal:
            await journal.open()
            while await journal.drop(Drop(100, T0 + 1000)):
                pass
        async with opened() as journal:
            head = await journal.open()
            assert (head.last_seq, head.since, (await everything(journal)).records) == (100, T0 + 1, ())

    run(main, real_time=True)


def test_announced_keys_are_kept(opened: Make) -> None:
    """What went dark is not."""

    async def main() -> None:
        async with opened() as journal:
            await journal.open()
            await journal.announce(["a", "b"], [])
            await journal.announce(["c", "b"], ["a", "never"])
        async with opened() as journal:
            assert frozenset("bc") == (await journal.open()).announced

    run(main, real_time=True)


def test_accounts_with_the_same_names_elsewhere_have_rows_of_their_own(opened: Make) -> None:
    """The account is part of the key."""
    other = Account("other", "app")
    moved = HistoryRow(other, Scope("shop", "a"), "get", T0, T0, 1, 1)

    async def main() -> None:
        async with opened() as journal:
            await journal.open()
            await journal.fold(Fold((), (row("a", 1), moved)))
            assert {APP, other} == {r.account for r in (await everything(journal)).history}

    run(main, real_time=True)
