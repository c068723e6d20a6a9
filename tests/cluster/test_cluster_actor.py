"""The cluster's actor answers for the model, tells who must ask, and loses nothing when it crashes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from kube_objects import decoded, pod, role, snapshot
from trio_run import run

from actors.cluster.actor import TICK_S, ClusterActor
from actors.cluster.model import ClusterModel
from actors.cluster.queries import ClusterStatusQuery, KindStatus, ObjectsMoved
from actors.cluster.raw import Snapshot
from actors.evidence import Account
from actors.messages import AccountPods, ClusterMoved, ClusterSince, PodsChanged, PodsOf
from actors.runtime import Actor, ActorRef, Child, System, VirtualClock, open_system

APP = Account("app", "default")


class Listener(Actor):
    """Keeps what it is told."""

    def __init__(self, heard: list[Any]) -> None:
        super().__init__()
        self.heard = heard

    async def on_receive(self, message: Any) -> None:
        self.heard.append(message)


class CrashError(Exception):
    """Thrown into the actor by a test."""


def with_cluster(
    test: Callable[[ActorRef, list[Any], System], Awaitable[None]], *shots: Snapshot, crash_on: type | None = None
) -> ClusterModel:
    """Run `test(cluster, heard, system)` with a cluster that tells one list of what it says; it crashes once on `crash_on`."""
    model, heard, crashed = ClusterModel(), list[Any](), list[str]()

    def intercept(path: str, message: Any) -> None:
        if crash_on is not None and isinstance(message, crash_on) and path.endswith("/cluster") and not crashed:
            crashed.append(path)
            raise CrashError

    async def main() -> None:
        async with open_system("t", clock=VirtualClock(start_at=1000.0), intercept=intercept) as system:
            await system.start(Child("listener", Listener, (heard,)))
            listener = system.ref("/t/listener")
            await system.start(Child("cluster", ClusterActor, (model, shots, listener, listener)))
            await test(system.ref("/t/cluster"), heard, system)

    run(main)
    return model


def test_it_answers_and_announces() -> None:
    """After the start: pods of an account, all changes, and both listeners told once."""

    async def test(cluster: ActorRef, heard: list[Any], _: System) -> None:
        answer = await cluster.ask(PodsOf(APP), timeout_s=1)
        changes = await cluster.ask(ClusterSince(0, 0), timeout_s=1)
        assert isinstance(answer, AccountPods)
        assert ([each.name for each in answer.pods], changes.full, len(changes.records), changes.synced) == (
            ["p"],
            True,
            1,
            True,
        )
        await trio.sleep(3 * TICK_S)
        assert [PodsChanged((APP,)), ClusterMoved()] == heard

    with_cluster(test, snapshot(pod("p")))


def test_status() -> None:
    """Counts by kind with the age of the file."""

    async def test(cluster: ActorRef, _heard: list[Any], _: System) -> None:
        await trio.sleep(60)
        status = await cluster.ask(ClusterStatusQuery(), timeout_s=1)
        assert {"Pod": KindStatus(1, True, 60.0)} == status.objects

    with_cluster(test, snapshot(pod("p")))


def test_a_source_moves_objects() -> None:
    """What a watching source tells is taken, is valid since now, and is announced; in the end it is forgotten."""

    async def test(cluster: ActorRef, heard: list[Any], _: System) -> None:
        first = await cluster.ask(ClusterSince(0, 0), timeout_s=1)
        heard.clear()
        await cluster.ask(ObjectsMoved((decoded(role("r", [])), decoded(pod("q"))), (decoded(pod("p")),)), timeout_s=1)
        found = (await cluster.ask(ClusterSince(first.epoch, first.version), timeout_s=1)).records
        assert [each.valid_from for each in found if hasattr(each, "valid_from")] == [1000.0]
        assert [PodsChanged((APP,)), ClusterMoved()] == heard
        await trio.sleep(600 + 2 * TICK_S)
        assert [each.name for each in (await cluster.ask(PodsOf(APP), timeout_s=1)).pods] == ["q"]
        assert [PodsChanged((APP,)), ClusterMoved()] * 2 == heard

    with_cluster(test, snapshot(pod("p")))


def test_a_crash_loses_nothing() -> None:
    """The model outlives the actor; after a restart everybody is told to ask anew and gets everything."""

    async def test(cluster: ActorRef, heard: list[Any], _: System) -> None:
        first = await cluster.ask(ClusterSince(0, 0), timeout_s=1)
        cluster.tell(ObjectsMoved((decoded(pod("q")),)))
        heard.clear()
        await trio.sleep(1)
        again = await cluster.ask(ClusterSince(first.epoch, first.version), timeout_s=1)
        assert (True, [PodsChanged((APP,)), ClusterMoved()]) == (again.full, heard)
        assert [each.name for each in again.records] == ["p"]

    with_cluster(test, snapshot(pod("p")), crash_on=ObjectsMoved)


def test_without_snapshots_it_is_never_in_sync() -> None:
    """PROTECTOR_CLUSTER=none: it answers, with nothing, and says that it does not know."""

    async def test(cluster: ActorRef, _heard: list[Any], _: System) -> None:
        changes = await cluster.ask(ClusterSince(0, 0), timeout_s=1)
        assert (changes.synced, changes.records) == (False, ())

    with_cluster(test)
