"""From other threads: tell, ask, stop, kill, futures, the bound, and a system that has ended."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio_run import run

from actors.runtime import (
    Actor,
    ActorCrashed,
    ActorDead,
    AskTimeout,
    Child,
    MailboxFull,
    MailboxPolicy,
    Overflow,
    Reason,
    TrioFuture,
    open_system,
)


class Worker(Actor):
    mailbox = MailboxPolicy(capacity=4)

    def __init__(self, gate: trio.Event, seen: list[Any]) -> None:
        self.gate, self.seen = gate, seen

    async def on_receive(self, message: Any) -> Any:
        await self.gate.wait()
        if message == "crash":
            raise ValueError
        self.seen.append(message)
        return message


class Patient(Worker):
    mailbox = MailboxPolicy(capacity=4, overflow=Overflow.WAIT)


def test_tell_and_ask() -> None:
    """Other threads tell in order and ask; an asker of a crash gets it."""
    seen: list[Any] = []

    async def main() -> None:
        gate = trio.Event()
        gate.set()
        async with open_system("s", seed=1) as system:
            await system.start(Child("w", Worker, (gate, seen)))
            ref = system.ref("/s/w")

            def outside() -> None:
                for number in range(3):
                    ref.tell(number)
                assert ref.ask(3, timeout_s=5) == 3
                assert ref.ask(4, block=False).get(timeout=5) == 4
                with pytest.raises(ActorCrashed):
                    ref.ask("crash", timeout=5)
                assert ref.ask(5, timeout=5) == 5
                assert ref.stop(timeout=5)
                assert not ref.stop(timeout=5)
                with pytest.raises(ActorDead):
                    ref.tell(6)

            await trio.to_thread.run_sync(outside)
        assert seen == [0, 1, 2, 3, 4, 5]

    run(main, real_time=True)


def test_the_bound_holds_for_other_threads() -> None:
    """What other threads put is bounded by the capacity before the loop has seen any of it; the overflow is counted."""
    seen: list[Any] = []

    async def main() -> None:
        gate = trio.Event()
        async with open_system("s") as system:
            await system.start(Child("w", Worker, (gate, seen)))
            ref = system.ref("/s/w")

            def outside() -> None:
                with pytest.raises(MailboxFull):
                    tell_many()
                with pytest.raises((AskTimeout, MailboxFull)):  # the former if the loop has just made room
                    ref.ask("x", timeout=0.01)

            def tell_many() -> None:
                for number in range(100):
                    ref.tell(number)

            await trio.to_thread.run_sync(outside)
            assert system.snapshot().children[0].mailbox.overflows > 0
            gate.set()

    run(main, real_time=True)


def test_a_thread_waits_for_room_under_wait() -> None:
    """Under Overflow.WAIT a tell from another thread blocks until there is room: nothing is lost."""
    seen: list[Any] = []

    async def main() -> None:
        gate = trio.Event()
        async with open_system("s") as system:
            await system.start(Child("w", Patient, (gate, seen)))
            ref = system.ref("/s/w")

            def outside() -> None:
                for number in range(50):
                    ref.tell(number)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, outside)
                await trio.testing.wait_all_tasks_blocked(0.01)
                gate.set()
            assert await ref.ask(50) == 50
        assert list(range(51)) == seen

    run(main, real_time=True)


def test_what_comes_too_late_from_a_thread_is_a_dead_letter() -> None:
    """A tell that was accepted in its thread, and found the actor stopped on the loop, is a dead letter; an ask gets ActorDead."""

    async def main() -> None:
        gate = trio.Event()
        gate.set()
        async with open_system("s") as system:
            await system.start(Child("w", Worker, (gate, [])))
            ref = system.ref("/s/w")
            mailbox = ref.actor_inbox
            asked: TrioFuture[Any] = TrioFuture()
            # What ActorRef.tell and ask do in another thread, at the moment before the loop looks.
            mailbox.put_foreign("told", None, system.home.token)
            mailbox.put_foreign("asked", asked, system.home.token)
            mailbox.close()
            mailbox.take_foreign()
            with pytest.raises(ActorDead):
                await asked
            assert system.dead_letters.counts[Reason.DEAD] == 1

    run(main)


def test_kill_from_a_thread() -> None:
    """A kill from another thread cuts the message in hand short."""

    async def main() -> None:
        gate = trio.Event()
        async with open_system("s") as system:
            await system.start(Child("w", Worker, (gate, [])))
            ref = system.ref("/s/w")
            asked = ref.ask("x")
            await trio.testing.wait_all_tasks_blocked()
            await trio.to_thread.run_sync(ref.kill)
            with pytest.raises(ActorCrashed):
                await asked
            assert ref.actor_stopped.is_set()

    run(main, real_time=True)


def test_after_the_end_of_the_loop() -> None:
    """A ref that outlives its Trio loop refuses, in any thread."""

    async def main() -> Any:
        gate = trio.Event()
        async with open_system("s") as system:
            await system.start(Child("w", Worker, (gate, [])))
            return system.ref("/s/w")

    ref = run(main)
    assert not ref.is_alive()
    with pytest.raises(ActorDead):
        ref.tell(1)
    with pytest.raises(ActorDead):
        ref.ask(1, block=False).get(timeout=1)


def test_a_future_set_in_a_thread_wakes_a_task_and_the_other_way_round() -> None:
    """Futures cross threads in both directions."""

    async def main() -> None:
        future: TrioFuture[str] = TrioFuture()

        async def set_soon() -> None:
            await trio.to_thread.run_sync(future.set, "from a thread")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(set_soon)
            assert await future == "from a thread"

        other: TrioFuture[str] = TrioFuture()
        async with trio.open_nursery() as nursery:

            async def get() -> None:
                assert await trio.to_thread.run_sync(lambda: other.get(timeout=5)) == "from the loop"

            nursery.start_soon(get)
            await trio.testing.wait_all_tasks_blocked(0.01)
            other.set("from the loop")

    run(main, real_time=True)
