"""Races under seeded schedules: whatever the interleaving, every message is handled, refused, or a dead letter; exactly one of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio._core import _run as trio_run_module
from trio_run import run

from actors.runtime import (
    Actor,
    ActorDead,
    Backoff,
    Child,
    DynamicSpec,
    MailboxFull,
    SupervisorSpec,
    VirtualClock,
    open_system,
)

SEEDS = 60
DISTINCT_MIN = 40


@pytest.fixture
def scheduled(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes Trio's scheduler draw its order from a seed."""
    assert hasattr(trio_run_module, "_ALLOW_DETERMINISTIC_SCHEDULING"), "this Trio cannot be scheduled from a seed"
    monkeypatch.setattr(trio_run_module, "_ALLOW_DETERMINISTIC_SCHEDULING", True)

    def seed(number: int) -> None:
        trio_run_module._r.seed(number)

    return seed


class Tally(Actor):
    """Handles, and now and then crashes."""

    def __init__(self, trace: list[Any]) -> None:
        self.trace = trace

    async def on_receive(self, message: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if message == ("a", 3):
            raise ValueError
        self.trace.append(message)
        return message


async def pause(rng: random.Random) -> None:
    """Let others run, a few times."""
    for _ in range(rng.randint(1, 4)):
        await trio.lowlevel.checkpoint()


def check(scheduled: Callable[[int], None], scenario: Callable[[list[Any], random.Random], Any]) -> None:
    """Run a scenario under every seed: enough distinct traces, and the same trace for the same seed."""
    traces = []
    for seed in range(SEEDS):
        pair = []
        for _ in range(2):
            scheduled(seed)
            trace: list[Any] = []
            run(scenario, trace, random.Random(seed))
            pair.append(tuple(trace))
        assert pair[0] == pair[1]
        traces.append(pair[0])
    assert len(set(traces)) >= DISTINCT_MIN


@pytest.mark.slow
def test_put_against_stop_and_crash(scheduled) -> None:
    """Tells, asks and a stop race, over a crash and its restart; nothing is lost silently, nobody waits for ever."""

    async def scenario(trace: list[Any], rng: random.Random) -> None:
        outcome: dict[Any, str] = {}

        async with open_system("s", clock=VirtualClock(), seed=7) as system:
            await system.start(SupervisorSpec("g", (Child("t", Tally, (trace,)),), backoff=Backoff(base_s=0.0)))
            ref = system.ref("/s/g/t")
            sent = 0

            async def tell(name: str) -> None:
                nonlocal sent
                for number in range(8):
                    await pause(rng)
                    try:
                        ref.tell((name, number))
                        sent += 1
                    except ActorDead:
                        outcome[(name, number)] = "refused"

            async def ask(name: str) -> None:
                for number in range(4):
                    try:
                        assert (name, number) == await ref.ask((name, number))
                        outcome[(name, number)] = "answered"
                    except ActorDead:
                        outcome[(name, number)] = "dead"

            async def stop() -> None:
                for _ in range(6):
                    await pause(rng)
                assert await ref.stop()

            async with trio.open_nursery() as nursery:
                for name in "ab":
                    nursery.start_soon(tell, name)
                for name in "xyz":
                    nursery.start_soon(ask, name)
                nursery.start_soon(stop)
            handled = [message for message in trace if message[0] in "ab"]
            assert len(set(trace)) == len(trace)
            dead = sum(1 for letter in system.dead_letters)
            assert sent == len(handled) + dead
            assert all(outcome[message] == "answered" for message in trace if message[0] in "xyz")
            assert sum(1 for key in outcome if key[0] in "xyz") == 12
            trace.append(tuple(sorted(outcome.items())))

    check(scheduled, scenario)


@pytest.mark.slow
def test_send_against_system_stop(scheduled) -> None:
    """Senders that wait for room race with the end of the system: each message is handled, refused or a dead letter."""

    async def scenario(trace: list[Any], rng: random.Random) -> None:
        sent = refused = 0
        async with open_system("s", clock=VirtualClock(), seed=7) as system:
            await system.start(Child("t", Tally, (trace,)))
            mailbox = system.ref("/s/t").actor_inbox
            mailbox.limit = 2
            ref = system.ref("/s/t")

            async def send(name: str) -> None:
                nonlocal sent, refused
                for number in range(6):
                    await pause(rng)
                    try:
                        await ref.send((name, number))
                        sent += 1
                    except ActorDead:
                        refused += 1

            async def end() -> None:
                for _ in range(6):
                    await pause(rng)
                await system.stop()

            async with trio.open_nursery() as nursery:
                for name in "bcd":
                    nursery.start_soon(send, name)
                nursery.start_soon(end)
            assert sent + refused == 18
            assert sent == len(trace) + len(system.dead_letters)

    check(scheduled, scenario)


@pytest.mark.slow
def test_retire_against_use(scheduled) -> None:
    """A dynamic child that retires whenever it may races with its users: every ask through the handle is answered."""

    async def scenario(trace: list[Any], rng: random.Random) -> None:
        class Shy(Actor):
            async def on_receive(self, message: Any) -> Any:
                trace.append(message)
                await trio.lowlevel.checkpoint()
                self.context.retire()
                return message

        async with open_system("s", clock=VirtualClock(), seed=7) as system:
            await system.start(DynamicSpec("d", lambda key: Child(key, Shy)))
            dynamic = system.dynamic("/s/d")

            async def use(name: str) -> None:
                for number in range(5):
                    try:
                        assert (name, number) == await dynamic.ref("k").ask((name, number), timeout_s=10)
                    except MailboxFull:
                        raise AssertionError from None
                    await pause(rng)

            async with trio.open_nursery() as nursery:
                for name in "abc":
                    nursery.start_soon(use, name)
            assert len(trace) == 15
            assert len(system.dead_letters) == 0

    check(scheduled, scenario)
