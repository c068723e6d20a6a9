"""What a batch comes to, and that everything comes back: rows and records against the ledger that never stopped."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from store_kit import APP, T0, TTL_S, batch, get, live, watch
from trio_run import run

from actors.evidence import Account, Read, Scope
from actors.messages import ParsedBatch
from actors.store import Journal, Ledger, MemoryJournal
from actors.store.history import REACH_S, History
from actors.store.ledger import Cut, Overlay
from actors.store.records import HistoryRow, Record

DAY_S = 86_400.0


def ledger(ttl_s: float = TTL_S, capacity: int = 1000) -> Ledger:
    return Ledger(ttl_s, capacity, 90, epoch=1)


def plan(store: Ledger, parsed: ParsedBatch, now: float, overlay: Overlay | None = None, ahead: int = 1) -> Record:
    steps = store.plan(parsed, store.seq + ahead, now, overlay or Overlay())
    while True:
        try:
            next(steps)
        except StopIteration as end:
            record: Record = end.value
            return record


def put(store: Ledger, parsed: ParsedBatch, now: float = T0) -> Record:
    record = plan(store, parsed, now)
    for _ in store.accept(record):
        pass
    return record


async def reload(journal: Journal, **settings: Any) -> Ledger:
    store = ledger(**settings)
    store.begin(await journal.open())
    page = await journal.read(None)
    while True:
        for _ in store.restore(page):
            pass
        if page.next is None:
            return store
        page = await journal.read(page.next)


def history(store: Ledger, *accounts: Account) -> dict[Any, Any]:
    return {
        (row.account, row.scope, row.verb): (row.first_seen, row.last_seen, row.count)
        for account in accounts
        for row in store.history.of(account)
    }


# --- one batch


def test_new_counts_observations_that_were_not_live() -> None:
    """Each once; not the borrowed ones, not the late ones."""
    store = ledger()
    reads = (get("a"), get("a"), get("b"), get("c", borrowed=True), get("d", at=T0 - 400))
    answer = put(store, batch(*reads, dropped={"impersonated": 1})).answer
    assert (answer.events, answer.reads, answer.new, answer.dropped) == (5, 4, 2, {"impersonated": 1})
    assert put(store, batch(get("a", at=T0 + 1))).answer.new == 0


def test_the_batches_of_a_group_are_planned_one_after_the_other() -> None:
    """What the first lights is not new in the second, though neither is accepted yet."""
    store, overlay = ledger(), Overlay()
    first = plan(store, batch(get("a"), get("b")), T0, overlay)
    second = plan(store, batch(get("b"), get("c")), T0, overlay, ahead=2)
    assert (first.answer.new, second.answer.new, store.window.live) == (2, 1, 0)


def test_a_watch_that_ends_long_ago_before_it_starts_is_not_new() -> None:
    """Within one batch as well."""
    end_first = batch(watch(T0 - 1500, end=T0 - 400), watch(T0 - 1500, open_s=3600))
    assert put(ledger(), end_first).answer.new == 0


def test_a_repeated_batch_is_known_for_fifteen_minutes() -> None:
    """Its first answer is kept."""
    store = ledger()
    record = put(store, batch(get("a")))
    assert record.answer == store.repeated(record.digest)
    put(store, batch(get("b")), T0 + 899)
    assert record.answer == store.repeated(record.digest)
    put(store, batch(get("c")), T0 + 902)
    assert store.repeated(record.digest) is None


def test_counts_are_those_of_accepted_batches() -> None:
    """Dropped items by reason, borrowed and late reads."""
    store = ledger()
    put(store, batch(get("a"), get("b", borrowed=True), dropped={"impersonated": 1, "denied": 2}, events=4))
    put(store, batch(get("c", at=T0 - 400), dropped={"denied": 1}, events=2))
    plan(store, batch(get("never")), T0)
    counts = store.counts()
    assert (
        counts.batches,
        counts.events,
        counts.reads,
        counts.new,
        counts.dropped,
        counts.borrowed,
        counts.late,
    ) == (2, 6, 2, 1, {"impersonated": 1, "denied": 3}, 1, 1)


def test_the_bad_end_of_a_watch_counts_nowhere() -> None:
    """Not in the answer, not in the counts, not in history; the watch is over, also after a restart."""

    async def main() -> None:
        store, journal = ledger(), MemoryJournal()
        await journal.open()
        ends = replace(watch(T0 - 9, end=T0 - 1), ends_only=True)
        for parsed in (batch(watch(T0 - 9)), batch(ends, get("a", borrowed=True))):
            record = put(store, parsed)
            await journal.append([record])
        assert (record.answer.reads, record.answer.new) == (0, 0)
        counts = store.counts()
        assert (counts.reads, counts.borrowed, counts.late) == (1, 1, 0)
        assert [row.count for row in store.history.of(APP)] == [1]
        assert {0.0} == {o.held_open_until for o in live(store.window, T0).values()}
        assert live((await reload(journal)).window, T0) == live(store.window, T0)

    run(main)


# --- history


def test_history_has_first_last_and_count() -> None:
    """Late reads count, the two stages of a watch are one, borrowed ones are left out."""
    store = ledger()
    put(store, batch(get("a"), get("a", at=T0 - 9), get("a", at=T0 - 4000), get("b", borrowed=True)))
    put(store, batch(watch(T0 - 50), watch(T0 - 50, end=T0)))
    rows = {(scope.name, verb): row for (_, scope, verb), row in history(store, APP).items()}
    assert rows == {("a", "get"): (T0 - 4000, T0, 3), (None, "watch"): (T0 - 50, T0 - 50, 1)}


def test_a_first_read_needs_a_day_of_history() -> None:
    """Before that, nothing can be called new; then once, by any verb, and for as long as the observation lives."""
    store = ledger()
    put(store, batch(get("a")))
    later = T0 + REACH_S
    put(store, batch(get("new", at=later - 1), get("a", at=later - 1)), later)
    put(store, batch(get("new", at=later), get("new", at=later, pod="other")), later)
    assert {(key[1].name, key[1].pod): o.first_read for key, o in live(store.window, later).items()} == {
        ("a", None): False,
        ("new", None): True,
        ("new", "other"): False,
    }


def test_history_refuses_what_has_no_room_and_says_nothing_is_new_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded in all and by account."""
    store = ledger()
    store.history._account_bound = 2
    put(store, batch(*(get(name) for name in "abc")))
    put(store, batch(get("new", at=T0 + DAY_S)), T0 + DAY_S)
    assert (store.history.statistics().rows, store.history.statistics().overflows) == (2, 2)
    assert [o.first_read for o in live(store.window, T0 + DAY_S).values()] == [False]


