"""`Cell`: one place in the tree. It holds what outlives an incarnation (mailbox, counters, last failure) and runs the incarnations.

Counterparts: `ActorRef` puts into its mailbox; its supervisor spawns `run` as a task and is told of the end by `exited`; the loop
that takes the messages is in loop.py, what is counted and told of it in place.py.

Theory of operation. An incarnation is one task in the nursery of the supervisor: make the actor, `on_start`, the loop, `on_stop`.
It never raises into that nursery: an exception is recorded, and the end is reported as an `Exit`. trio.Cancelled passes through
untouched; a group that holds both is split. KeyboardInterrupt and SystemExit end the system in good order, then go on.
"""

from __future__ import annotations

import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import trio

from actors.runtime.context import ActorContext, Reply
from actors.runtime.errors import ActorCrashed, ActorDead, MailboxFull
from actors.runtime.events import EventKind, Reason
from actors.runtime.future import TrioFuture
from actors.runtime.log import say_error
from actors.runtime.loop import receive
from actors.runtime.mailbox import Mailbox, StopRequest, mailbox_class
from actors.runtime.place import Place
from actors.runtime.specs import MailboxPolicy, Restart
from actors.runtime.states import ActorState, Exit, ExitKind, StopMode
from actors.runtime.timers import Timer

if TYPE_CHECKING:
    from actors.runtime.actor import Actor
    from actors.runtime.ref import ActorRef
    from actors.runtime.supervisor import Supervisor
    from actors.runtime.system import System


_CLOSED: Final = MailboxPolicy(capacity=0)
"""Of the mailbox of a place that is not part of a tree yet: it is closed."""


class Held:
    """Timers, promised replies and tasks of one incarnation."""

    __slots__ = ("owed", "tasks", "tasks_done", "timers")

    def __init__(self) -> None:
        self.timers: set[Timer] = set()
        self.owed: set[Reply] = set()
        self.tasks: set[trio.CancelScope] = set()
        self.tasks_done: trio.Event | None = None


