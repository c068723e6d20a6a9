"""Reports of pods that are not known yet: they wait, bounded in number and time, and are taken in when the pod appears."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio_run import run

from actors.behaviors import ActsWindow, BehaviorsActor
from actors.behaviors.waiting import WaitingRoom
from actors.cluster.records import Pod
from actors.evidence import Alert, BehaviorObservation
from actors.messages import ActsMoved, BehaviorsAnswer, FoundPods, PodsNamed, TakeBehaviors
from actors.runtime import ActorDead, ActorRef, Child, System, VirtualClock, open_system

NOW = 1_700_000_000.0


class World:
    """As much of the cluster and of the engine as the behaviors' actor needs."""

    def __init__(self) -> None:
        self.pods: list[Pod] = []
        self.synced = True
        self.asked = self.told = 0
        self.dead = False

    async def ask(self, message: PodsNamed, *, timeout_s: float) -> FoundPods:
        assert timeout_s > 0
        self.asked += 1
        if self.dead:
            raise ActorDead("cluster")
        by_uid = {pod.uid: pod for pod in self.pods}
        by_name = {(pod.namespace, pod.name): pod for pod in self.pods}
        return FoundPods(tuple(map(by_uid.get, message.uids)), tuple(map(by_name.get, message.names)), self.synced)

    def tell(self, message: ActsMoved) -> None:
        assert isinstance(message, ActsMoved)
        self.told += 1


class Rig:
    """The actor in a system of its own, on a virtual clock."""

    def __init__(self, system: System, window: ActsWindow, world: World) -> None:
        self.system = system
        self.window = window
        self.world = world
        self.ref: ActorRef = system.ref("/test/behaviors")

    async def report(self, *observations: dict[str, Any]) -> BehaviorsAnswer:
        body = json.dumps(observations).encode()
        answer: BehaviorsAnswer = await self.ref.ask(TakeBehaviors(body, False, self.system.clock.now()), timeout_s=5)
        return answer

    def acts(self) -> list[tuple[str, str]]:
        return [(act.pod, act.attribution.value) for act in self.window.changes_since(0).acts]


@asynccontextmanager
async def rig(crash_at: Callable[[Any], bool] = lambda _: False) -> AsyncIterator[Rig]:
    window, world = ActsWindow(), World()

    def intercept(_path: str, message: Any) -> None:
        if crash_at(message):
            raise RuntimeError("made up")

    async with open_system("test", clock=VirtualClock(start_at=NOW), intercept=intercept) as system:
        await system.start(Child("behaviors", BehaviorsActor, args=(window, world, world)))
        yield Rig(system, window, world)
        system.stop()


def alert(**who: str) -> dict[str, Any]:
    return who | {"behavior": {"kind": "alert", "rule": "Shell"}}


def test_a_report_is_taken_in_when_its_pod_appears(pod) -> None:
    """By uid and by name alike; until then it is answered as `unknown_pod` and counted nowhere but as waiting."""

    async def main() -> None:
        async with rig() as r:
            answer = await r.report(alert(pod_uid="uid-web-1"), alert(namespace="app", pod="web-2"), alert(pod_uid="x"))
            assert (answer.taken, answer.dropped) == (0, {"unknown_pod": 3})
            counts = r.window.statistics()
            assert (counts.dropped, counts.waiting.waiting, r.acts()) == ({}, 3, [])
            r.world.pods = [pod("web-1"), pod("web-2")]
            await trio.sleep(2)
            assert r.acts() == [("web-1", "exact"), ("web-2", "named")]
            assert r.world.told == 2  # at its start, and now
            counts = r.window.statistics()
            assert (counts.waiting.waiting, counts.waiting.resolved, counts.taken) == (1, 2, 2)

    run(main)


def test_what_waits_too_long_is_given_up_and_the_cluster_is_left_alone(pod) -> None:
    """30 s; then it counts as dropped, and nobody asks any more."""

    async def main() -> None:
        async with rig() as r:
            await r.report(alert(pod_uid="uid-web-1"))
            await trio.sleep(35)
            counts = r.window.statistics()
            assert (counts.dropped, counts.waiting.waiting, counts.waiting.overflowed) == ({"unknown_pod": 1}, 0, 0)
            asked = r.world.asked
            r.world.pods = [pod("web-1")]
            await trio.sleep(60)
            assert (r.world.asked, r.acts()) == (asked, [])

    run(main)


def test_before_the_cluster_is_read_a_report_waits_as_long_as_it_is_live(pod) -> None:
    """A large cluster may take minutes to list; what is past its TTL by then is late."""

    async def main() -> None:
        async with rig() as r:
            r.world.synced = False
            await r.report(alert(pod_uid="uid-web-1"))
            await trio.sleep(200)
            await r.report(alert(pod_uid="uid-web-2"))
            await trio.sleep(150)
            r.world.pods, r.world.synced = [pod("web-1"), pod("web-2")], True
            await trio.sleep(2)
            assert (r.acts(), r.window.statistics().dropped) == ([("web-2", "exact")], {"late": 1})

    run(main)


def test_a_cluster_that_starts_again_and_a_crash_of_its_own_lose_nothing(pod) -> None:
    """The next look asks again; what waits outlives the actor."""
    crashes = [True]

    def once(message: Any) -> bool:
        return type(message).__name__ == "_Look" and bool(crashes) and crashes.pop()

    async def main() -> None:
        async with rig(once) as r:
            await r.report(alert(pod_uid="uid-web-1"))
            r.world.dead = True
            await trio.sleep(5)
            assert crashes == []
            r.world.dead, r.world.pods = False, [pod("web-1")]
            await trio.sleep(5)
            assert r.acts() == [("web-1", "exact")]

    run(main)


def test_the_oldest_makes_room() -> None:
    """Counted; it is given up, as what is too old is."""
    room = WaitingRoom(waiting_max=2, wait_s=30)
    for number in range(5):
        room.add(BehaviorObservation(behavior=Alert("x"), pod_uid=str(number)), NOW + number)
    assert [each.observation.pod_uid for each in room] == ["3", "4"]
    (known,) = room.take(NOW + 33.5, lambda seen: seen.pod_uid == "4", patient=False)
    assert (known.observation.pod_uid, known.received_at) == ("4", NOW + 4)
    counts = room.statistics()
    assert (counts.waiting, counts.resolved, counts.given_up, counts.overflowed) == (0, 1, 4, 3)
