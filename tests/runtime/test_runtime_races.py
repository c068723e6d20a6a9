"""Races at one actor, each under 200 seeded schedules: whatever the order of things, a message has exactly one fate, and is told of it.

What a scenario notes is its trace: which message was handled or refused, in which order, and how each asker fared. The search runs
every fourth seed twice and wants the same trace both times; how many distinct ones it saw is printed at the end of the run. A longer
search, with every seed run twice: PROTECTOR_TEST_SEEDS=20000.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio

from actors.runtime import (
    Actor,
    ActorCrashed,
    ActorDead,
    ActorRef,
    AskTimeout,
    Backoff,
    Child,
    Intensity,
    MailboxFull,
    MailboxPolicy,
    Overflow,
    Reason,
    SupervisorSpec,
    System,
    TrioFuture,
    VirtualClock,
    open_system,
)
from actors.runtime.schedules import Trace

AT_ONCE = Backoff(base_s=0.0)
ENDLESS = Intensity(max=1000, within_s=1.0)

pytestmark = pytest.mark.slow


class Tally(Actor):
    """Notes what it handles, with a chance for others to run in the middle; a message that ends in "!" crashes it."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    async def on_receive(self, message: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if message.endswith("!"):
            self.trace.note(("crashed", message))
            raise ValueError
        self.trace.note(("handled", message))
        return message

    async def on_stop(self) -> None:
        self.trace.note(("stop", self.context.incarnation))


class Small(Tally):
    """Room for two."""

    mailbox = MailboxPolicy(capacity=2)


class Newest(Tally):
    """Room for two, the oldest goes."""

    mailbox = MailboxPolicy(capacity=2, overflow=Overflow.DROP_OLDEST)


def system_of_tests() -> System:
    return open_system("s", clock=VirtualClock(), seed=7)


async def pause(trace: Trace, most: int = 4) -> None:
    """Let others run, a few times."""
    for _ in range(trace.rng.randint(1, most)):
        await trio.lowlevel.checkpoint()


async def ask(trace: Trace, ref: ActorRef, message: str, timeout_s: float = 1000.0) -> str:
    """Ask, and note how it went."""
    try:
        fate = "answered" if await ref.ask(message, timeout_s=timeout_s) == message else "answered wrongly"
    except (ActorCrashed, ActorDead, AskTimeout, MailboxFull) as error:
        fate = next(
            kind.__name__ for kind in (ActorCrashed, ActorDead, AskTimeout, MailboxFull) if isinstance(error, kind)
        )
    trace.note((fate, message))
    return fate


async def answered_at_last(trace: Trace, ref: ActorRef) -> None:
    """Ask until there is an answer: whatever was queued before has then been taken."""
    for _ in range(100):
        if await ask(trace, ref, "x-last") == "answered":
            return
    raise AssertionError("never answered")


def told(trace: Trace, ref: ActorRef, message: str) -> bool:
    """Tell, and note if it was refused."""
    try:
        ref.tell(message)
    except (ActorDead, MailboxFull) as error:
        trace.note(("refused", type(error).__name__, message))
        return False
    return True


def handled(trace: Trace) -> list[str]:
    return [event[1] for event in trace.events if event[0] == "handled"]


async def one_actor(system: System, actor_class: type[Actor], trace: Trace) -> ActorRef:
    """The actor `/s/g/t` under a supervisor that restarts it at once, as often as it likes."""
    await system.start(SupervisorSpec("g", (Child("t", actor_class, (trace,)),), backoff=AT_ONCE, intensity=ENDLESS))
    return system.ref("/s/g/t")


