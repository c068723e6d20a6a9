"""The store's actor: answers after the commit, groups, failures that leave nothing, pulls, ticks, crashes and restarts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from store_kit import APP, T0, FailingJournal, Router, batch, get, watch
from trio_run import run

from actors.evidence import Account, Scope
from actors.messages import (
    AccountChanges,
    AccountsChanged,
    Announced,
    AnnouncedKeys,
    BatchAnswer,
    FlipsAnnounced,
    Follow,
    LiveAccounts,
    RecordBatch,
    StoreUnavailable,
)
from actors.runtime import ActorCrashed, ActorDead, ActorRef, Child, MailboxFull, System, VirtualClock, open_system
from actors.store import (
    HistoryQuery,
    Journal,
    MemoryJournal,
    SqliteJournal,
    StoreActor,
    StoreStatus,
    StoreStatusQuery,
)


class Crashed(Exception):  # noqa: N818 - it says what happened
    """What the tests make the actor crash with."""


class Told:
    """As much of a follower as the store needs."""

    def __init__(self, fails: type[Exception] | None = None) -> None:
        self.changes: list[AccountChanges] = []
        self.fails = fails

    def tell(self, message: AccountChanges) -> None:
        if self.fails is not None:
            raise self.fails
        self.changes.append(message)


class Rig:
    """A store in a system of its own, on a virtual clock that begins at T0."""

    def __init__(self, system: System, ref: ActorRef, router: Router) -> None:
        self.system = system
        self.ref = ref
        self.router = router
        self.crash_at: str | None = None

    def intercept(self, _path: str, message: Any) -> None:
        if self.crash_at == type(message).__name__:
            self.crash_at = None
            raise Crashed

    async def post(self, *reads: Any, **more: Any) -> BatchAnswer | StoreUnavailable:
        answer: BatchAnswer | StoreUnavailable = await self.ref.ask(
            RecordBatch(batch(*reads, at=self.system.clock.now(), **more)), timeout_s=60
        )
        return answer

    async def pull(self, account: Account = APP, epoch: int = 0, version: int = 0) -> AccountChanges:
        """What a pull brings at once; nothing, as it is, where it has to wait."""
        told = Told()
        self.ref.tell(Follow(account, epoch, version, told))
        await self.ref.ask(LiveAccounts())
        changes = told.changes[0] if told.changes else AccountChanges(account, epoch, version, False, (), since=version)
        if changes.observations:  # then it goes away, so that it is the router who hears of the next change
            self.ref.tell(Follow(account, changes.epoch, changes.version, Told(ActorDead)))
            await self.ref.ask(LiveAccounts())
        return changes

    async def status(self) -> StoreStatus:
        status: StoreStatus = await self.ref.ask(StoreStatusQuery())
        return status

    async def secrets(self) -> list[str | None]:
        return sorted(o.key.name or "" for o in (await self.pull()).observations)


@asynccontextmanager
async def rig(journal: Journal | None = None, router: Router | None = None, **settings: Any) -> AsyncIterator[Rig]:
    router = router or Router()
    made: list[Rig] = []
    intercept = lambda path, message: made[0].intercept(path, message) if made else None  # noqa: E731 - tests only
    async with open_system("test", clock=VirtualClock(start_at=T0), intercept=intercept) as system:
        kwargs = {"ttl_s": 300.0, **settings}
        await system.start(Child("store", StoreActor, args=(journal or MemoryJournal(), router), kwargs=kwargs))
        made.append(Rig(system, system.ref("/test/store"), router))
        yield made[0]
        system.stop()


def test_a_batch_is_answered_and_the_router_told() -> None:
    """As the contract has it; a repeated one gets the first answer, and nothing changes."""

    async def main() -> None:
        async with rig() as r:
            first = await r.post(get("a"), get("b"), dropped={"denied": 1}, events=3)
            assert BatchAnswer(3, 2, 2, {"denied": 1}) == first
            assert r.router.accounts() == {APP}
            again = await r.post(get("a"), get("b"), dropped={"denied": 9}, events=9)
            assert BatchAnswer(3, 2, 2, {"denied": 1}, duplicate=True) == again
            assert [o.count for o in (await r.pull()).observations] == [1, 1]
            assert r.router.accounts() == set()
            counts = (await r.status()).counts
            assert (counts.batches, counts.duplicates, counts.events, counts.reads, counts.new) == (1, 1, 3, 2, 2)

    run(main)


def test_nothing_is_answered_told_or_pulled_before_the_commit() -> None:
    """And what arrives meanwhile is committed together; the same batch twice in flight is written once."""

    async def main() -> None:
        journal = FailingJournal()
        journal.gate = trio.Event()
        answers: dict[int, Any] = {}
        async with rig(journal) as r, trio.open_nursery() as nursery:

            async def post(number: int, name: str) -> None:
                answers[number] = await r.post(get(name), body=name)

            for number, name in enumerate("abbcd"):
                nursery.start_soon(post, number, name)
                await trio.testing.wait_all_tasks_blocked()
            assert ({}, set(), ()) == (answers, r.router.accounts(), (await r.pull()).observations)
            journal.gate.set()
            await trio.testing.wait_all_tasks_blocked()
            assert [answers[i].duplicate for i in range(5)] == [False, False, True, False, False]
            assert journal.groups == [1, 3]
            assert await r.secrets() == ["a", "b", "c", "d"]

    run(main)


def test_new_is_counted_across_the_batches_of_a_group() -> None:
    """What an earlier one lights is not new in a later one."""

    async def main() -> None:
        journal = FailingJournal()
        journal.gate = trio.Event()
        found = {}
        async with rig(journal) as r, trio.open_nursery() as nursery:

            async def post(body: str, *names: str) -> None:
                answer = await r.post(*(get(name) for name in names), body=body)
                assert isinstance(answer, BatchAnswer)
                found[body] = answer.new

            for body, names in (("1", "z"), ("2", "ab"), ("3", "bc"), ("4", "abc")):
                nursery.start_soon(post, body, *names)
                await trio.testing.wait_all_tasks_blocked()
            journal.gate.set()
        assert found == {"1": 1, "2": 2, "3": 1, "4": 0}

    run(main)


def test_a_failing_commit_leaves_nothing_behind() -> None:
    """Neither evidence nor digest nor count; the same batch is taken once the journal works again."""

    async def main() -> None:
        journal = FailingJournal()
        async with rig(journal) as r:
            await r.post(get("a"))
            r.router.accounts()
            journal.failing = "full: database or disk is full"
            assert StoreUnavailable("full: database or disk is full") == await r.post(get("a"), get("b"))
            assert (["a"], set()) == (await r.secrets(), r.router.accounts())
            status = await r.status()
            assert (status.counts.batches, status.counts.reads, status.actor.unavailable) == (1, 1, 1)
            journal.failing = None
            assert BatchAnswer(2, 2, 1, {}) == await r.post(get("a"), get("b"))
            assert {o.key.name: o.count for o in (await r.pull()).observations} == {"a": 2, "b": 1}

    run(main)


def test_more_batches_than_may_wait_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by reads; senders of one batch as well."""
    monkeypatch.setattr("actors.store.writer.PENDING_BATCHES_MAX", 2)
    monkeypatch.setattr("actors.store.writer.PENDING_READS_MAX", 10)
    monkeypatch.setattr("actors.store.writer.JOINED_MAX", 1)

    async def main() -> None:
        journal = FailingJournal()
        journal.gate = trio.Event()
        refused = StoreUnavailable("too many batches are waiting to be written")
        async with rig(journal) as r, trio.open_nursery() as nursery:
            for name in "abc":  # a is being committed, b and c wait
                nursery.start_soon(r.post, get(name))
                await trio.testing.wait_all_tasks_blocked()
            assert (refused, refused) == (await r.post(get("d")), await r.post(get("b")))
            assert ((await r.status()).actor.refused, (await r.status()).actor.pending_batches) == (2, 2)
            journal.gate.set()
            await trio.testing.wait_all_tasks_blocked()
            journal.gate = trio.Event()
            nursery.start_soon(r.post, get("e"))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(r.post, *(get(f"f{i}") for i in range(30)))
            await trio.testing.wait_all_tasks_blocked()
            assert refused == await r.post(get("g"))
            journal.gate.set()

    run(main)


