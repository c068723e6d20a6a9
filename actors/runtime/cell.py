"""`Cell`: one place in the tree. It holds what outlives an incarnation (mailbox, counters, last failure) and runs the incarnations.

Counterparts: `ActorRef` puts into its mailbox; its supervisor spawns `run` as a task and is told of the end by `exited`; the loop
that takes the messages is in loop.py, what is kept and told of failures in record.py.

Theory of operation. An incarnation is one task in the nursery of the supervisor: make the actor, `on_start`, the loop, `on_stop`.
It never raises into that nursery: an exception is recorded, and the end is reported as an `Exit`. trio.Cancelled passes through
untouched; a group that holds both is split. KeyboardInterrupt and SystemExit end the system in good order, then go on.
"""

from __future__ import annotations

import enum
import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import trio
from msgspec import Struct

from actors.runtime.context import ActorContext, Reply
from actors.runtime.errors import ActorCrashed, ActorDead, MailboxFull, crash_of
from actors.runtime.events import DeadLetter, EventKind, LifecycleEvent, Reason
from actors.runtime.failure import Failure, failure_of
from actors.runtime.future import TrioFuture
from actors.runtime.loop import LoopState, receive
from actors.runtime.mailbox import CANCELLED, ConflatingMailbox, Entry, Mailbox, StopRequest
from actors.runtime.specs import MailboxPolicy, Restart
from actors.runtime.timers import Timer

if TYPE_CHECKING:
    from actors.runtime.actor import Actor
    from actors.runtime.ref import ActorRef
    from actors.runtime.supervisor import Supervisor
    from actors.runtime.system import System


class ActorState(enum.Enum):
    """What is in a place at the moment."""

    STARTING = "starting"
    """Registered and waiting for its turn, or in `on_start`."""
    RUNNING = "running"
    BACKOFF = "backoff"
    """Waiting for its restart, with its mailbox open."""
    STOPPED = "stopped"
    FAILED = "failed"
    """Given up after too many failures, or failed and not to be restarted."""


class ExitKind(enum.Enum):
    """How an incarnation ended."""

    NORMAL = "normal"
    """By its own will: `Actor.stop`, `context.retire`."""
    SHUTDOWN = "shutdown"
    """It was told to stop, by `ActorRef.stop` or by its supervisor."""
    FAILED = "failed"
    KILLED = "killed"
    """Cancelled in the middle: `ActorRef.kill`, a stop that took too long, or the end of everything."""


class Exit(Struct, frozen=True):
    """The report of an incarnation's end."""

    kind: ExitKind
    error: Exception | None = None


class StopMode(enum.Enum):
    """Why a supervisor stops a child."""

    FINAL = "final"
    RESTART = "restart"
    """It will come back: its mailbox stays open, and what is queued stays queued."""