def test_history_forgets_what_was_not_seen_for_its_days() -> None:
    """In slices, and the journal is told."""
    store = ledger()
    put(store, batch(*(get(name) for name in "abc")))
    now = T0 + 91 * DAY_S
    put(store, batch(get("b", at=now)), now)
    while not store.prune(now, 1):
        pass
    assert [scope.name for _, scope, _ in history(store, APP)] == ["b"]
    gone = store.drop(store.cut(), now, 100).history
    assert sorted(scope.name or "" for _, scope, _ in gone) == ["a", "c"]


# --- coming back

ACCOUNTS = (Account("n", "a"), Account("n", "b"))


def as_read(step: Any, now: float) -> Read:
    what, account, which, age, length = step
    if what == "get":
        return get(f"s{which}", now - age, ACCOUNTS[account], source_ip=f"ip-{length}")
    at = T0 + which * 7.0
    end = None if what == "start" else min(now, at + length)
    return watch(at, end=end, open_s=5.0 + 13 * which, id_=f"w{which}", account=ACCOUNTS[account])


READS = st.tuples(
    st.sampled_from(["get", "get", "start", "end"]),
    st.integers(0, 1),
    st.integers(0, 2),
    st.integers(0, 25),
    st.integers(0, 30),
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    st.lists(
        st.one_of(
            st.lists(READS, min_size=1, max_size=4),
            st.integers(1, 12),
            st.sampled_from(["cut", "fold", "fold", "drop"]),
        ),
        max_size=50,
    )
)
def test_a_restart_comes_back_to_the_same(steps: list[Any]) -> None:
    """At any moment, with any part of the records folded into rows: live observations, answers and history are what they were."""

    async def main() -> None:
        store, journal, cut, now = ledger(ttl_s=10.0), MemoryJournal(), None, T0 + 30.0
        await journal.open()
        digests = []
        for number, step in enumerate(steps):
            if isinstance(step, int):
                now += step
                store.window.expire(store.clock(now), 1000)
            elif isinstance(step, list):
                record = plan(store, batch(*(as_read(s, now) for s in step), body=str(number), at=now), now)
                await journal.append([record])
                for _ in store.accept(record):
                    pass
                digests.append(record.digest)
            else:
                cut = await tidy(store, journal, cut, step, now)
        again = await reload(journal, ttl_s=10.0)
        for one in (store, again):
            while one.window.expire(now, 1000):
                pass
        assert live(store.window, now) == live(again.window, now)
        assert [store.repeated(d) for d in digests] == [again.repeated(d) for d in digests]
        assert history(store, *ACCOUNTS) == history(again, *ACCOUNTS)
        assert (store.seq, store.history.since) == (again.seq, again.history.since)

    run(main)