def test_time_alone_ends_observations_and_the_router_is_told() -> None:
    """At the end of each, with no other message."""

    async def main() -> None:
        async with rig() as r:
            other = Account("shop", "other")
            await r.post(get("a", at=T0 - 250), get("b", account=other, at=T0 - 200))
            first = await r.pull()
            r.router.accounts()
            await trio.sleep(49.9)
            assert r.router.accounts() == set()
            await trio.sleep(0.2)
            assert r.router.accounts() == {APP}
            assert (await r.pull(APP, first.epoch, first.version)).observations == ()
            assert AccountsChanged((other,)) == await r.ref.ask(LiveAccounts())
            await trio.sleep(50)
            assert r.router.accounts() == {other}
            assert (await r.status()).observations == 0

    run(main)


def test_many_that_end_at_once_end_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest follows at once."""
    monkeypatch.setattr("actors.store.actor.EXPIRE_STEP", 2)
    monkeypatch.setattr("actors.store.actor.EXPIRE_STEPS", 5)

    async def main() -> None:
        async with rig() as r:
            await r.post(*(get(f"s{i}") for i in range(95)))
            await trio.sleep(300.002)
            assert (await r.status()).observations == 0

    run(main)


def test_a_late_read_is_pulled_as_past_and_then_ended() -> None:
    """The pullers see it once."""

    async def main() -> None:
        async with rig() as r:
            assert BatchAnswer(2, 2, 1, {}) == await r.post(get("late", at=T0 - 400), get("now"))
            pulled = await r.pull()
            assert [o.live_until for o in pulled.observations if o.key.name == "late"] == [T0 - 100]
            await trio.sleep(10.1)
            ended = (await r.pull(APP, pulled.epoch, pulled.version)).ended
            assert ([key.name for key in ended], (await r.status()).counts.late) == (["late"], 1)

    run(main)


def test_a_router_that_cannot_listen_is_told_later() -> None:
    """Nothing is lost by it, and it is counted."""

    async def main() -> None:
        router = Router()
        router.refuse = MailboxFull("full")
        async with rig(router=router) as r:
            await r.post(get("a"))
            router.refuse = None
            await trio.sleep(1.1)
            assert ({APP}, 1) == (router.accounts(), (await r.status()).actor.publish_failures)

    run(main)


def test_a_pull_of_more_than_one_answer_holds_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the router is told again, for those who do not go on by themselves."""
    monkeypatch.setattr("actors.store.entries.PULL_MAX", 3)

    async def main() -> None:
        async with rig() as r:
            await r.post(*(get(f"s{i}") for i in range(7)))
            r.router.accounts()
            page = await r.pull()
            assert (True, 3, {APP}) == (page.more, len(page.observations), r.router.accounts())
            found = list(page.observations)
            while page.more:
                page = await r.pull(APP, page.epoch, page.version)
                assert not page.full
                found += page.observations
            assert {f"s{i}" for i in range(7)} == {o.key.name for o in found}

    run(main)