class Cell(Place):
    """See the module docstring. Attributes without a comment are explained where they are used."""

    __slots__ = (
        "_held",
        "_stopped_event",
        "active",
        "args",
        "attempts",
        "children",
        "context",
        "failure",
        "initial",
        "kwargs",
        "name",
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
        self.started_at: float | None = None  # when the present or last incarnation came up
        self.failure: Exception | None = None
        self.stop_mode: StopMode | None = None
        self.attempts = 0  # restarts in a row, for the backoff
        self.restart_times: deque[float] | None = None
        self.retry_at = 0.0
        self.retry_timer: Timer | None = None
        self.predecessor: Cell | None = None
        self._held: Held | None = None
        self._stopped_event: threading.Event | None = None

    def _set_mailbox(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.put = mailbox.put

    def vacate(self) -> None:
        """Nothing is to run here yet: the place has a name, and refuses messages."""
        self._set_mailbox(Mailbox(self, _CLOSED, self.system.clock.monotonic))
        self.mailbox.close()

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
        make = mailbox_class(keyed=actor_class.has_conflate_key(), traced=self.system.trace_context)
        self._set_mailbox(make(self, actor_class.mailbox, self.system.clock.monotonic))

    @property
    def held(self) -> Held:
        """What the present incarnation has made and has to give back; made when first needed: most of very many actors make none."""
        if self._held is None:
            self._held = Held()
        return self._held

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
        kind = ExitKind.KILLED
        with self.scope:
            try:
                kind = await (self.actor or self.make()).live(self)
            except (trio.Cancelled, GeneratorExit):
                raise
            except BaseException as error:  # noqa: BLE001 - whatever an actor raises is reported to its supervisor, never lost
                self._split(error)
        if self._held is not None and self._held.tasks:
            await self._end_tasks(self._held)
        if self.failure is None:
            return Exit(kind)
        self.record_failure(self.failure)
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

    def make(self) -> Actor:
        """Make the actor of the next incarnation."""
        self.incarnation += 1
        self.context = ActorContext(self)
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
                say_error("on_failure failed", path=self.path, error=type(error).__name__)

    def _clear(self) -> None:
        """Nothing of an incarnation outlives it: its timers, its promises to answer, its half-handled message."""
        entry, self.current = self.current, None
        if entry is not None and not isinstance(entry.message, StopRequest):
            self.crash_entry(entry, None)
        held, self._held = self._held, None
        for timer in tuple(held.timers) if held is not None else ():
            timer.cancel()
        for reply in tuple(held.owed) if held is not None else ():
            reply.fail(ActorCrashed(self.path) if self.failure is not None else ActorDead(f"{self.path} stopped"))
        self.mailbox.signal = None
        self.context = None
        self.actor = None
        self.active = False

    # --- tasks beside the loop -------------------------------------------------------------------------------------

    def start_task(self, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        """See `ActorContext.start_soon`."""
        scope = trio.CancelScope()
        self.held.tasks.add(scope)
        self.supervisor.nursery.start_soon(self._run_task, scope, async_fn, args)

    async def _run_task(
        self, scope: trio.CancelScope, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> None:
        try:
            with scope:
                try:
                    await async_fn(*args)
                except (trio.Cancelled, GeneratorExit):
                    raise
                except BaseException as error:  # noqa: BLE001 - as in _incarnate
                    try:
                        self._split(error)
                    finally:
                        if self.failure is not None:
                            self.scope.cancel()
        finally:
            held = self.held
            held.tasks.discard(scope)
            if not held.tasks and held.tasks_done is not None:
                held.tasks_done.set()

    async def _end_tasks(self, held: Held) -> None:
        held.tasks_done = trio.Event()
        for scope in tuple(held.tasks):
            scope.cancel()
        await held.tasks_done.wait()

    # --- timers ------------------------------------------------------------------------------------------------------

    def tick(self, message: Any, timer: Timer) -> None:
        """A timer of this incarnation is due."""
        try:
            self.mailbox.put_tick(message, timer)
        except (MailboxFull, ActorDead) as error:
            self.dead_letter(message, Reason.FULL if isinstance(error, MailboxFull) else Reason.DEAD)

    def timer_cancelled(self, timer: Timer) -> None:
        """A timer was cancelled: take its message back if it still waits."""
        self.held.timers.discard(timer)
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
        if self.mailbox.depth() or (self._held is not None and self._held.owed) or not self.supervisor.release(self):
            return False
        self.mailbox.close()
        if self.active:
            self.mailbox.post(ExitKind.NORMAL.value)
        else:
            self.finish(ActorState.STOPPED)
        return True

    async def ended(self) -> None:
        """Wait until there is no task of this place."""
        if self.active:
            future: TrioFuture[bool] = TrioFuture()
            self.on_end(future)
            await future

    def finish(self, state: ActorState) -> None:
        """Close the place, and those below it: queued asks get `ActorDead`, queued tells become dead letters."""
        if self.mailbox.limit < 0 and self.state in (ActorState.STOPPED, ActorState.FAILED):
            return
        for child in tuple((self.children or {}).values()):
            child.finish(ActorState.STOPPED)
        self.mailbox.close()
        self.mailbox.drain()
        self.system.finished(self)
        if self.state is not ActorState.FAILED:  # given up by its supervisor, which was then given up as well
            self.state = state
        if self._stopped_event is not None:
            self._stopped_event.set()
        self.publish(EventKind.STOPPED)
        self.notify()

    def stopped_event(self) -> threading.Event:
        """What Pykka calls `actor_stopped`."""
        if self._stopped_event is None:
            self._stopped_event = threading.Event()
            if self.mailbox.limit < 0:
                self._stopped_event.set()
        return self._stopped_event


async def _maybe(result: Any) -> None:
    """A hook's result: awaited if the hook is async."""
    if inspect.isawaitable(result):
        await result
