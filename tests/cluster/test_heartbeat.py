"""The heartbeat: quiet is told from blind, a lag is measured, and nobody else's request counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from live_kit import play

from actors.cluster.live.access import ApiAccess
from actors.cluster.live.heartbeat import (
    BEAT_S,
    BLIND_AFTER_S,
    FIRST_S,
    HeartbeatActor,
    HeartbeatQuery,
    HeartbeatState,
    HeartbeatStatus,
)
from actors.messages import HEARTBEAT_PREFIX, HeartbeatsReturned
from actors.runtime import Child, System, VirtualClock, open_system
from actors.testing.kube import FakeKube


class Beating:
    """A heartbeat against a fake API server that denies."""

    def __init__(self, system: System, kube: FakeKube) -> None:
        self.system, self.kube = system, kube
        self.heartbeat: Any = system.ref("/t/heartbeat")

    @property
    def names(self) -> list[str]:
        """What was asked for, in order."""
        return [request.path.rpartition("/")[2] for request in self.kube.requests]

    def bring_back(self, *names: str, peer: str = "192.0.2.1") -> None:
        """Their events arrive."""
        self.heartbeat.tell(HeartbeatsReturned(names, self.system.clock.now(), peer))

    async def status(self) -> HeartbeatStatus:
        return await self.heartbeat.ask(HeartbeatQuery(), timeout_s=5)


def beat(story: Callable[[Beating], Awaitable[Any]], user: str = "system:serviceaccount:protector:protector") -> None:
    """Let it beat while the story is told."""

    async def main() -> None:
        kube = FakeKube(user=user)
        kube.forbidden.add(("get", "secrets"))
        async with trio.open_nursery() as nursery:
            url = await nursery.start(kube.serve)
            async with open_system("t", clock=VirtualClock(), seed=1) as system:
                await system.start(Child("heartbeat", HeartbeatActor, (ApiAccess(url, namespace="protector"),)))
                await story(Beating(system, kube))
            nursery.cancel_scope.cancel()

    play(main)


def test_what_comes_back_proves_that_the_feed_is_alive() -> None:
    """Asked once a minute, each time by another name, in its own namespace; the lag is from end to end."""

    async def story(b: Beating) -> None:
        await trio.sleep(FIRST_S + 1)
        assert (await b.status()).state is HeartbeatState.WAITING
        await trio.sleep(2)
        b.bring_back(b.names[0])
        status = await b.status()
        assert (status.state, status.sent, status.returned) == (HeartbeatState.ALIVE, 1, 1)
        assert 2.9 < status.lag_s < 3.2
        assert list(status.peers) == ["192.0.2.1"]
        await trio.sleep(2 * BEAT_S)
        assert len(set(b.names)) == 3
        assert all(name.startswith(HEARTBEAT_PREFIX) for name in b.names)
        assert {r.path.rpartition("/")[0] for r in b.kube.requests} == {"/api/v1/namespaces/protector/secrets"}

    beat(story)


def test_what_does_not_come_back_is_blindness() -> None:
    """Never, or no more: after BLIND_AFTER_S it says so; with the next that comes back it is over."""

    async def story(b: Beating) -> None:
        await trio.sleep(BLIND_AFTER_S + BEAT_S)
        status = await b.status()
        assert status.state is HeartbeatState.BLIND
        assert "did not come back" in status.why
        b.bring_back(b.names[-1])
        assert (await b.status()).state is HeartbeatState.ALIVE
        await trio.sleep(BLIND_AFTER_S + BEAT_S)
        assert (await b.status()).state is HeartbeatState.BLIND

    beat(story)


def test_nobody_else_can_beat() -> None:
    """A name that was not asked for, and one that came twice, count for nothing."""

    async def story(b: Beating) -> None:
        await trio.sleep(FIRST_S + 1)
        b.bring_back(HEARTBEAT_PREFIX + "0" * 24)
        assert (await b.status()).returned == 0
        b.bring_back(b.names[0], b.names[0])
        b.bring_back(b.names[0])
        assert (await b.status()).returned == 1

    beat(story)


def test_a_credential_that_proves_nothing_says_so() -> None:
    """One that may read Secrets, and one that is no ServiceAccount's."""

    async def allowed(b: Beating) -> None:
        b.kube.forbidden.clear()
        await trio.sleep(FIRST_S + 1)
        status = await b.status()
        assert (status.state, "may read Secrets" in status.why) == (HeartbeatState.UNUSABLE, True)

    async def person(b: Beating) -> None:
        await trio.sleep(FIRST_S + 1)
        status = await b.status()
        assert (status.state, "ServiceAccount" in status.why) == (HeartbeatState.UNUSABLE, True)

    beat(allowed)
    beat(person, user="jane")


def test_an_api_server_that_is_away_is_not_blindness() -> None:
    """It is said as it is, and the next beat tries again."""

    async def story(b: Beating) -> None:
        b.kube.down()
        await trio.sleep(FIRST_S + 1)
        assert (await b.status()).state is HeartbeatState.UNREACHABLE

    beat(story)
