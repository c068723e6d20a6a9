"""Dead letters: messages that were not handled to their end. The newest are kept to look at, all are counted.

Counterpart: mailboxes and cells add them, pages and metrics read them, an operator drops them or has them told again. A letter names
types only: what travels in messages may be secret or hostile. The message itself is kept only where the actor class says that it may
be (`Actor.replayable`).
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from actors.runtime.errors import LetterGone, NotReplayable


class Reason(enum.Enum):
    """Why a message became a dead letter."""

    CRASHED = "crashed"
    """Its handling raised, or was cut short by a failure or a kill."""
    DEAD = "dead"
    """The actor had stopped, or stopped before handling it."""
    FULL = "full"
    """The mailbox was full, and nobody was there to be told."""
    DROPPED = "dropped"
    """It was the oldest when a newer one came (Overflow.DROP_OLDEST)."""
    UNREADABLE = "unreadable"
    """What came from outside could not be made into a message; whoever adds the letter names it by a hash."""


class DeadLetter(Struct, frozen=True, gc=False):
    """One message that was not handled to its end: for whom, of which type and why; never its contents. `at`: epoch seconds."""

    at: float
    path: str
    message_type: str
    reason: Reason
    id: int = 0
    """Its number in its system, from 1; given when it is added."""
    replayable: bool = False
    """Whether the message itself is kept, so that it can be told again."""


class DeadLetterStatistics(Struct, frozen=True):
    """How many letters are kept, may be kept, and were ever counted, by reason; how many were told again or dropped since."""

    kept: int
    capacity: int
    total: int
    by_reason: dict[str, int]
    replayed: int = 0
    removed: int = 0


DEAD_LETTERS_MAX: Final = 1000
"""How many dead letters are kept to look at; all are counted."""


class DeadLetters:
    """The newest dead letters of a system, oldest first, and the counts of all of them. For the Trio thread."""

    def __init__(self, capacity: int = DEAD_LETTERS_MAX, tell: Callable[[str, Any], None] | None = None) -> None:
        self._letters: OrderedDict[int, DeadLetter] = OrderedDict()
        self._messages: dict[int, Any] = {}
        self._capacity = capacity
        self._tell = tell
        self._last_id = self._replayed = self._removed = 0
        self.counts: dict[Reason, int] = dict.fromkeys(Reason, 0)

    def add(self, letter: DeadLetter) -> None:
        """Keep and count one letter; it gets its number here."""
        self._last_id += 1
        self._letters[self._last_id] = msgspec.structs.replace(letter, id=self._last_id, replayable=False)
        self.counts[letter.reason] += 1
        if len(self._letters) > self._capacity:
            self._messages.pop(self._letters.popitem(last=False)[0], None)

    def keep(self, letter: DeadLetter, message: Any) -> None:
        """As `add`, with the message itself: for types that their actor class calls replayable."""
        self.add(letter)
        number = self._last_id
        self._letters[number] = msgspec.structs.replace(self._letters[number], replayable=True)
        self._messages[number] = message

    def get(self, number: int) -> DeadLetter:
        """The letter with this number. Raises `LetterGone`."""
        letter = self._letters.get(number)
        if letter is None:
            raise LetterGone(f"dead letter {number} is not kept")
        return letter

    def replay(self, number: int) -> None:
        """Tell the place the message again, and drop the letter; the reply of what was an ask goes nowhere.

        Raises `LetterGone`, `NotReplayable`, `UnknownPath`, and what a tell raises (`ActorDead`, `MailboxFull`); the letter stays then.
        """
        letter = self.get(number)
        if not letter.replayable or self._tell is None:
            raise NotReplayable(f"dead letter {number} does not hold its message")
        self._tell(letter.path, self._messages[number])
        self._forget(number)
        self._replayed += 1

    def drop(self, number: int) -> None:
        """Forget the letter; it stays counted. Raises `LetterGone`."""
        self.get(number)
        self._forget(number)
        self._removed += 1

    def _forget(self, number: int) -> None:
        del self._letters[number]
        self._messages.pop(number, None)

    def statistics(self) -> DeadLetterStatistics:
        """Counts by reason, and how full the ring is."""
        return DeadLetterStatistics(
            kept=len(self._letters),
            capacity=self._capacity,
            total=sum(self.counts.values()),
            by_reason={reason.value: count for reason, count in self.counts.items()},
            replayed=self._replayed,
            removed=self._removed,
        )

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(tuple(self._letters.values()))

    def __len__(self) -> int:
        return len(self._letters)