async def tidy(store: Ledger, journal: Journal, cut: Cut | None, step: str, now: float) -> Cut | None:
    """One step of the chores, if its turn has come."""
    if step == "cut" and cut is None:
        return store.cut()
    if step == "fold" and cut is not None:
        await journal.fold(store.fold(cut, 2))
    if step == "drop" and cut is not None:
        while cut.left:
            await journal.fold(store.fold(cut, 2))
        await journal.drop(store.drop(cut, now, 2))
        return None if not cut.rowless else cut
    return cut


def test_folded_records_hold_no_reads_and_rows_of_what_ended_go() -> None:
    """So the journal does not grow with time: after the fold one row for what is live, one for its history."""

    async def main() -> None:
        store, journal = ledger(), MemoryJournal()
        for i in range(20):
            record = plan(store, batch(get("a", at=T0 + i), get(f"old{i}", at=T0 - 290 + i), body=str(i)), T0 + i)
            await journal.append([record])
            for _ in store.accept(record):
                pass
        for now in (T0 + 20, T0 + 40, T0 + 2000):
            store.window.expire(now, 1000)
            cut = store.cut()
            while cut.left:
                await journal.fold(store.fold(cut, 7))
            while True:
                await journal.drop(store.drop(cut, now, 3))
                if not cut.rowless:
                    break
        assert (len(journal._states), journal.statistics().records, len(journal._history)) == (0, 0, 21)

    run(main)


def test_a_ledger_that_is_over_is_freed_in_steps() -> None:
    """Nothing of it is left in the end."""
    store = ledger()
    put(store, batch(*(get(f"s{i}") for i in range(1000)), watch(T0), get("late", at=T0 - 400)))
    assert sum(1 for _ in store.dissolve()) > 4
    assert (store.window.live_accounts(), store.history.of(APP)) == ((), ())


def test_what_ended_and_came_again_keeps_its_new_row() -> None:
    """The old row is to be deleted; the one that has taken its place is not."""

    async def main() -> None:
        store, journal = ledger(), MemoryJournal()
        for now in (T0, T0 + TTL_S):
            store.window.expire(now, 10)
            record = plan(store, batch(get("a", at=now)), now)
            await journal.append([record])
            for _ in store.accept(record):
                pass
            cut = store.cut()
            while cut.left:
                await journal.fold(store.fold(cut, 10))
            await journal.drop(store.drop(cut, now, 10))
        again = await reload(journal)
        assert live(store.window, T0 + TTL_S) == live(again.window, T0 + TTL_S)

    run(main)


def test_what_was_past_when_its_row_was_made_does_not_come_back_live() -> None:
    """And its row goes with the next fold."""

    async def main() -> None:
        store, journal = ledger(), MemoryJournal()
        for reads in ((watch(T0 - 1500, open_s=3000),), (watch(T0 - 1500, end=T0 - 400),)):
            record = plan(store, batch(*reads), T0)
            await journal.append([record])
            for _ in store.accept(record):
                pass
        await journal.fold(store.fold(store.cut(), 10))
        again = await reload(journal)
        assert (again.window.live, live(again.window, T0)) == (0, {})
        assert [account for account, _ in again.drop(again.cut(), T0, 10).states] == [APP]

    run(main)


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_history_is_paged_by_account_and_every_row_comes_once(rows: int) -> None:
    """The rows of an account stay together; a place that is none is the end."""
    found = History(30.0, bound=100_000)
    for number in range(40):
        account = Account("app", f"a{number}")
        for name in "xy":
            found.restore(HistoryRow(account, Scope("app", name), "get", T0, T0, 1, 1))
    seen: list[HistoryRow] = []
    place: tuple[int, Account | None] | None = (0, None)
    while place is not None:
        page, place = found.page(*place, rows)
        assert len(page) <= max(rows + 1, 2)
        seen += page
    assert 80 == len(seen) == len({(row.account, row.scope) for row in seen})
    assert ([], None) == found.page(-1, None, 5) == found.page(99_999, None, 5)