MESSAGES = ["RecordBatch", "Follow", "LiveAccounts", "FlipsAnnounced", "Announced", "_Tick", "_Look"]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_crash_at_any_message_loses_nothing(message: str) -> None:
    """The next incarnation has what was answered, says so to the router, and begins a new epoch."""

    async def main() -> None:
        async with rig() as r:
            answers = [await r.post(get("a"), watch(T0 - 5, open_s=60)), await r.post(get("a", at=T0 + 1))]
            await r.ref.ask(FlipsAnnounced(lit=("x",)))
            await trio.sleep(2)
            before, status = await r.pull(), await r.status()
            r.router.accounts()
            r.crash_at = message
            asks = {
                "RecordBatch": RecordBatch(batch(get("lost"))),
                "Follow": Follow(APP, 0, 0, Told()),
                "LiveAccounts": LiveAccounts(),
                "FlipsAnnounced": FlipsAnnounced(lit=("lost",)),
                "Announced": Announced(),
            }
            if message in asks:
                with pytest.raises(ActorCrashed):
                    await r.ref.ask(asks[message])
            else:
                await r.post(get("late", at=T0 - 400))  # makes a tick in ten seconds
                await trio.sleep(11)
            await trio.sleep(15)
            after = await r.pull()
            assert before.epoch != after.epoch
            if message in asks:
                now = await r.status()
                expected = (status.counts, status.last_batch_at, status.senders)
                assert expected == (now.counts, now.last_batch_at, now.senders)
            assert {o.key: (o.count, o.live_until) for o in before.observations} == {
                o.key: (o.count, o.live_until) for o in after.observations
            }
            assert APP in r.router.accounts()
            assert [a.duplicate for a in answers if isinstance(a, BatchAnswer)] == [False, False]
            again = await r.post(get("a"), watch(T0 - 5, open_s=60))
            assert isinstance(again, BatchAnswer)
            assert (again.duplicate, again.new) == (True, 2)
            assert AnnouncedKeys(frozenset({"x"})) == await r.ref.ask(Announced())

    run(main)


