"""How often an account's actor looks at evidence again when its pods keep changing: in virtual time, by itself."""

from __future__ import annotations

from typing import Any

import trio
from trio_run import run

from actors.attribution import AccountActor
from actors.attribution.account import LOOK_STEP, LOOKED_PER_S
from actors.evidence import Account, Attribution
from actors.messages import AccountPods, EvidenceChanged, PodsOf, Refresh
from actors.runtime import Actor, Child, VirtualClock, open_system

READER = Account("app", "reader")
UNCLAIMED = 4 * LOOK_STEP
CHANGES = 40
EVERY_S = 0.01


class Cluster(Actor):
    """One pod more with each question; what changed since the one before."""

    def __init__(self, a: Any, asked: list[PodsOf]) -> None:
        self.a = a
        self.asked = asked

    async def on_receive(self, message: Any) -> Any:
        self.asked.append(message)
        number = len(self.asked)
        pod = self.a.pod(f"web-{number}", f"w-{number:03}")
        return AccountPods(READER, (pod,), 1, number, full=number == 1)


class Seen(Actor):
    """Keeps what it is told, and when."""

    def __init__(self, seen: list[tuple[float, Any]]) -> None:
        self.seen = seen

    async def on_receive(self, message: Any) -> Any:
        self.seen.append((self.context.clock.now(), message))


def played(a: Any, claims: list[Any]) -> tuple[list[PodsOf], list[tuple[float, EvidenceChanged]], float]:
    """Questions to the cluster, what the engine heard after the start and when, and when the pods stopped changing."""
    asked: list[PodsOf] = []
    heard: list[tuple[float, Any]] = []
    reads = [a.observation(name=f"s-{n}", claim=claim) for n, claim in enumerate(claims)]

    async def main() -> float:
        async with open_system("t", clock=VirtualClock(start_at=a.now)) as system:
            await system.start(
                Child("store", Seen, ([],)),
                Child("cluster", Cluster, (a, asked)),
                Child("engine", Seen, (heard,)),
                Child("account", AccountActor, (READER, *map(system.ref, ("/t/store", "/t/cluster", "/t/engine")))),
            )
            account = system.ref("/t/account")
            account.tell(a.changes(*reads, full=True))
            await trio.sleep(EVERY_S)
            heard.clear()
            for _ in range(CHANGES):
                account.tell(Refresh(pods_changed=True))
                await trio.sleep(EVERY_S)
            stopped: float = trio.current_time() + a.now
            await trio.sleep(5)
            system.stop()
            return stopped

    stopped = run(main)
    return asked, [each for each in heard if isinstance(each[1], EvidenceChanged)], stopped


def test_evidence_without_a_claim_is_looked_at_at_its_pace_and_is_right_in_the_end(a: Any) -> None:
    """Each change is about all of it; however often they come, so many pieces a second are looked at and no more, in small steps."""
    asked, heard, stopped = played(a, [None] * UNCLAIMED)
    assert len(asked) == 1 + CHANGES
    assert all(len(message.evidence) <= LOOK_STEP for _, message in heard)
    first = heard[0][0]
    for at, _ in heard:
        looked = sum(len(message.evidence) for when, message in heard if when <= at)
        assert (
            looked <= (at - first) * LOOKED_PER_S + LOOK_STEP + 1
        )  # epoch seconds are good for a quarter of a microsecond
    told = {e.observation.key: e for _, message in heard for e in message.evidence}
    assert {len(e.workloads) for e in told.values()} == {1 + CHANGES}
    assert len(told) == UNCLAIMED
    assert heard[-1][0] - stopped <= 2 * UNCLAIMED / LOOKED_PER_S + EVERY_S


def test_evidence_that_claims_a_pod_does_not_wait(a: Any) -> None:
    """A read of a pod that comes later is attributed with the change that brings it, while other evidence waits for its turn."""
    late = [a.claim(f"web-{n}") for n in range(2, 2 + CHANGES)]
    _, heard, _ = played(a, [*late, *([None] * UNCLAIMED)])
    found = {
        e.pods[0]: at for at, message in reversed(heard) for e in message.evidence if e.attribution is Attribution.EXACT
    }
    assert sorted(found) == sorted(f"web-{n}" for n in range(2, 2 + CHANGES))
    begun = min(found.values())
    for number in range(2, 2 + CHANGES):
        assert found[f"web-{number}"] - begun <= (number - 2) * EVERY_S + EVERY_S / 2
