"""The message loop: takes from the mailbox, measures, calls the actor, answers. The one hot path of the runtime.

Counterpart: `Life` (life.py) calls `receive` once for each incarnation. It is one long function on purpose: every call saved here
is saved for every message.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

import trio

from actors.runtime.carry import in_context
from actors.runtime.entry import CANCELLED, STOP_MESSAGES, Entry, StopRequest
from actors.runtime.histogram import BOUNDS_S
from actors.runtime.park import park

if TYPE_CHECKING:
    from actors.runtime.actor import Actor
    from actors.runtime.place import Place

MESSAGES_PER_SLICE: Final = 1000
"""After so many messages without a checkpoint the loop yields to other tasks, however full the mailbox is."""

SLICE_S: Final = 0.005
"""After so many seconds as well."""


async def receive(cell: Place, actor: Actor) -> str:  # noqa: C901 - one flat hot path, see the module docstring
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
    abort = mailbox.abort
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
            await park(abort)
            if queue and not waits:
                kinds, waits, handles = cell.counters()
            budget = MESSAGES_PER_SLICE
            now = monotonic()
            slice_end = now + SLICE_S
            continue
        if budget <= 0 or now > slice_end:
            await trio.lowlevel.checkpoint()
            if not waits:
                kinds, waits, handles = cell.counters()
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
                result = handle(message) if entry.context is None else entry.context.run(handle, message)
            if result.__class__ is CoroutineType:
                cell.handling_since = now  # nobody can look while a plain function runs
                result = await (result if entry.context is None else in_context(entry.context, result))
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


def _obey(signal: Any) -> str:
    if isinstance(signal, Exception):
        raise signal
    return str(signal)


def _stopped(cell: Place, entry: Entry) -> str:
    """A stop request's turn has come. Its asker is told at the end of the incarnation."""
    if entry.reply is not None:
        cell.on_end(entry.reply)
    return "normal" if isinstance(entry.message, StopRequest) and entry.message.restartable else "shutdown"


def _special(actor: Actor, message: Any, intercept: Callable[[str, Any], None] | None, path: str) -> Any:
    """Pykka's proxy messages."""
    if intercept is not None:
        intercept(path, message)
    return actor.handle_proxy_message(message)
