"""Mailboxes: a bounded deque that one actor takes from and everybody puts into, without a checkpoint in `put`.

Counterpart: `ActorRef` puts, the receive loop (loop.py) takes; entry.py has what is queued, mailbox_kinds.py the mailboxes that merge
messages or carry context. A mailbox belongs to the place, not to the incarnation: it survives restarts, and so does what is queued in
it. The one signal slot (stop, failure) is looked at before every message: it goes ahead.

Rules: `put` never waits, and either keeps the message, raises, or makes it a dead letter; nothing is lost silently. After `close`
every put raises `ActorDead`.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import reschedule

from actors.runtime.entry import CANCELLED, STOP_MESSAGES, Entry
from actors.runtime.errors import ActorDead, MailboxFull
from actors.runtime.future import TrioFuture
from actors.runtime.letters import Reason
from actors.runtime.specs import MailboxPolicy, Overflow

if TYPE_CHECKING:
    from actors.runtime.cell import Cell


_foreign_lock = threading.Lock()
"""Guards what other threads put; held for a few instructions."""


class Mailbox:
    """The queue of one place. See the module docstring; `limit` is the capacity while open, -1 once closed."""

    __slots__ = (
        "_cell",
        "_foreign",
        "_index",
        "_monotonic",
        "high_water",
        "limit",
        "line",
        "overflows",
        "policy",
        "queue",
        "signal",
        "waiter",
    )

    def __init__(self, cell: Cell, policy: MailboxPolicy, monotonic: Callable[[], float]) -> None:
        self._cell = cell
        self.policy = policy
        self._monotonic = monotonic
        self.queue: deque[Entry] = deque()
        self.limit = policy.capacity
        self.high_water = 0
        self.overflows = 0
        self.signal: Any = None
        self.waiter: trio.lowlevel.Task | None = None
        self.line: deque[Entry] | None = None
        """Those who wait for room, in order."""
        self._index: dict[Hashable, Entry] | None = None
        """Queued messages by their key."""
        self._foreign: deque[tuple[Any, TrioFuture[Any] | None, contextvars.Context | None]] | None = None
        """What other threads have put and the loop has not yet moved into the queue; bounded by the capacity."""

    # --- putting -------------------------------------------------------------------------------------------------

    def put(self, message: Any, reply: TrioFuture[Any] | None = None) -> None:
        """Queue a message. Raises `MailboxFull` or `ActorDead`."""
        queue = self.queue
        if len(queue) >= self.limit:
            self._put_at_limit(Entry(message, reply, self._monotonic()))
            return
        queue.append(Entry(message, reply, self._monotonic()))
        task = self.waiter
        if task is not None:
            self.waiter = None
            reschedule(task)

    def put_tick(self, message: Any, timer: Hashable) -> None:
        """Queue a timer's message unless its last one still waits; with the timer as key, so that it can be withdrawn."""
        if self._index is None or timer not in self._index:
            self.put_entry(Entry(message, None, self._monotonic(), timer, context=self.carried()))

    def put_entry(self, entry: Entry) -> None:
        """As `put`, for an entry that is made already."""
        if len(self.queue) >= self.limit:
            self._put_at_limit(entry)
        else:
            self._append(entry)

    def put_tail(self, message: Any, reply: TrioFuture[Any] | None) -> None:
        """Queue a message of the runtime's own (a stop), whatever the bound. Raises `ActorDead`."""
        if self.limit < 0:
            raise ActorDead(f"{self._cell.path} is stopped")
        self._append(Entry(message, reply, self._monotonic()))

    def put_notice(self, message: Any, key: Hashable) -> None:
        """Queue a message of the runtime's own that is not refused for want of room; dropped when this place is closed."""
        if self.limit >= 0:
            self._append(Entry(message, None, self._monotonic(), key))

    async def send(self, message: Any) -> None:
        """Queue a message, waiting for room in order of arrival. Raises `ActorDead`, also while waiting."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self.put(message)
        except MailboxFull:
            pass
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        entry = Entry(message, None, self._monotonic(), task=trio.lowlevel.current_task(), context=self.carried())
        self._stand_in_line(entry)

        def abort(_: object) -> trio.lowlevel.Abort:
            if self.line is not None:
                self.line = deque(other for other in self.line if other is not entry)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        if entry.task is CANCELLED:
            raise ActorDead(f"{self._cell.path} stopped before it took the message")

    def _stand_in_line(self, entry: Entry) -> None:
        if self.line is None:
            self.line = deque()
        self.line.append(entry)

    def _put_at_limit(self, entry: Entry) -> None:
        if self.limit < 0:
            raise ActorDead(f"{self._cell.path} is stopped")
        overflow = self.policy.overflow
        if overflow is Overflow.DROP_OLDEST and self.queue:
            self._overflowed()
            dropped = self.queue.popleft()
            self.forget(dropped)
            self.refuse(dropped, Reason.DROPPED, MailboxFull(f"{self._cell.path} dropped the ask for a newer message"))
            self._append(entry)
        elif overflow is Overflow.WAIT and entry.reply is not None and len(self.line or ()) < self.limit:
            self._overflowed()
            self._stand_in_line(entry)
        else:
            self._overflowed()
            raise MailboxFull(f"{self._cell.path} holds {self.limit} messages")

    def _append(self, entry: Entry) -> None:
        self.queue.append(entry)
        if entry.key is not None:
            if self._index is None:
                self._index = {}
            self._index[entry.key] = entry
        if self.waiter is not None:
            self.wake()

    def _overflowed(self) -> None:
        with _foreign_lock:
            self.overflows += 1
        self.high_water = max(self.high_water, len(self.queue))
        self._cell.overflowed()

    # --- putting from other threads -------------------------------------------------------------------------------

    def put_foreign(self, message: Any, reply: TrioFuture[Any] | None, token: trio.lowlevel.TrioToken) -> None:
        """`put` for other threads. Raises `MailboxFull` and `ActorDead` as far as can be told from here.

        What turns out only on the Trio thread reaches the asker through the future, and makes a tell a dead letter.
        """
        replaces = self.policy.overflow in (Overflow.DROP_OLDEST, Overflow.CONFLATE)
        with _foreign_lock:
            if self._foreign is None:
                self._foreign = deque()
            waiting = len(self._foreign)
            if self.limit < 0:
                raise ActorDead(f"{self._cell.path} is stopped")
            if waiting >= self.limit or (not replaces and waiting + len(self.queue) >= self.limit):
                self.overflows += 1
                raise MailboxFull(f"{self._cell.path} holds {self.limit} messages")
            self._foreign.append((message, reply, self.carried()))
        if waiting == 0:  # else somebody has asked the loop to come already
            try:
                token.run_sync_soon(self.take_foreign)
            except trio.RunFinishedError:
                self._foreign = None
                raise ActorDead(f"{self._cell.path}: its system has ended") from None

    def take_foreign(self) -> None:
        """On the Trio thread: move what other threads have put into the queue."""
        with _foreign_lock:
            foreign, self._foreign = self._foreign, None
        for message, reply, context in foreign or ():
            try:
                if context is None:
                    self.put(message, reply)
                else:
                    context.run(self.put, message, reply)
            except (MailboxFull, ActorDead) as error:
                reason = Reason.FULL if isinstance(error, MailboxFull) else Reason.DEAD
                self.refuse(Entry(message, reply, 0.0), reason, error)

    def carried(self) -> contextvars.Context | None:
        """The context variables that travel with a message of the caller's: none, but see `TracedMailbox`."""
        return None

    # --- taking --------------------------------------------------------------------------------------------------

    def depth(self) -> int:
        """How many messages wait, those of other threads and those in line included."""
        return len(self.queue) + len(self._foreign or ()) + len(self.line or ())

    def oldest_s(self, now: float) -> float:
        """How long the oldest queued message has waited, in seconds; `now` is monotonic."""
        return max(0.0, now - self.queue[0].at) if self.queue else 0.0

    def forget(self, entry: Entry) -> None:
        """The entry left the queue: no newer message can replace it any more."""
        if entry.key is not None and self._index is not None:
            self._index.pop(entry.key, None)

    def withdraw(self, key: Hashable) -> None:
        """If a message with this key is queued, take its contents out."""
        queued = self._index.pop(key, None) if self._index else None
        if queued is not None:
            queued.message = CANCELLED
            queued.key = None

    def holds(self, key: Hashable) -> bool:
        """Whether a message with this key is queued."""
        return self._index is not None and key in self._index

    def purge(self, key_type: type) -> None:
        """Take every message whose key is of this type out of the queue."""
        kept = [entry for entry in self.queue if not isinstance(entry.key, key_type)]
        if len(kept) < len(self.queue):
            self.queue.clear()
            self.queue.extend(kept)
            self._index = {entry.key: entry for entry in kept if entry.key is not None}

    def admit(self) -> None:
        """A message was taken: let the first in line in."""
        while self.line and len(self.queue) < self.limit:
            entry = self.line.popleft()
            self.queue.append(entry)
            if entry.task is not None:
                reschedule(entry.task)
                entry.task = None

    def abort(self, _: object) -> trio.lowlevel.Abort:
        """The actor's task, the `waiter`, is cancelled while it sleeps until there is a message or a signal."""
        self.waiter = None
        return trio.lowlevel.Abort.SUCCEEDED

    def wake(self) -> None:
        """Let the actor look at its mailbox."""
        task, self.waiter = self.waiter, None
        if task is not None:
            reschedule(task)

    def post(self, signal: Any) -> None:
        """Put a signal ahead of every message. A failure in the slot is never overwritten by a mere stop."""
        if not isinstance(self.signal, Exception):
            self.signal = signal
        self.wake()

    # --- the end -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Accept nothing from now on."""
        self.limit = -1

    def reopen(self) -> None:
        """After `close` and `drain`: accept messages again."""
        self.limit = self.policy.capacity

    def drain(self) -> None:
        """After `close`: asks get `ActorDead`, tells become dead letters, those in line wake with `ActorDead`."""
        self.take_foreign()
        error = ActorDead(f"{self._cell.path} stopped before it handled the message")
        entries = [*self.queue, *(self.line or ())]
        self.queue.clear()
        self.line = self._index = None
        for entry in entries:
            if entry.task is not None:
                task, entry.task = entry.task, CANCELLED
                reschedule(task)
            else:
                self.refuse(entry, Reason.DEAD, error)

    def refuse(self, entry: Entry, reason: Reason, error: Exception) -> None:
        """An entry will not be handled: tell its asker, or record a dead letter."""
        if entry.message is CANCELLED:
            return
        if entry.reply is not None:
            if entry.message.__class__ in STOP_MESSAGES:
                entry.reply.deliver(True)
            else:
                entry.reply.deliver_error(error)
        elif entry.message.__class__ not in STOP_MESSAGES:
            self._cell.dead_letter(entry.message, reason)
