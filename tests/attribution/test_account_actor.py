"""The account's actor towards the store: what it takes in, what it asks for again, what becomes one in its mailbox."""

from __future__ import annotations

from typing import Any

import trio
from trio_run import run

from actors.attribution import AccountActor
from actors.evidence import Account
from actors.messages import AccountChanges, AccountPods, EvidenceChanged, Follow, PodsOf, Refresh
from actors.runtime import Actor, Child, VirtualClock, open_system

READER = Account("app", "reader")


class Seen(Actor):
    """Keeps what it is told; answers PodsOf."""

    def __init__(self, seen: list[Any], pods: AccountPods) -> None:
        self.seen = seen
        self.pods = pods

    async def on_receive(self, message: Any) -> Any:
        self.seen.append(message)
        return self.pods if isinstance(message, PodsOf) else None


def played(a: Any, *steps: Any) -> tuple[list[Any], list[Any]]:
    """What the store and the engine hear when the actor is told these, one after the other and each worked off."""
    to_store: list[Any] = []
    to_engine: list[Any] = []
    pods = a.pods(a.pod())

    async def main() -> None:
        async with open_system("t", clock=VirtualClock(start_at=a.now)) as system:
            await system.start(
                Child("store", Seen, (to_store, pods)),
                Child("cluster", Seen, ([], pods)),
                Child("engine", Seen, (to_engine, pods)),
                Child("account", AccountActor, (READER, *map(system.ref, ("/t/store", "/t/cluster", "/t/engine")))),
            )
            for step in steps:
                for message in step if isinstance(step, list) else [step]:
                    system.ref("/t/account").tell(message)
                await trio.sleep(0.001)
            system.stop()

    run(main)
    return to_store, to_engine


def changes(a: Any, name: str, since: int, version: int, *, full: bool = False) -> AccountChanges:
    return AccountChanges(READER, 1, version, full, (a.observation(name=name),), since=since)


def test_it_follows_once_and_takes_in_what_comes(a: Any) -> None:
    """From the beginning; what follows on one another needs no further question."""
    store, engine = played(a, changes(a, "x", 0, 3, full=True), changes(a, "y", 3, 4), changes(a, "z", 4, 5))
    assert [(m.epoch, m.version) for m in store if isinstance(m, Follow)] == [(0, 0)]
    sent = [m for m in engine if isinstance(m, EvidenceChanged)]
    assert [m.full for m in sent] == [True, False, False]
    assert [[e.observation.key.name for e in m.evidence] for m in sent] == [["x"], ["y"], ["z"]]


def test_after_a_gap_it_follows_again_from_where_it_is(a: Any) -> None:
    """What begins later, or earlier, than its own place is not taken in."""
    store, engine = played(a, changes(a, "x", 0, 3, full=True), changes(a, "y", 7, 8), changes(a, "z", 2, 9))
    assert [(m.epoch, m.version) for m in store if isinstance(m, Follow)] == [(0, 0), (1, 3), (1, 3)]
    assert [[e.observation.key.name for e in m.evidence] for m in engine] == [["x"]]


def test_changes_that_wait_become_one(a: Any) -> None:
    """Those that follow on one another; the engine is told once."""
    _, engine = played(a, changes(a, "x", 0, 3, full=True), [changes(a, "y", 3, 4), changes(a, "z", 4, 6)])
    assert [[e.observation.key.name for e in m.evidence] for m in engine] == [["x"], ["y", "z"]]


def test_changes_that_do_not_follow_on_one_another_do_not_become_one(a: Any) -> None:
    """The newer one stays; it says everything since its own beginning."""
    _, engine = played(a, changes(a, "x", 0, 3, full=True), [changes(a, "y", 3, 4), changes(a, "z", 3, 6)])
    assert [[e.observation.key.name for e in m.evidence] for m in engine] == [["x"], ["z"]]


def test_a_refresh_of_the_router_makes_it_follow_again(a: Any) -> None:
    """The router says so where the store has no follower of the account."""
    store, _ = played(a, changes(a, "x", 0, 3, full=True), Refresh())
    assert [(m.epoch, m.version) for m in store if isinstance(m, Follow)] == [(0, 0), (1, 3)]
