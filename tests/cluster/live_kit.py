"""One kind followed from a fake API server over real sockets, or a whole cluster's actor fed by it.

The clock jumps when nothing has moved for IDLE_S: pauses between tries cost nothing, and what is on its way in the loopback
device arrives before. Both ends live in this process, so a stop of the process stops both.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import trio
from trio.testing import MockClock

from actors.cluster.actor import ClusterActor
from actors.cluster.feeds import Feeds
from actors.cluster.keeper import KeeperActor
from actors.cluster.kept import KeptCluster
from actors.cluster.keys import identity
from actors.cluster.live.access import ApiAccess
from actors.cluster.live.client import ApiClient
from actors.cluster.live.follow import Follower
from actors.cluster.live.kinds import WATCHED, WatchedKind
from actors.cluster.live.statistics import Counts
from actors.cluster.live.watcher import LiveSource, watchers
from actors.cluster.model import ClusterModel
from actors.cluster.queries import ClusterStatus, ClusterStatusQuery, SourceState
from actors.cluster.raw import Decoded
from actors.messages import ClusterChanges, ClusterSince
from actors.runtime import Actor, Child, System, SystemClock, VirtualClock, open_system
from actors.testing.kube import FakeKube

T = TypeVar("T")

IDLE_S = 0.05
BY_KIND = {kind.kind: kind for kind in WATCHED}


def play(main: Callable[[], Awaitable[T]], *, real_time: bool = False) -> T:
    """What `main()` returns. `real_time`: where threads work beside, for which the clock must not jump."""
    return trio.run(main, clock=None if real_time else MockClock(autojump_threshold=IDLE_S))


class Heard:
    """A sink that knows what is there, as the cluster's actor would."""

    def __init__(self) -> None:
        self.there: dict[Any, Decoded] = {}
        self.moves: list[tuple[list[str], list[str]]] = []
        self.states: list[tuple[SourceState, str]] = []
        self.lists = 0
        self._seen: dict[Any, Decoded] | None = None
        self._changed = trio.Event()

    async def begin(self) -> None:
        self._seen = {}

    async def move(self, upserted: Sequence[Decoded], removed: Sequence[Decoded]) -> None:
        named = [[str(identity(each)) for each in part] for part in (upserted, removed)]
        self.moves.append((named[0], named[1]))
        for each in upserted:
            self.there[identity(each)] = each
            if self._seen is not None:
                self._seen[identity(each)] = each
        for each in removed:
            self.there.pop(identity(each), None)
        self._note()

    async def end(self) -> None:
        self.there, self._seen = self._seen or {}, None
        self.lists += 1
        self._note()

    def heard(self, state: SourceState, why: str = "") -> None:
        self.states.append((state, why))
        self._note()

    def names(self) -> set[str]:
        """Identities of what is there."""
        return {str(key) for key in self.there}

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds."""
        while not condition():
            await self._changed.wait()

    def _note(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class Following:
    """A follower at work."""

    def __init__(self, kube: FakeKube, heard: Heard, counts: Counts) -> None:
        self.kube, self.heard, self.counts = kube, heard, counts


def follow(kind: str, story: Callable[[Following], Awaitable[Any]], kube: FakeKube | None = None) -> Following:
    """Follow this kind while the story is told; within an hour of virtual time."""
    kube, counts = kube or FakeKube(), Counts()

    async def main() -> Following:
        heard = Heard()
        following = Following(kube, heard, counts)
        with trio.fail_after(3600):
            async with trio.open_nursery() as nursery:
                url = await nursery.start(kube.serve)
                client = ApiClient(ApiAccess(url))
                limiter = trio.CapacityLimiter(1)
                nursery.start_soon(Follower(BY_KIND[kind], client, heard, random.Random(1), limiter, counts).run)
                await story(following)
                nursery.cancel_scope.cancel()
            await client.close()
        return following

    return play(main)


class Deaf(Actor):
    """Stands for the router and the engine."""

    async def on_receive(self, message: Any) -> None:
        """Takes everything."""


class LiveCluster:
    """The cluster's actor, fed by a fake API server."""

    def __init__(self, system: System, kube: FakeKube, model: ClusterModel) -> None:
        self.system, self.kube, self.model = system, kube, model
        self.path: Any = None
        self.cluster: Any = system.ref("/t/cluster")

    async def status(self) -> ClusterStatus:
        """What pages and metrics see."""
        return await self.cluster.ask(ClusterStatusQuery(), timeout_s=5)

    async def changes(self) -> ClusterChanges:
        """Everything there is."""
        return await self.cluster.ask(ClusterSince(0, 0), timeout_s=5)

    async def until(self, condition: Callable[[ClusterStatus], bool], most_s: float = 20.0) -> ClusterStatus:
        """Wait until the status is so; looked at after (virtual) pauses that grow."""
        pause_s = 0.05
        while not condition(status := await self.status()):
            await trio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, most_s)
        return status


def watch_all(
    story: Callable[[LiveCluster], Awaitable[Any]],
    kube: FakeKube | None = None,
    kinds: tuple[WatchedKind, ...] = WATCHED,
    intercept: Callable[[str, Any], None] | None = None,
    kept: KeptCluster | None = None,
) -> LiveCluster:
    """Watch all of the fake cluster while the story is told; `kept`: what outlives the process."""
    kube, model = kube or FakeKube(), ClusterModel()

    async def main() -> LiveCluster:
        with trio.fail_after(3600):
            async with trio.open_nursery() as nursery:
                url = await nursery.start(kube.serve)
                source = LiveSource(ApiAccess(url), kinds, counts={})
                async with open_system(
                    "t", clock=VirtualClock() if kept is None else SystemClock(), intercept=intercept, seed=1
                ) as system:
                    await system.start(Child("deaf", Deaf))
                    deaf = system.ref("/t/deaf")
                    await system.start(
                        Child("cluster", ClusterActor, (model, (), deaf, deaf, Feeds(source.names), kept))
                    )
                    await system.start(watchers(source, system.ref("/t/cluster")))
                    if kept is not None:
                        await system.start(Child("keeper", KeeperActor, (kept, system.ref("/t/cluster"))))
                    live = LiveCluster(system, kube, model)
                    await story(live)
                nursery.cancel_scope.cancel()
        return live

    return play(main, real_time=kept is not None)