def test_put_against_stop(race) -> None:
    """Tells, sends and asks race with a stop: each is handled, refused, or a dead letter; nobody waits for ever."""

    async def scenario(trace: Trace) -> None:
        accepted: list[str] = []
        fates: dict[str, str] = {}
        async with system_of_tests() as system:
            ref = await one_actor(system, Tally, trace)

            async def tell(name: str) -> None:
                for number in range(5):
                    await pause(trace)
                    if told(trace, ref, f"{name}{number}"):
                        accepted.append(f"{name}{number}")

            async def asker(name: str) -> None:
                for number in range(3):
                    await pause(trace)
                    fates[f"{name}{number}"] = await ask(trace, ref, f"{name}{number}")

            async def stop() -> None:
                for _ in range(4):
                    await pause(trace)
                assert await ref.stop()
                trace.note("stopped")

            async with trio.open_nursery() as nursery:
                for name in "ab":
                    nursery.start_soon(tell, name)
                for name in "xy":
                    nursery.start_soon(asker, name)
                nursery.start_soon(stop)
            done = handled(trace)
            assert len(set(done)) == len(done)
            assert len(accepted) == sum(1 for m in done if m[0] in "ab") + system.dead_letters.counts[Reason.DEAD]
            assert {m for m, fate in fates.items() if fate == "answered"} == {m for m in done if m[0] in "xy"}
            assert set(fates.values()) <= {"answered", "ActorDead"}

    race(scenario)


def test_ask_against_crash(race) -> None:
    """Asks race with messages that crash the actor: each is answered, or told of its own message's crash, never of another's."""

    async def scenario(trace: Trace) -> None:
        fates: dict[str, str] = {}
        async with system_of_tests() as system:
            ref = await one_actor(system, Tally, trace)

            async def asker(name: str) -> None:
                for number in range(3):
                    message = f"{name}{number}" + "!" * (trace.rng.random() < 0.25)
                    fates[message] = await ask(trace, ref, message)
                    await pause(trace)

            async def crash() -> None:
                for number in range(2):
                    await pause(trace)
                    told(trace, ref, f"t{number}!")

            async with trio.open_nursery() as nursery:
                for name in "xyz":
                    nursery.start_soon(asker, name)
                nursery.start_soon(crash)
            assert {m: "ActorCrashed" if m.endswith("!") else "answered" for m in fates} == fates
            assert ref.is_alive()

    race(scenario)


def test_restart_against_send(race) -> None:
    """Senders wait for room while the actor crashes and comes back: every message is taken once, each sender's in its order."""

    async def scenario(trace: Trace) -> None:
        async with system_of_tests() as system:
            ref = await one_actor(system, Small, trace)

            async def send(name: str) -> None:
                for number in range(4):
                    await ref.send(f"{name}{number}" + "!" * (trace.rng.random() < 0.2))
                    await pause(trace, 2)

            async with trio.open_nursery() as nursery:
                for name in "abc":
                    nursery.start_soon(send, name)
            await answered_at_last(trace, ref)
            taken = [event[1] for event in trace.events if event[0] in ("handled", "crashed")]
            for name in "abc":
                assert [m[:2] for m in taken if m[0] == name] == [f"{name}{number}" for number in range(4)]
            assert system.dead_letters.counts[Reason.CRASHED] == sum(1 for m in taken if m.endswith("!"))

    race(scenario)


def test_send_against_the_end_of_the_system(race) -> None:
    """Senders that wait for room race with the end of everything: each message is handled, refused or a dead letter."""

    async def scenario(trace: Trace) -> None:
        sent = refused = 0
        async with system_of_tests() as system:
            ref = await one_actor(system, Small, trace)

            async def send(name: str) -> None:
                nonlocal sent, refused
                for number in range(5):
                    await pause(trace)
                    try:
                        await ref.send(f"{name}{number}")
                        sent += 1
                    except ActorDead:
                        refused += 1
                        trace.note(("refused", f"{name}{number}"))

            async def end() -> None:
                for _ in range(6):
                    await pause(trace)
                await system.stop()

            async with trio.open_nursery() as nursery:
                for name in "bcd":
                    nursery.start_soon(send, name)
                nursery.start_soon(end)
            assert sent + refused == 15
            assert sent == len(handled(trace)) + len(system.dead_letters)

    race(scenario)


