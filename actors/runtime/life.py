"""`Life`: how an incarnation runs in its place, from making the actor to the report of its end.

Counterpart: `Cell` (cell.py) is the place with all its parts; its supervisor spawns `run` as a task and is told of the end by `exited`;
the loop that takes the messages is in loop.py.

Theory of operation. An incarnation is one task in the nursery of the supervisor: make the actor, `on_start`, the loop, `on_stop`.
It never raises into that nursery: an exception is recorded, and the end is reported as an `Exit`. What is a failure, what goes on and
what ends the system is judged in verdict.py. Nothing of an incarnation outlives it (`_clear`): timers, watches, promised replies, the
half-handled message, its right to what it owns (fence.py).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import trio

from actors.runtime.context import ActorContext
from actors.runtime.entry import StopRequest
from actors.runtime.errors import ActorCrashed, ActorDead, Killed, MailboxFull
from actors.runtime.events import EventKind
from actors.runtime.held import Held, Rare
from actors.runtime.letters import Reason
from actors.runtime.log import say_error
from actors.runtime.loop import receive
from actors.runtime.monitors import WatchKey
from actors.runtime.place import Place
from actors.runtime.states import ActorState, Exit, ExitKind, StopMode
from actors.runtime.threads import ThreadHost
from actors.runtime.timers import Timer
from actors.runtime.verdict import judge

if TYPE_CHECKING:
    from actors.runtime.actor import Actor
    from actors.runtime.cell import Cell
    from actors.runtime.ref import ActorRef
    from actors.runtime.supervisor import Supervisor


class Life(Place):
    """See the module docstring."""

    __slots__ = (
        "_held",
        "_rare",
        "active",
        "args",
        "context",
        "failure",
        "initial",
        "kwargs",
        "predecessor",
        "ref",
        "retry_timer",
        "scope",
        "started_at",
        "state",
        "stop_mode",
        "stop_timeout_s",
    )

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    context: ActorContext | None
    ref: ActorRef
    active: bool
    """Whether there is a task of it."""
    initial: bool
    """Whether it has never been up yet."""
    state: ActorState
    scope: trio.CancelScope
    failure: Exception | None
    stop_mode: StopMode | None
    stop_timeout_s: float
    started_at: float | None
    """When the present or last incarnation came up."""
    retry_timer: Timer | None
    predecessor: Cell | None
    """Who has to be gone first."""
    _held: Held | None
    _rare: Rare | None

    @property
    def held(self) -> Held:
        """What the present incarnation has made and has to give back; made when first needed."""
        if self._held is None:
            self._held = Held()
        return self._held

    @property
    def supervisor(self) -> Supervisor:
        """Who supervises this place, the system for the root."""
        supervisor: Supervisor = self.system.supervisor_of(self)  # type: ignore[arg-type]  # every Life is a Cell
        return supervisor

    @property
    def _cell(self) -> Cell:
        return self  # type: ignore[return-value]  # every Life is a Cell

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
            self.supervisor.exited(self._cell, exit_)
            self.report_end()

    async def _incarnate(self) -> Exit:
        kind = ExitKind.KILLED
        with self.scope:
            try:
                if self.system.fences:
                    await self._pass_fence()
                kind = await (self.actor or self.make()).live(self._cell)
            except BaseException as error:  # noqa: BLE001 - whatever an actor raises is judged, and reported to its supervisor
                self._take(error)
        if self._held is not None and self._held.tasks:
            await self._end_tasks(self._held)
        if self.failure is None:
            return Exit(kind)
        crash = self.record_failure(self.failure)
        if not isinstance(self.failure, Killed):
            await self._tell_failure(self.failure)
        return Exit(ExitKind.FAILED, self.failure, crash)

    async def _pass_fence(self) -> None:
        """Wait for the threads of earlier incarnations that hold what this one will use."""
        fence = self.system.fences.get(self.path)
        if fence is not None:
            await fence.wait_free()

    def _take(self, error: BaseException) -> None:
        """Keep what is a failure, hand on what ends the program, raise what is not ours."""
        verdict = judge(error)
        if verdict.failure is not None:
            self.failure = self.failure or verdict.failure
        if verdict.fatal is not None:
            self.system.abort(verdict.fatal)
        if verdict.passing is not None:
            raise verdict.passing

    def make(self) -> Actor:
        """Make the actor of the next incarnation."""
        self.incarnation += 1
        self.context = ActorContext(self._cell)
        actor = self.actor_class.__new__(self.actor_class)
        actor.bind(self._cell)
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
            except BaseException as error:  # noqa: BLE001 - judged; a failing clean-up must not hide the failure
                verdict = judge(error)
                if verdict.failure is not None:
                    say_error("on_failure failed", path=self.path, error=type(verdict.failure).__name__)
                if verdict.fatal is not None:
                    self.system.abort(verdict.fatal)
                if verdict.passing is not None:
                    raise verdict.passing from None

    def _clear(self) -> None:
        """Nothing of an incarnation outlives it: its timers, its promises to answer, its half-handled message."""
        entry, self.current = self.current, None
        if entry is not None and not isinstance(entry.message, StopRequest):
            self.crash_entry(entry, None)
        held, self._held = self._held, None
        if held is not None:
            self._give_back(held)
        if isinstance(self.actor, ThreadHost):
            self.actor.let_go()
        if self._rare is not None and self._rare.fence is not None:
            self._rare.fence.revoke()
        self.mailbox.signal = None
        self.context = None
        self.actor = None
        self.active = False

    def _give_back(self, held: Held) -> None:
        for timer in tuple(held.timers):
            timer.cancel()
        for reply in tuple(held.owed):
            reply.fail(ActorCrashed(self.path) if self.failure is not None else ActorDead(f"{self.path} stopped"))
        for watched in held.watches:
            watched.remove_watcher(self)
        if held.watched:
            self.mailbox.purge(WatchKey)

    # --- tasks beside the loop -------------------------------------------------------------------------------------

    def start_task(self, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        """See `ActorContext.start_soon`."""
        scope = trio.CancelScope()
        self.held.tasks.add(scope)
        name = f"{self.path}//{getattr(async_fn, '__qualname__', type(async_fn).__name__)}"
        self.supervisor.nursery.start_soon(self._run_task, scope, async_fn, args, name=name)

    async def _run_task(
        self, scope: trio.CancelScope, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> None:
        try:
            with scope:
                try:
                    await async_fn(*args)
                except BaseException as error:  # noqa: BLE001 - as in _incarnate
                    try:
                        self._take(error)
                    finally:
                        if self.failure is not None:
                            self.scope.cancel()
        finally:
            held = self._held
            if held is not None:
                held.tasks.discard(scope)
            if held is not None and not held.tasks and held.tasks_done is not None:
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
        if self._held is not None:
            self._held.timers.discard(timer)
        self.mailbox.withdraw(timer)


async def _maybe(result: Any) -> None:
    """A hook's result: awaited if the hook is async."""
    if inspect.isawaitable(result):
        await result