class Cell(LoopState):
    """See the module docstring. Attributes without a comment are explained where they are used."""

    __slots__ = (
        "_ends",
        "_overflow_told_at",
        "_stopped_event",
        "_tasks_done",
        "active",
        "args",
        "attempts",
        "children",
        "context",
        "failure",
        "initial",
        "kwargs",
        "name",
        "owed",
        "parent",
        "predecessor",
        "ref",
        "restart",
        "restart_times",
        "retry_at",
        "retry_timer",
        "scope",
        "started_at",
        "state",
        "stop_mode",
        "stop_timeout_s",
        "tasks",
        "timers",
    )

    def __init__(self, system: System, path: str) -> None:
        super().__init__(system, path)
        self.name = path.rpartition("/")[2]
        self.parent: Cell | None = None
        self.children: dict[str, Cell] | None = None
        self.ref: ActorRef = system.make_ref(self)
        self.args: tuple[Any, ...] = ()
        self.kwargs: Mapping[str, Any] = {}
        self.restart = Restart.TEMPORARY
        self.stop_timeout_s = 0.0
        self.state = ActorState.STOPPED
        self.active = False  # whether there is a task of it
        self.initial = True  # whether it has never been up yet
        self.context: ActorContext | None = None
        self.scope = trio.CancelScope()
        self.started_at = 0.0
        self.failure: Exception | None = None
        self.stop_mode: StopMode | None = None
        self.attempts = 0  # restarts in a row, for the backoff
        self.restart_times: deque[float] | None = None
        self.retry_at = 0.0
        self.retry_timer: Timer | None = None
        self.predecessor: Cell | None = None
        self.timers: set[Timer] = set()
        self.owed: set[Reply] = set()
        self.tasks: set[trio.CancelScope] = set()
        self._tasks_done: trio.Event | None = None
        self._ends: list[TrioFuture[Any]] | None = None
        self._stopped_event: threading.Event | None = None
        self._overflow_told_at = float("-inf")
        self._set_mailbox(Mailbox(self, MailboxPolicy(capacity=0), system.clock.monotonic))
        self.mailbox.close()

    def _set_mailbox(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.put = mailbox.put

    def furnish(
        self,
        parent: Cell | None,
        actor_class: type[Actor],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        restart: Restart,
        stop_timeout_s: float,
    ) -> None:
        """Say what is to run in this place, and open its mailbox."""
        self.parent = parent
        self.actor_class = actor_class
        self.args, self.kwargs = args, kwargs
        self.restart, self.stop_timeout_s = restart, stop_timeout_s
        self.state = ActorState.STARTING
        make = ConflatingMailbox if actor_class.has_conflate_key() else Mailbox
        self._set_mailbox(make(self, actor_class.mailbox, self.system.clock.monotonic))

    @property
    def supervisor(self) -> Supervisor:
        """Who supervises this place, the system for the root."""
        supervisor: Supervisor = self.system.supervisor_of(self)
        return supervisor

    def notify(self) -> None:
        """The state changed: let those who wait for it look."""
        self.supervisor.notify()

    # --- the life of an incarnation --------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Right before the task is spawned, so that a stop or kill that comes before its first step has something to act on."""
        self.active = True
        self.state = ActorState.STARTING
        self.scope = trio.CancelScope()
        self.failure = None
        self.stop_mode = None
        self.retry_timer = None

    async def run(self) -> None:
        """One incarnation, from making the actor to the report of its end. Raises nothing but trio.Cancelled from outside."""
        exit_ = Exit(ExitKind.KILLED)
        try:
            if self.predecessor is not None:
                await self.predecessor.ended()
                self.predecessor = None
            exit_ = await self._incarnate()
        finally:
            self._clear()
            self.supervisor.exited(self, exit_)
            self.report_end()

    async def _incarnate(self) -> Exit:
        self.incarnation += 1
        self.context = ActorContext(self)
        kind = ExitKind.KILLED
        with self.scope:
            try:
                kind = await self._make().live(self)
            except Exception as error:  # noqa: BLE001 - whatever an actor raises is reported to its supervisor, never lost
                self.failure = self.failure or error
            except (BaseExceptionGroup, KeyboardInterrupt, SystemExit) as error:
                self._split(error)
        if self.tasks:
            await self._end_tasks()
        if self.failure is None:
            return Exit(kind)
        self._record_failure(self.failure)
        await self._tell_failure(self.failure)
        return Exit(ExitKind.FAILED, self.failure)

    def _split(self, error: BaseException) -> None:
        """Keep what is a failure, hand on what ends the program, raise what is cancellation."""
        cancelled: BaseException | None = None
        rest: BaseException | None = error
        if isinstance(error, BaseExceptionGroup):
            cancelled, rest = error.split(trio.Cancelled)
        if isinstance(rest, Exception):
            self.failure = self.failure or rest
        elif rest is not None:
            self.system.abort(rest)
        if cancelled is not None:
            raise cancelled

    def _make(self) -> Actor:
        actor = self.actor_class.__new__(self.actor_class)
        actor.bind(self)
        self.actor = actor
        actor.__init__(*self.args, **self.kwargs)  # type: ignore[misc]  # bind must come first, so that __init__ has the context
        return actor

    async def hooks(self, actor: Actor) -> ExitKind:
        """`on_start`, the messages, `on_stop`."""
        await _maybe(actor.on_start())
        self.started_at = trio.current_time()
        self.state = ActorState.RUNNING
        self.initial = False
        self.publish(EventKind.STARTED)
        self.notify()
        kind = ExitKind(await receive(self, actor))
        await _maybe(actor.on_stop())
        return kind

    async def _tell_failure(self, failure: Exception) -> None:
        if self.actor is None:
            return
        with trio.move_on_after(self.stop_timeout_s):
            try:
                await _maybe(self.actor.on_failure(type(failure), failure, failure.__traceback__))
            except Exception as error:  # noqa: BLE001 - a failing clean-up must not hide the failure
                self.system.log.error("on_failure failed", path=self.path, error=type(error).__name__)

    def _clear(self) -> None:
        """Nothing of an incarnation outlives it: its timers, its promises to answer, its half-handled message."""
        entry, self.current = self.current, None
        if entry is not None and not isinstance(entry.message, StopRequest):
            self._crash_entry(entry, None)
        for timer in tuple(self.timers):
            timer.cancel()
        for reply in tuple(self.owed):
            reply.fail(ActorCrashed(self.path) if self.failure is not None else ActorDead(f"{self.path} stopped"))
        self.mailbox.signal = None
        self.context = None
        self.actor = None
        self.active = False

    # --- tasks beside the loop -------------------------------------------------------------------------------------

    def start_task(self, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        """See `ActorContext.start_soon`."""
        scope = trio.CancelScope()
        self.tasks.add(scope)
        self.supervisor.nursery.start_soon(self._run_task, scope, async_fn, args)

    async def _run_task(
        self, scope: trio.CancelScope, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> None:
        try:
            with scope:
                try:
                    await async_fn(*args)
                except Exception as error:  # noqa: BLE001 - as in _incarnate
                    self.failure = self.failure or error
                    self.scope.cancel()
                except (BaseExceptionGroup, KeyboardInterrupt, SystemExit) as error:
                    try:
                        self._split(error)
                    finally:
                        if self.failure is not None:
                            self.scope.cancel()
        finally:
            self.tasks.discard(scope)
            if not self.tasks and self._tasks_done is not None:
                self._tasks_done.set()

    async def _end_tasks(self) -> None:
        self._tasks_done = trio.Event()
        for scope in tuple(self.tasks):
            scope.cancel()
        await self._tasks_done.wait()
        self._tasks_done = None

    # --- timers ------------------------------------------------------------------------------------------------------

    def tick(self, message: Any, timer: Timer) -> None:
        """A timer of this incarnation is due."""
        try:
            self.mailbox.put_tick(message, timer)
        except (MailboxFull, ActorDead) as error:
            self.dead_letter(message, Reason.FULL if isinstance(error, MailboxFull) else Reason.DEAD)

    def timer_cancelled(self, timer: Timer) -> None:
        """A timer was cancelled: take its message back if it still waits."""
        self.timers.discard(timer)
        self.mailbox.withdraw(timer)

    # --- the end -----------------------------------------------------------------------------------------------------

    def request_stop(self, future: TrioFuture[Any] | None = None, *, restartable: bool = False) -> None:
        """See `ActorRef.stop` and `Actor.stop`. `future` gets True at the end, False if there is nothing to stop."""
        if self.mailbox.limit < 0:
            if future is not None and self.active:
                self.on_end(future)
            elif future is not None:
                future.deliver(False)
            return
        if self.active:
            self.mailbox.put_tail(StopRequest(restartable), future)
            return
        self.supervisor.forget_restart(self)
        self.finish(ActorState.STOPPED)
        if future is not None:
            future.deliver(True)

    def kill(self) -> None:
        """See `ActorRef.kill`."""
        if self.active:
            self.stop_mode = StopMode.FINAL
            self.scope.cancel()
        else:
            self.request_stop()

    def retire(self) -> bool:
        """See `ActorContext.retire`."""
        self.mailbox.take_foreign()
        if self.mailbox.depth() or self.owed or not self.supervisor.release(self):
            return False
        self.mailbox.close()
        self.mailbox.post(ExitKind.NORMAL.value)
        return True

    def on_end(self, future: TrioFuture[Any]) -> None:
        """Deliver True to `future` when this incarnation has ended."""
        self._ends = [*(self._ends or ()), future]

    async def ended(self) -> None:
        """Wait until there is no task of this place."""
        if self.active:
            future: TrioFuture[bool] = TrioFuture()
            self.on_end(future)
            await future

    def finish(self, state: ActorState) -> None:
        """Close the place, and those below it: queued asks get `ActorDead`, queued tells become dead letters."""
        for child in (self.children or {}).values():
            child.finish(ActorState.STOPPED)
        closed = self.mailbox.limit < 0
        self.mailbox.close()
        self.mailbox.drain()
        if closed and self.state in (ActorState.STOPPED, ActorState.FAILED):
            return
        self.state = state
        if self._stopped_event is not None:
            self._stopped_event.set()
        self.publish(EventKind.STOPPED)
        self.notify()

    def report_end(self) -> None:
        """Tell those who wait for the end of this incarnation."""
        ends, self._ends = self._ends, None
        for future in ends or ():
            future.deliver(True)

    def stopped_event(self) -> threading.Event:
        """What Pykka calls `actor_stopped`."""
        if self._stopped_event is None:
            self._stopped_event = threading.Event()
            if self.mailbox.limit < 0:
                self._stopped_event.set()
        return self._stopped_event

    # --- what is told of it --------------------------------------------------------------------------------------------

    def publish(self, kind: EventKind, error: str | None = None, message_type: str | None = None) -> None:
        """Tell the subscribers what happened here."""
        self.system.events.publish(
            LifecycleEvent(self.system.clock.now(), kind, self.path, self.incarnation, error, message_type)
        )

    def overflowed(self) -> None:
        """The mailbox was full: counted there, told to subscribers at most once a second."""
        now = trio.current_time()
        if now - self._overflow_told_at >= 1.0:
            self._overflow_told_at = now
            self.publish(EventKind.OVERFLOW)

    def dead_letter(self, message: Any, reason: Reason) -> None:
        """Record that a message was not handled to its end."""
        self.system.dead_letters.add(DeadLetter(self.system.clock.now(), self.path, type(message).__name__, reason))

    def _crash_entry(self, entry: Entry, failure: Exception | None) -> None:
        if entry.message is CANCELLED:
            return
        self.dead_letter(entry.message, Reason.CRASHED)
        if entry.reply is not None:
            crash = (
                crash_of(failure, self.path) if failure is not None else ActorCrashed(f"{self.path} was stopped in it")
            )
            entry.reply.deliver_error(crash)

    def _record_failure(self, failure: Exception) -> None:
        entry, self.current = self.current, None
        message_type = None
        if entry is not None:
            message_type = type(entry.message).__name__
            self._crash_entry(entry, failure)
        self.failed += 1
        self.last_failure: Failure | None = failure_of(failure, self.system.clock.now(), message_type)
        self.publish(EventKind.FAILED, self.last_failure.type, message_type)
        self.system.log.error(
            "actor failed",
            path=self.path,
            incarnation=self.incarnation,
            error=self.last_failure.type,
            message_type=message_type,
            traceback=self.last_failure.traceback,
        )


async def _maybe(result: Any) -> None:
    """A hook's result: awaited if the hook is async."""
    if inspect.isawaitable(result):
        await result