def test_a_crash_while_a_commit_is_under_way() -> None:
    """Its sender is told that there is no answer; what was written is known when it comes again."""

    async def main() -> None:
        journal = FailingJournal()
        async with rig(journal) as r, trio.open_nursery() as nursery:
            journal.gate = trio.Event()

            async def post() -> None:
                with pytest.raises(ActorCrashed):
                    await r.post(get("a"))

            nursery.start_soon(post)
            await trio.testing.wait_all_tasks_blocked()
            r.crash_at = "LiveAccounts"
            with pytest.raises(ActorCrashed):
                await r.ref.ask(LiveAccounts())
            await trio.sleep(1)
            journal.gate.set()
            assert BatchAnswer(1, 1, 1, {}) == await r.post(get("a"))

    run(main)


def test_a_batch_that_was_committed_in_a_crash_is_counted_once() -> None:
    """By the next incarnation, which finds it in the journal: counts and the time of the last batch are of the process."""

    class Crashing(MemoryJournal):
        async def append(self, records: Any) -> None:
            await super().append(records)
            if self._last_seq == 2:
                raise Crashed

    async def main() -> None:
        async with rig(Crashing()) as r:
            await r.post(get("a"), get("b", at=T0 - 400))
            await trio.sleep(5)
            with pytest.raises(ActorCrashed):
                await r.post(get("c"))
            await trio.sleep(1)
            status = await r.status()
            counts = status.counts
            assert (counts.batches, counts.reads, counts.new, counts.late) == (2, 3, 2, 1)
            assert status.last_batch_at == T0 + 5

    run(main)


def test_a_new_process_knows_when_the_last_batch_came(tmp_path: Path) -> None:
    """How long nothing was heard is known at once; what is counted begins anew."""

    async def main() -> None:
        heard = []
        for start in range(2):
            journal = SqliteJournal(tmp_path / "journal.db")
            async with rig(journal) as r:
                if start == 0:
                    await r.post(get("a", r.system.clock.now()), newest_at=r.system.clock.now() - 7)
                status = await r.status()
                heard.append((status.last_batch_at, status.lag_s))
                assert (status.counts.batches, len(status.senders)) == (1 - start, 1 - start)
            await journal.close()
        assert heard[0] == heard[1]
        assert heard[0][0] is not None

    run(main, real_time=True)