def test_kill_against_stop(race) -> None:
    """A stop, a kill and their askers: the actor ends once, both are told, and no message that was accepted is lost unsaid."""

    async def scenario(trace: Trace) -> None:
        accepted = 0
        async with system_of_tests() as system:
            ref = await one_actor(system, Tally, trace)

            async def tell() -> None:
                nonlocal accepted
                for number in range(6):
                    accepted += told(trace, ref, f"a{number}")
                    await pause(trace)

            async def stop(name: str) -> None:
                for _ in range(2):
                    await pause(trace)
                trace.note((name, await ref.stop()))

            async def kill() -> None:
                for _ in range(3):
                    await pause(trace)
                ref.kill()
                trace.note("kill")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(tell)
                nursery.start_soon(stop, "first stop")
                nursery.start_soon(stop, "second stop")
                nursery.start_soon(ask, trace, ref, "x")
                nursery.start_soon(kill)
            assert not ref.is_alive()
            asked = sum(1 for event in trace.events if event == ("handled", "x"))
            cut_short = sum(1 for event in trace.events if event == ("ActorCrashed", "x"))
            letters = sum(1 for _ in system.dead_letters)
            assert accepted == len(handled(trace)) - asked + letters - cut_short
            assert system.snapshot().children[0].children[0].state == "stopped"

    race(scenario)


def test_a_timeout_against_the_reply(race) -> None:
    """A reply in the very moment of the timeout: the asker gets one of the two, the next ask gets its own answer and no leftover."""

    async def scenario(trace: Trace) -> None:
        class Slow(Tally):
            async def on_receive(self, message: Any) -> Any:
                await trio.sleep(1)
                trace.note(("handled", message))
                return message

        async with system_of_tests() as system:
            ref = await one_actor(system, Slow, trace)

            async def asker(name: str) -> None:
                for number in range(3):
                    fate = await ask(trace, ref, f"{name}{number}", timeout_s=float(trace.rng.randint(1, 4)))
                    assert fate in ("answered", "AskTimeout")

            async with trio.open_nursery() as nursery:
                for name in "xyz":
                    nursery.start_soon(asker, name)
            assert system.statistics().timers.active == 0

    race(scenario)


def test_drop_oldest_against_crash(race) -> None:
    """A mailbox that lets the oldest go, over crashes: every ask ends, every tell is handled or a dead letter."""

    async def scenario(trace: Trace) -> None:
        accepted = 0
        asks: list[str] = []
        async with system_of_tests() as system:
            ref = await one_actor(system, Newest, trace)

            async def tell(name: str) -> None:
                nonlocal accepted
                for number in range(4):
                    accepted += told(trace, ref, f"{name}{number}" + "!" * (trace.rng.random() < 0.2))
                    await pause(trace, 3)

            async def asker() -> None:
                asks.extend([await ask(trace, ref, f"x{number}") for number in range(4)])

            async with trio.open_nursery() as nursery:
                for name in "ab":
                    nursery.start_soon(tell, name)
                nursery.start_soon(asker)
            await answered_at_last(trace, ref)
            assert set(asks) <= {"answered", "MailboxFull"}
            done = sum(1 for message in handled(trace) if message[0] != "x")
            assert accepted == 8
            assert accepted == done + len(system.dead_letters)

    race(scenario)


def test_waiting_for_the_end_against_the_end(race) -> None:
    """Several stop, kill and wait for one place and give up waiting: those who still wait are told, whoever was first."""

    async def scenario(trace: Trace) -> None:
        async with system_of_tests() as system:
            ref = await one_actor(system, Tally, trace)

            async def stop(name: str) -> None:
                for _ in range(2):
                    await pause(trace)
                future: TrioFuture[bool] = ref.stop()
                with trio.move_on_after(trace.rng.choice([0, 1000])) as scope:
                    trace.note((name, await future))
                if scope.cancelled_caught:
                    trace.note((name, "left"))

            async def crash() -> None:
                for number in range(2):
                    told(trace, ref, f"{number}!")
                    await pause(trace)

            async with trio.open_nursery() as nursery:
                for name in "abcd":
                    nursery.start_soon(stop, name)
                nursery.start_soon(crash)
            assert sum(1 for event in trace.events if event[0] in "abcd") == 4
            await ref.stop()
            assert not ref.is_alive()

    race(scenario)
