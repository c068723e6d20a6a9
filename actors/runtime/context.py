"""What an actor can do besides handling messages: timers, late replies, tasks of its own, retirement.

Counterpart: `Actor.context`; each incarnation has its own, and what was made through it dies with it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from actors.runtime.clock import Clock
from actors.runtime.future import TrioFuture
from actors.runtime.timers import Timer

if TYPE_CHECKING:
    from actors.runtime.cell import Cell
    from actors.runtime.fence import FenceToken
    from actors.runtime.ref import ActorRef
    from actors.runtime.system import System

TIMERS_PER_ACTOR_MAX: Final = 1000
"""How many timers of one incarnation may be pending; one more is a leak, and raises."""

LATER_REPLIES_MAX: Final = 100_000
"""How many late replies of one incarnation may be pending; one more is a leak, and raises."""

TASKS_PER_ACTOR_MAX: Final = 1000
"""How many tasks of one incarnation may run; one more is a leak, and raises."""


class Reply:
    """The right to answer one ask, now or later, from any place of the actor's. The first answer counts, later ones do nothing."""

    __slots__ = ("_future", "_owed")

    def __init__(self, owed: set[Reply], future: TrioFuture[Any]) -> None:
        self._owed = owed
        self._future = future

    def set(self, value: Any = None) -> None:
        """Answer with a value."""
        self._future.deliver(value)
        self._owed.discard(self)

    def fail(self, error: Exception) -> None:
        """Answer with an exception: it is raised where the asker waits, and is no failure of this actor."""
        self._future.deliver_error(error)
        self._owed.discard(self)

    @property
    def answered(self) -> bool:
        """Whether there is nothing left to answer: answered, timed out, or failed with the actor's crash."""
        return self._future.done()


class ActorContext:
    """The place of an actor in its system, and the tools of this incarnation."""

    __slots__ = ("_cell", "clock", "incarnation", "path", "ref", "system")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.system: System = cell.system
        self.path: str = cell.path
        self.ref: ActorRef = cell.ref
        self.clock: Clock = cell.system.clock
        self.incarnation: int = cell.incarnation

    @property
    def backlog(self) -> int:
        """How many messages wait in the mailbox: an actor may put off what is worth doing once for many of them."""
        return len(self._cell.mailbox.queue)

    def after(self, delay_s: float, message: Any) -> Timer:
        """Tell this actor `message` in `delay_s` seconds, unless the timer is cancelled or the incarnation ends before."""
        return self._timer(delay_s, message, None)

    def every(self, period_s: float, message: Any) -> Timer:
        """Tell this actor `message` every `period_s` seconds, first in one period; a tick is left out while the last one waits."""
        if period_s <= 0.0:
            raise ValueError("the period of a timer is a positive number of seconds")
        return self._timer(period_s, message, period_s)

    def _timer(self, delay_s: float, message: Any, period_s: float | None) -> Timer:
        cell = self._cell
        self._check_alive()
        if len(cell.held.timers) >= TIMERS_PER_ACTOR_MAX:
            raise RuntimeError(f"{self.path} has {TIMERS_PER_ACTOR_MAX} pending timers")

        carried = cell.mailbox.carried()

        def fire(timer: Timer) -> None:
            if timer.period_s is None:
                cell.held.timers.discard(timer)
            if carried is None:
                cell.tick(message, timer)
            else:
                carried.run(cell.tick, message, timer)

        timer = self.system.timers.add(delay_s, fire, period_s=period_s)
        cell.held.timers.add(timer)
        timer.on_cancel(cell.timer_cancelled)
        return timer

    def reply_later(self) -> Reply:
        """Take the right to answer the ask being handled; what the handler returns is then ignored. Under a tell nobody listens."""
        cell = self._cell
        entry = cell.current
        if entry is None:
            raise RuntimeError("reply_later() is for on_receive, while it handles a message")
        future, entry.reply = entry.reply, None
        reply = Reply(cell.held.owed, future if future is not None else TrioFuture())
        if future is not None:
            if len(cell.held.owed) >= LATER_REPLIES_MAX:
                raise RuntimeError(f"{self.path} owes {LATER_REPLIES_MAX} replies")
            cell.held.owed.add(reply)
        return reply

    def start_soon(self, async_fn: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Run `async_fn(*args)` beside the message loop, as a task of this incarnation: it is cancelled when the incarnation ends.

        An exception of it is a failure of the actor.
        """
        self._check_alive()
        if len(self._cell.held.tasks) >= TASKS_PER_ACTOR_MAX:
            raise RuntimeError(f"{self.path} has {TASKS_PER_ACTOR_MAX} tasks")
        self._cell.start_task(async_fn, args)

    def watch(self, ref: ActorRef) -> None:
        """Tell this actor `Terminated` once when the actor of `ref` has ended for good: at once if it has already, or was never there.

        A restart is no end. Watching a place twice is watching it once. The watch ends with this incarnation, and so does a
        `Terminated` that waits in the mailbox: watch in `on_start`. Raises RuntimeError over WATCHES_PER_ACTOR_MAX, ValueError for
        an actor of another system.
        """
        self._check_alive()
        self._cell.watch(self._watchable(ref))

    def unwatch(self, ref: ActorRef) -> None:
        """Watch it no more; a `Terminated` that waits in the mailbox is withdrawn."""
        self._check_alive()
        self._cell.unwatch(self._watchable(ref))

    def _watchable(self, ref: ActorRef) -> Cell:
        cell = ref.cell
        if cell.system is not self.system:
            raise ValueError(f"{cell.path} belongs to another system")
        return cell

    @property
    def fence(self) -> FenceToken:
        """This incarnation's right to what it owns outside the loop, for threads that it starts; see fence.py."""
        self._check_alive()
        return self._cell.fence_token()

    def retire(self) -> bool:
        """A dynamic child that has nothing to do leaves the tree: True, and it ends after this handler. False if messages wait."""
        self._check_alive()
        return self._cell.retire()

    def _check_alive(self) -> None:
        if self._cell.context is not self:
            raise RuntimeError(f"incarnation {self.incarnation} of {self.path} has ended")
