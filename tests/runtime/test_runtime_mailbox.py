"""Mailboxes: each overflow policy, conflation, waiting for room, what becomes of messages at the end."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio_run import run

from actors.runtime import (
    Actor,
    ActorDead,
    Child,
    EventKind,
    MailboxFull,
    MailboxPolicy,
    Overflow,
    Reason,
    System,
    open_system,
)


class Gated(Actor):
    """Takes nothing until the gate opens, then writes down what it gets."""

    mailbox = MailboxPolicy(capacity=3)

    def __init__(self, gate: trio.Event, seen: list[Any]) -> None:
        self.gate, self.seen = gate, seen

    async def on_receive(self, message: Any) -> Any:
        await self.gate.wait()
        self.seen.append(message)
        return message


class Waiting(Gated):
    mailbox = MailboxPolicy(capacity=3, overflow=Overflow.WAIT)


class Dropping(Gated):
    mailbox = MailboxPolicy(capacity=3, overflow=Overflow.DROP_OLDEST)


class Conflating(Gated):
    mailbox = MailboxPolicy(capacity=3, overflow=Overflow.CONFLATE)

    @classmethod
    def conflate_key(cls, message: Any) -> Any:
        return message[0] if isinstance(message, tuple) else None

    @classmethod
    def conflate(cls, queued: Any, message: Any) -> Any:
        return (queued[0], queued[1] | message[1])


async def gated(system: System, actor_class: type[Gated]) -> tuple[Any, trio.Event, list[Any]]:
    """The ref, gate and record of an actor that holds its first message, "held", in hand."""
    gate, seen = trio.Event(), []
    await system.start(Child("gated", actor_class, (gate, seen)))
    ref = system.ref("/s/gated")
    ref.tell("held")
    await trio.testing.wait_all_tasks_blocked()
    return ref, gate, seen


def test_reject() -> None:
    """A full mailbox refuses tells and asks, counts it and tells subscribers; what is queued is kept in order."""

    async def main() -> None:
        async with open_system("s") as system:
            events = system.subscribe(10)
            ref, gate, seen = await gated(system, Gated)
            for number in range(3):
                ref.tell(number)
            with pytest.raises(MailboxFull):
                ref.tell(3)
            with pytest.raises(MailboxFull):
                await ref.ask(3)
            mailbox = system.snapshot().children[0].mailbox
            assert (mailbox.depth, mailbox.capacity, mailbox.high_water, mailbox.overflows) == (3, 3, 3, 2)
            gate.set()
            await trio.testing.wait_all_tasks_blocked()
            assert seen == ["held", 0, 1, 2]
            kinds = [events.receive_nowait().kind for _ in range(2)]
            assert kinds == [EventKind.STARTED, EventKind.OVERFLOW]
            assert None is events.receive_nowait()

    run(main)


def test_send_waits_for_room_in_order() -> None:
    """`send` waits, first come first served; nobody overtakes those in line; a cancelled sender's message is not sent."""

    async def main() -> None:
        async with open_system("s") as system:
            ref, gate, seen = await gated(system, Waiting)
            for number in range(3):
                ref.tell(number)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ref.send, "a")
                await trio.testing.wait_all_tasks_blocked()
                with trio.move_on_after(0.1) as scope:
                    await ref.send("given up")
                assert scope.cancelled_caught
                nursery.start_soon(ref.send, "b")
                await trio.testing.wait_all_tasks_blocked()
                asked = ref.ask("asked")
                with pytest.raises(MailboxFull):
                    ref.tell("no")
                gate.set()
            assert await asked == "asked"
            assert seen == ["held", 0, 1, 2, "a", "b", "asked"]

    run(main)


def test_the_line_of_waiting_asks_is_bounded() -> None:
    """Under WAIT as many asks may stand in line as the mailbox holds; one more is refused."""

    async def main() -> None:
        async with open_system("s") as system:
            ref, gate, seen = await gated(system, Waiting)
            asks = [ref.ask(number) for number in range(6)]
            with pytest.raises(MailboxFull):
                await ref.ask(6)
            gate.set()
            assert list(range(6)) == [await ask for ask in asks]
            assert ["held", *range(6)] == seen

    run(main)


def test_drop_oldest() -> None:
    """The oldest gives way: a tell becomes a dead letter, an ask gets MailboxFull."""

    async def main() -> None:
        async with open_system("s") as system:
            ref, gate, seen = await gated(system, Dropping)
            dropped = ref.ask("asked")
            for number in range(4):
                ref.tell(number)
            with pytest.raises(MailboxFull):
                await dropped
            gate.set()
            await trio.testing.wait_all_tasks_blocked()
            assert seen == ["held", 1, 2, 3]
            assert [(letter.message_type, letter.reason) for letter in system.dead_letters] == [("int", Reason.DROPPED)]

    run(main)


def test_conflate() -> None:
    """Tells with one key become one, in the place of the first; asks stay apart; over the bound new keys are refused."""

    async def main() -> None:
        async with open_system("s") as system:
            ref, gate, seen = await gated(system, Conflating)
            ref.tell(("a", {1}))
            ref.tell(("b", {1}))
            asked = ref.ask(("a", {9}))
            ref.tell(("a", {2}))
            with pytest.raises(MailboxFull):
                ref.tell(("c", {1}))
            ref.tell(("b", {3}))
            await ref.send(("a", {4}))
            gate.set()
            assert ("a", {9}) == await asked
            assert ["held", ("a", {1, 2, 4}), ("b", {1, 3}), ("a", {9})] == seen
            ref.tell(("a", {7}))
            await trio.testing.wait_all_tasks_blocked()
            assert ("a", {7}) == seen[-1]

    run(main)


def test_a_stop_from_above_goes_ahead_and_what_is_queued_is_accounted_for() -> None:
    """When the system stops, queued asks get ActorDead, queued tells become dead letters, senders in line get ActorDead."""

    async def main() -> None:
        async with open_system("s") as system:
            ref, gate, seen = await gated(system, Waiting)
            ref.tell(0)
            asked = ref.ask(1)
            ref.tell(2)
            async with trio.open_nursery() as nursery:

                async def send() -> None:
                    with pytest.raises(ActorDead):
                        await ref.send(3)

                nursery.start_soon(send)
                await trio.testing.wait_all_tasks_blocked()
                stopped = system.stop()
                await trio.testing.wait_all_tasks_blocked()
                gate.set()
                await stopped
            with pytest.raises(ActorDead):
                await asked
            assert seen == ["held"]
            assert {k: v for k, v in system.dead_letters.counts.items() if v} == {Reason.DEAD: 2}

    run(main)


def test_a_full_mailbox_does_not_starve_the_loop() -> None:
    """An actor that tells itself for ever still lets other tasks run."""

    class Spinning(Actor):
        async def on_receive(self, message: Any) -> None:
            self.context.ref.tell(message)

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("spinning", Spinning))
            system.ref("/s/spinning").tell("go")
            for _ in range(10):
                await trio.lowlevel.checkpoint()

    run(main)
