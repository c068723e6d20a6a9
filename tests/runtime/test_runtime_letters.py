"""Dead letters: numbered, bounded, dropped, told again where the actor class keeps the message."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct
from trio_run import run

from actors.runtime import (
    Actor,
    ActorDead,
    Backoff,
    Child,
    DeadLetter,
    DeadLetters,
    DynamicSpec,
    LetterGone,
    MailboxFull,
    MailboxPolicy,
    NotReplayable,
    Reason,
    SupervisorSpec,
    UnknownPath,
    open_system,
)

NOW = Backoff(base_s=0.0)


class Order(Struct, frozen=True):
    """May be kept."""

    number: int


class Secret(Struct, frozen=True):
    """May not."""

    text: str


class Clerk(Actor):
    """Fails at its first messages, then works."""

    mailbox = MailboxPolicy(capacity=2)
    replayable = (Order,)

    def __init__(self, done: list[Any], failures: list[int]) -> None:
        self.done = done
        self.failures = failures

    async def on_receive(self, message: Any) -> Any:
        if self.failures:
            self.failures.pop()
            raise ValueError
        self.done.append(message)


def _letter(number: int = 0) -> DeadLetter:
    return DeadLetter(float(number), "/s/a", "Order", Reason.FULL)


def test_a_letter_is_told_again_once_and_is_gone():
    """The message that crashed its actor is handled by the next incarnation when an operator says so."""

    async def main() -> None:
        done: list[Any] = []
        async with open_system("s") as system:
            await system.start(SupervisorSpec("g", (Child("a", Clerk, (done, [1])),), backoff=NOW))
            ref = system.ref("/s/g/a")
            ref.tell(Order(7))
            await ref.ask(Order(8))
            (letter,) = system.dead_letters
            assert (letter.id, letter.replayable, letter.reason) == (1, True, Reason.CRASHED)
            system.dead_letters.replay(1)
            await ref.ask(Order(9))
            assert done == [Order(8), Order(7), Order(9)]
            assert len(system.dead_letters) == 0
            with pytest.raises(LetterGone):
                system.dead_letters.replay(1)
            statistics = system.dead_letters.statistics()
            assert (statistics.total, statistics.kept, statistics.replayed) == (1, 0, 1)

    run(main)


def test_no_message_is_kept_that_its_actor_class_does_not_name():
    """Neither an unnamed type, nor any of a class that names none (the default)."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(SupervisorSpec("g", (Child("a", Clerk, ([], [1])), Child("b", Actor)), backoff=NOW))
            system.ref("/s/g/a").tell(Secret("s3cret"))
            await system.ref("/s/g/a").ask(Order(1))
            await system.ref("/s/g/b").stop()
            system.ref("/s/g/b").cell.dead_letter(Order(2), Reason.DEAD)
            assert [letter.replayable for letter in system.dead_letters] == [False, False]
            for letter in system.dead_letters:
                with pytest.raises(NotReplayable):
                    system.dead_letters.replay(letter.id)
            assert "s3cret" not in repr(vars(system.dead_letters))

    run(main)


def test_what_cannot_be_told_again_stays():
    """A full mailbox and a stopped actor refuse it as they refuse any tell."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(SupervisorSpec("g", (Child("a", Clerk, ([], [1])),), backoff=NOW))
            ref = system.ref("/s/g/a")
            ref.tell(Order(1))
            await ref.ask(Order(2))
            ref.tell(Order(3))
            ref.tell(Order(4))
            with pytest.raises(MailboxFull):
                system.dead_letters.replay(1)
            await ref.stop()
            with pytest.raises(ActorDead):
                system.dead_letters.replay(1)
            assert [letter.id for letter in system.dead_letters] == [1]

    run(main)


def test_a_letter_of_a_dynamic_child_that_has_left_starts_it_again():
    """As the first use of its key does."""

    async def main() -> None:
        done: list[Any] = []
        failures = [1]
        async with open_system("s") as system:
            await system.start(DynamicSpec("d", lambda _: Child("x", Clerk, (done, failures)), backoff=NOW))
            keyed = system.dynamic("/s/d")
            keyed.ref("k").tell(Order(1))
            await keyed.ref("k").stop()
            assert "k" not in keyed
            system.dead_letters.replay(1)
            await keyed.ref("k").stop()
            assert done == [Order(1)]

    run(main)


def test_a_letter_for_nobody_is_not_told():
    """Added from outside, for a path that names no actor."""

    async def main() -> None:
        async with open_system("s") as system:
            system.dead_letters.keep(DeadLetter(0.0, "/s/nobody", "Order", Reason.DEAD), Order(1))
            with pytest.raises(UnknownPath):
                system.dead_letters.replay(1)

    run(main)


def test_a_dropped_letter_stays_counted():
    """Dropping tidies what is shown, not what has happened."""
    letters = DeadLetters()
    letters.add(_letter())
    letters.drop(1)
    with pytest.raises(LetterGone):
        letters.drop(1)
    with pytest.raises(LetterGone):
        letters.get(1)
    assert (len(letters), letters.counts[Reason.FULL], letters.statistics().removed) == (0, 1, 1)


def test_numbers_are_given_when_a_letter_is_added_and_the_ring_is_bounded():
    """The oldest goes, and its message with it; a letter's own claim to be replayable counts for nothing."""
    letters = DeadLetters(capacity=2)
    letters.keep(_letter(1), Order(1))
    letters.keep(_letter(2), Order(2))
    letters.add(DeadLetter(3.0, "/s/a", "Order", Reason.FULL, id=99, replayable=True))
    assert [(letter.id, letter.replayable) for letter in letters] == [(2, True), (3, False)]
    with pytest.raises(LetterGone):
        letters.replay(1)
    assert "Order(number=1)" not in repr(vars(letters))
    assert letters.statistics().total == 3
