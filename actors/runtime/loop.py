"""The message loop: takes from the mailbox, measures, calls the actor, answers. The one hot path of the runtime.

Counterpart: `Cell` (cell.py) calls `receive` once for each incarnation. It is one long function on purpose: every call saved here
is saved for every message.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

import trio
from pykka._introspection import get_attr_directly
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr

from actors.runtime.histogram import BOUNDS_S, new_counts
from actors.runtime.mailbox import CANCELLED, STOP_MESSAGES, Cancelled, Entry, Mailbox, StopRequest

if TYPE_CHECKING:
    from actors.runtime.actor import Actor
    from actors.runtime.failure import Failure
    from actors.runtime.system import System

MESSAGES_PER_SLICE: Final = 1000
"""After so many messages without a checkpoint the loop yields to other tasks, however full the mailbox is."""

SLICE_S: Final = 0.005
"""After so many seconds as well."""

MESSAGE_TYPES_MAX: Final = 64
"""How many message types are counted apart for each actor; the others together, under `MORE_TYPES`."""

MORE_TYPES: Final = "…"
"""The name under which the types beyond MESSAGE_TYPES_MAX are counted."""


class LoopState:
    """What the loop reads and writes of a place; the base of `Cell`."""

    __slots__ = (
        "__weakref__",
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
    actor: Actor | None
    last_failure: Failure | None

    def __init__(self, system: System, path: str) -> None:
        from actors.runtime.actor import Actor  # noqa: PLC0415 - actor.py imports this module

        self.system = system
        self.path = path
        self.actor_class: type[Actor] = Actor
        self.actor = None
        self.incarnation = 0
        self.failed = 0
        self.last_failure = None
        self.current: Entry | None = None
        self.handling_since = 0.0
        # Made with the first message: most of very many actors are idle most of the time.
        self.kinds: dict[type, list[int]] | None = None
        self.wait_counts: list[int] | None = None
        self.handle_counts: list[int] | None = None

    def kind_of(self, message_type: type) -> list[int]:
        """[messages of this type so far, whether it is one of Pykka's or ours]; called for the first one of a type."""
        if self.kinds is None:
            self.kinds = {}
        special = int(message_type in _SPECIAL)
        if len(self.kinds) >= MESSAGE_TYPES_MAX and not special:
            return self.kinds.setdefault(MoreTypes, [0, 0])
        return self.kinds.setdefault(message_type, [0, special])


class MoreTypes:
    """The key under which the types beyond MESSAGE_TYPES_MAX are counted."""


_SPECIAL: Final = frozenset({ProxyCall, ProxyGetAttr, ProxySetAttr, Cancelled}) | STOP_MESSAGES


async def receive(cell: LoopState, actor: Actor) -> str:  # noqa: C901 - one flat hot path, see the module docstring
    """Handle messages until a stop: the value of an ExitKind, `shutdown` or `normal`. Raises what a handler raises.

    While a message is handled it is `cell.current`, so that whoever catches the exception knows which one it was.
    """
    mailbox = cell.mailbox
    queue = mailbox.queue
    monotonic = cell.system.clock.monotonic
    intercept = cell.system.intercept
    answers = actor.answers
    handle = actor.on_receive
    path = cell.path
    task = trio.lowlevel.current_task()
    wait_task_rescheduled = trio.lowlevel.wait_task_rescheduled
    kinds: dict[type, list[int]] = {}
    waits: list[int] = []
    handles: list[int] = []
    budget = 0
    now = slice_end = 0.0
    while True:
        if mailbox.signal is not None:
            return _obey(mailbox.signal)
        if not queue:
            mailbox.waiter = task
            await wait_task_rescheduled(mailbox.abort)
            if not waits:
                kinds, waits, handles = _counters(cell)
            budget = MESSAGES_PER_SLICE
            now = monotonic()
            slice_end = now + SLICE_S
            continue
        if budget <= 0 or now > slice_end:
            await trio.lowlevel.checkpoint()
            if not waits:
                kinds, waits, handles = _counters(cell)
            budget = MESSAGES_PER_SLICE
            now = monotonic()
            slice_end = now + SLICE_S
            continue
        if len(queue) > mailbox.high_water:
            mailbox.high_water = len(queue)
        entry = queue.popleft()
        if entry.key is not None:
            mailbox.forget(entry)
        if mailbox.line is not None:
            mailbox.admit()
        message = entry.message
        cell.current = entry
        cell.handling_since = now
        waits[bisect(BOUNDS_S, now - entry.at)] += 1
        kind = kinds.get(message.__class__)
        if kind is None:
            kind = cell.kind_of(message.__class__)
        kind[0] += 1
        try:
            if kind[1]:
                if message.__class__ in STOP_MESSAGES:
                    cell.current = None
                    return _stopped(cell, entry)
                if message is CANCELLED:
                    waits[bisect(BOUNDS_S, now - entry.at)] -= 1
                    cell.current = None
                    continue
                result = _special(actor, message, intercept, path)
            else:
                if intercept is not None:
                    intercept(path, message)
                result = handle(message)
            if result.__class__ is CoroutineType:
                result = await result
        except answers as error:
            if entry.reply is None:
                raise
            entry.reply.deliver_error(error)
        else:
            if entry.reply is not None:
                entry.reply.deliver(result)
        cell.current = None
        started, now = now, monotonic()
        handles[bisect(BOUNDS_S, now - started)] += 1
        budget -= 1


def _counters(cell: LoopState) -> tuple[dict[type, list[int]], list[int], list[int]]:
    if cell.kinds is None or cell.wait_counts is None or cell.handle_counts is None:
        cell.kinds, cell.wait_counts, cell.handle_counts = {}, new_counts(), new_counts()
    return cell.kinds, cell.wait_counts, cell.handle_counts


def _obey(signal: Any) -> str:
    if isinstance(signal, Exception):
        raise signal
    return str(signal)


def _stopped(cell: Any, entry: Entry) -> str:
    """A stop request's turn has come. Its asker is told at the end of the incarnation."""
    if entry.reply is not None:
        cell.on_end(entry.reply)
    return "normal" if isinstance(entry.message, StopRequest) and entry.message.restartable else "shutdown"


def _special(actor: Actor, message: Any, intercept: Callable[[str, Any], None] | None, path: str) -> Any:
    """Pykka's proxy messages, with Pykka's meaning."""
    if intercept is not None:
        intercept(path, message)
    if message.__class__ is ProxyCall:
        return get_attr_directly(actor, message.attr_path)(*message.args, **message.kwargs)
    if message.__class__ is ProxyGetAttr:
        return get_attr_directly(actor, message.attr_path)
    return setattr(get_attr_directly(actor, message.attr_path[:-1]), message.attr_path[-1], message.value)