def test_chores_fold_records_into_rows_beside_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal stays small, and a crash in the midst of it comes back the same."""
    monkeypatch.setattr("actors.store.writer.FOLD_ROWS", 3)

    async def main() -> None:
        journal = MemoryJournal()
        journal.fold_reads = 10
        async with rig(journal) as r:
            for i in range(200):
                await r.post(get("same", at=r.system.clock.now()), get(f"s{i}", at=r.system.clock.now()), body=str(i))
                await trio.sleep(5)
            assert len(journal._unfolded) < 35
            assert journal.statistics().records < 185  # those of the last 900 s
            await trio.sleep(1)
            before = await r.pull()
            r.crash_at = "LiveAccounts"
            with pytest.raises(ActorCrashed):
                await r.ref.ask(LiveAccounts())
            after = await r.pull()
            assert {o.key: (o.count, o.first_seen, o.last) for o in before.observations} == {
                o.key: (o.count, o.first_seen, o.last) for o in after.observations
            }
            rows = (await r.ref.ask(HistoryQuery(APP))).rows
            assert (len(rows), next(row.count for row in rows if row.scope == Scope("shop", "same"))) == (201, 200)

    run(main)


def test_announcements_that_cannot_be_written_are_tried_again() -> None:
    """They are known at once, and durable later."""

    async def main() -> None:
        journal = FailingJournal()
        async with rig(journal) as r:
            journal.failing = "full"
            await r.ref.ask(FlipsAnnounced(lit=("a", "b")))
            await r.ref.ask(FlipsAnnounced(lit=("c",), dark=("a",)))
            await trio.sleep(2)
            assert AnnouncedKeys(frozenset("bc")) == await r.ref.ask(Announced())
            assert (frozenset(), True) == (
                (await journal.open()).announced,
                (await r.status()).actor.announce_failures > 0,
            )
            journal.failing = None
            await trio.sleep(7)
            assert frozenset("bc") == (await journal.open()).announced

    run(main)


def test_the_status_shows_senders_with_lag_and_skew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The latest last, at most so many."""
    monkeypatch.setattr("actors.store.senders.SENDERS_MAX", 2)

    async def main() -> None:
        async with rig() as r:
            assert (await r.status()).last_batch_at is None
            await r.post(get("a"), peer="gone")
            await r.post(get("b"), peer="behind", newest_at=T0 - 7)
            await r.post(get("c"), peer="ahead", newest_at=T0 + 3)
            status = await r.status()
            assert [(s.peer, s.lag_s, s.skew_s) for s in status.senders] == [("behind", 7.0, 0.0), ("ahead", 0.0, 3.0)]
            assert (
                status.last_batch_at,
                status.lag_s,
                status.actor.senders_replaced,
                status.observations,
            ) == (T0, 0.0, 1, 3)

    run(main)


def test_over_capacity_evictions_are_counted() -> None:
    """And the window stays within its bound."""

    async def main() -> None:
        async with rig(capacity=5) as r:
            await r.post(*(get(f"s{i}", at=T0 - i) for i in range(8)))
            status = await r.status()
            assert (status.observations, status.capacity, status.counts.evicted) == (5, 5, 3)
            assert await r.secrets() == ["s0", "s1", "s2", "s3", "s4"]

    run(main)


def test_with_a_file_a_new_process_has_what_the_last_one_answered(tmp_path: Path) -> None:
    """Observations, digests, announcements; a stop finishes what has begun."""

    async def main() -> None:
        for start in range(2):
            journal = SqliteJournal(tmp_path / "journal.db")
            async with rig(journal) as r:
                now = r.system.clock.now()
                answer = await r.post(get("a", now), get("b", now), watch(now - 5, open_s=3000), body="the same")
                assert isinstance(answer, BatchAnswer)
                assert (start == 1, 3) == (answer.duplicate, answer.new)
                assert await r.secrets() == ["", "a", "b"]
                if start == 0:
                    await r.ref.ask(FlipsAnnounced(lit=("x",)))
                else:
                    assert AnnouncedKeys(frozenset({"x"})) == await r.ref.ask(Announced())
            await journal.close()

    run(main, real_time=True)


def test_the_doctors_event_is_counted_and_is_nobody_heard() -> None:
    """Also after a restart, and beside it a batch of an API server's is heard all the same."""

    async def main() -> None:
        async with rig() as r:
            answer = await r.post(body="probe", events=1, dropped={"probe": 1}, peer="doctor")
            assert isinstance(answer, BatchAnswer)
            status = await r.status()
            assert (answer.dropped, status.counts.dropped) == ({"probe": 1}, {"probe": 1})
            assert (status.last_batch_at, status.senders) == (None, ())
            await r.post(body="both", events=2, dropped={"probe": 1, "denied": 1}, peer="server")
            assert [sender.peer for sender in (await r.status()).senders] == ["server"]

    run(main)


def test_a_first_read_is_told_once_history_reaches_back_as_far_as_is_set() -> None:
    """PROTECTOR_FIRST_READ_AFTER_S at another value than its own: not before it, from then on, and once."""

    async def main() -> None:
        async with rig(first_read_after_s=100.0) as r:
            await r.post(get("a"))
            await trio.sleep(50)
            await r.post(get("b", at=T0 + 50))
            await trio.sleep(60)
            await r.post(get("c", at=T0 + 110), get("a", at=T0 + 110))
            found = {o.last.scope.name: o.first_read for o in (await r.pull()).observations}
            assert found == {"a": False, "b": False, "c": True}

    run(main)
