"""`Place`: what is known and told of one path of the tree, whatever incarnation runs there.

Counterpart: life.py adds how the incarnations run, cell.py how the place begins and ends; the loop (loop.py) counts into it, and
snapshot.py reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import trio
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr

from actors.runtime.actor import Actor
from actors.runtime.entry import CANCELLED, STOP_MESSAGES, Cancelled, Entry
from actors.runtime.errors import ActorCrashed, crash_of
from actors.runtime.events import EventKind, LifecycleEvent
from actors.runtime.failure import Failure, failure_of
from actors.runtime.future import TrioFuture
from actors.runtime.histogram import new_counts
from actors.runtime.letters import DeadLetter, Reason
from actors.runtime.log import say_error
from actors.runtime.mailbox import Mailbox

if TYPE_CHECKING:
    from actors.runtime.system import System

MESSAGE_TYPES_MAX: Final = 64
"""How many message types are counted apart for each actor; the others together, under `MORE_TYPES`."""

MORE_TYPES: Final = "…"
"""The name under which the types beyond MESSAGE_TYPES_MAX are counted."""

OVERFLOW_EVENT_EVERY_S: Final = 1.0
"""A mailbox that overflows tells subscribers so at most once in this time; it counts every one."""


class MoreTypes:
    """The key under which the types beyond MESSAGE_TYPES_MAX are counted."""


_SPECIAL: Final = frozenset({ProxyCall, ProxyGetAttr, ProxySetAttr, Cancelled}) | STOP_MESSAGES


class Place:
    """See the module docstring."""

    __slots__ = (
        "__weakref__",
        "_ends",
        "_overflow_told_at",
        "actor",
        "actor_class",
        "current",
        "failed",
        "handle_counts",
        "handling_since",
        "incarnation",
        "kinds",
        "last_failure",
        "mailbox",
        "path",
        "put",
        "system",
        "wait_counts",
    )

    mailbox: Mailbox
    put: Callable[..., None]
    """The mailbox's `put`: one attribute less to look up for every message."""

    def __init__(self, system: System, path: str) -> None:
        self.system = system
        self.path = path
        self.actor_class: type[Actor] = Actor
        self.actor: Actor | None = None
        self.incarnation = 0
        self.failed = 0
        self.last_failure: Failure | None = None
        self.current: Entry | None = None
        """The message being handled."""
        self.handling_since = 0.0
        # Made with the first message: most of very many actors are idle most of the time.
        self.kinds: dict[type, list[int]] | None = None
        self.wait_counts: list[int] | None = None
        self.handle_counts: list[int] | None = None
        self._overflow_told_at = float("-inf")
        self._ends: list[TrioFuture[Any]] | None = None

    # --- counting --------------------------------------------------------------------------------------------------

    def counters(self) -> tuple[dict[type, list[int]], list[int], list[int]]:
        """What the loop counts into: message types (see `kind_of`), waiting times, handling times."""
        if self.kinds is None or self.wait_counts is None or self.handle_counts is None:
            self.kinds, self.wait_counts, self.handle_counts = {}, new_counts(), new_counts()
        return self.kinds, self.wait_counts, self.handle_counts

    def kind_of(self, message_type: type) -> list[int]:
        """[messages of this type so far, whether it is one of Pykka's or ours]; called for the first one of a type."""
        kinds = self.counters()[0]
        special = int(message_type in _SPECIAL)
        if len(kinds) >= MESSAGE_TYPES_MAX and not special:
            return kinds.setdefault(MoreTypes, [0, 0])
        return kinds.setdefault(message_type, [0, special])

    # --- the end of an incarnation -----------------------------------------------------------------------------------

    def on_end(self, future: TrioFuture[Any]) -> None:
        """Deliver True to `future` when this incarnation has ended."""
        self._ends = [*(self._ends or ()), future]

    def report_end(self) -> None:
        """Tell those who wait for the end of this incarnation."""
        ends, self._ends = self._ends, None
        for future in ends or ():
            future.deliver(True)

    # --- telling -----------------------------------------------------------------------------------------------------

    def publish(self, kind: EventKind, error: str | None = None, message_type: str | None = None) -> None:
        """Tell the subscribers what happened here."""
        self.system.events.publish(
            LifecycleEvent(self.system.clock.now(), kind, self.path, self.incarnation, error, message_type)
        )

    def overflowed(self) -> None:
        """The mailbox was full: counted there, told to subscribers at most once a second."""
        now = trio.current_time()
        if now - self._overflow_told_at >= OVERFLOW_EVENT_EVERY_S:
            self._overflow_told_at = now
            self.publish(EventKind.OVERFLOW)

    def dead_letter(self, message: Any, reason: Reason) -> None:
        """Record that a message was not handled to its end."""
        letter = DeadLetter(self.system.clock.now(), self.path, type(message).__name__, reason)
        if isinstance(message, self.actor_class.replayable):
            self.system.dead_letters.keep(letter, message)
        else:
            self.system.dead_letters.add(letter)

    def crash_entry(self, entry: Entry, failure: Exception | None) -> None:
        """The message was in hand when the incarnation ended, by `failure` or by a kill: its asker is told, it is a dead letter."""
        if entry.message is CANCELLED:
            return
        self.dead_letter(entry.message, Reason.CRASHED)
        if entry.reply is not None:
            crash = (
                crash_of(failure, self.path) if failure is not None else ActorCrashed(f"{self.path} was stopped in it")
            )
            entry.reply.deliver_error(crash)

    def record_failure(self, failure: Exception) -> int:
        """Count, keep, publish and log a failure, and end the message that was in hand with it; the number of the crash."""
        entry, self.current = self.current, None
        message_type = None
        if entry is not None:
            message_type = type(entry.message).__name__
            self.crash_entry(entry, failure)
        self.failed += 1
        self.last_failure = failure_of(failure, self.system.clock.now(), message_type)
        crash = self.system.crashes.add(self.path, self.actor_class.__name__, self.incarnation, self.last_failure)
        self.publish(EventKind.FAILED, self.last_failure.type, message_type)
        say_error(
            "actor failed",
            path=self.path,
            incarnation=self.incarnation,
            error=self.last_failure.type,
            message_type=message_type,
            traceback=self.last_failure.traceback,
        )
        return crash
