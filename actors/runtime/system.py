"""`System`: a tree of supervised actors, from `open_system` to its end.

Counterpart: everything else of the runtime hangs below one. There is no registry outside it: paths are unique within a system.

Theory of operation. The root supervisor runs in a task of its own under a shield: when the code around `open_system` is cancelled, the
actors are still stopped in order, within `stop_timeout_s`, and only then cancelled. What is fatal (the root gave up, a
KeyboardInterrupt in an actor) cancels the body of the `async with`, and is raised out of it once the actors are stopped.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self

import trio
from msgspec import Struct

from actors.runtime.actor import Actor
from actors.runtime.cell import Cell
from actors.runtime.clock import Clock, SystemClock
from actors.runtime.crashes import Crashes, CrashStatistics
from actors.runtime.current import CURRENT
from actors.runtime.errors import StartFailed, SystemFailed, origin
from actors.runtime.events import EventStream, Subscription
from actors.runtime.failure import types_of
from actors.runtime.future import TrioFuture
from actors.runtime.home import current_home
from actors.runtime.letters import DeadLetters, DeadLetterStatistics
from actors.runtime.operations import Operations
from actors.runtime.ref import ActorRef
from actors.runtime.root import RootSupervisor
from actors.runtime.snapshot import ActorSnapshot, snapshot_of
from actors.runtime.specs import Child, Intensity, Restart, Spec, SupervisorSpec
from actors.runtime.stacks import stack_of, stacks_of
from actors.runtime.states import ActorState, Exit, ExitKind, StopMode
from actors.runtime.supervisor import Supervisor
from actors.runtime.timers import Timers, TimerStatistics
from actors.runtime.trio_private import check_trio

Intercept = Callable[[str, Any], None]
"""Called with (path, message) before each handling; what it raises is raised in the handler's place."""

STOP_TIMEOUT_S: Final = 25.0
"""How long a whole system may take to stop in order; then everything left is cancelled."""

ROOT_INTENSITY: Final = Intensity(max=3, within_s=60.0)
"""The root's own intensity; on purpose not the default of the supervisors below it."""


def open_system(
    name: str = "system",
    *,
    clock: Clock | None = None,
    intercept: Intercept | None = None,
    seed: int | None = None,
    intensity: Intensity = ROOT_INTENSITY,
    stop_timeout_s: float = STOP_TIMEOUT_S,
    trace_context: bool = False,
) -> System:
    """A system, to be used as `async with open_system("protector") as system`. Its root actor's path is `/<name>`.

    `seed`: of the jitter, for tests. `trace_context`: context variables travel with each message, for a copy of them a tell.
    Raises `SystemFailed` out of the `async with` when the root gives up, and otherwise what the
    body raised; `stop_timeout_s` bounds the stop at its end.
    """
    return System(
        name,
        clock=clock,
        intercept=intercept,
        seed=seed,
        intensity=intensity,
        stop_timeout_s=stop_timeout_s,
        trace_context=trace_context,
    )


class SystemStatistics(Struct, frozen=True):
    """Places (paths that were named), lifecycle events by kind since the start, dead letters, timers, crashes, abandoned threads."""

    places: int
    events: dict[str, int]
    dead_letters: DeadLetterStatistics
    timers: TimerStatistics
    crashes: CrashStatistics
    threads_abandoned: int
    """Ever; those that still run are counted at their place (`ActorSnapshot.abandoned_threads`)."""


class System(Operations):
    """See `open_system`. All methods are for the Trio thread, unless they say otherwise."""

    def __init__(
        self,
        name: str = "system",
        *,
        clock: Clock | None = None,
        intercept: Intercept | None = None,
        seed: int | None = None,
        intensity: Intensity = ROOT_INTENSITY,
        stop_timeout_s: float = STOP_TIMEOUT_S,
        trace_context: bool = False,
    ) -> None:
        super().__init__(name)
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.intercept = intercept
        self.trace_context = trace_context
        self.rng = random.Random(seed)  # noqa: S311 - jitter, nothing to guess
        self.timers = Timers()
        self.events = EventStream()
        self.dead_letters = DeadLetters(tell=self.tell)
        self.crashes = Crashes()
        self.threads_abandoned = 0
        self.heeds_signals = False
        self._intensity = intensity
        self._stop_timeout_s = stop_timeout_s
        self._fatal: BaseException | None = None
        self._spawned = 0

    # --- opening and closing -----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        check_trio()
        self.home = current_home()
        self._previous = CURRENT.get(None)
        CURRENT.set(self)
        self._stopped = trio.Event()
        self._up = trio.Event()
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        root_spec = SupervisorSpec(self.name, intensity=self._intensity)
        self._root = Cell(self, f"/{self.name}")
        self._root.furnish(None, RootSupervisor, (root_spec,), {}, Restart.TEMPORARY, self._stop_timeout_s)
        self._root.children = {}
        self._cells[self._root.path] = self._root
        self._shield = trio.CancelScope(shield=True)
        self._beside: list[trio.CancelScope] = []
        self._body = trio.CancelScope()
        self._root.prepare()
        self.beside(self.timers.run)
        self._nursery.start_soon(self._run_root, name=self._root.path)
        with trio.CancelScope(shield=True):  # a nursery is open already, so this has to come to its end
            await self._up.wait()
        self._body.__enter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        swallowed = bool(self._body.__exit__(exc_type, exc, traceback))
        with trio.CancelScope(shield=True):
            await self.stop()
        for scope in self._beside:
            scope.cancel()
        self.events.close()
        CURRENT.set(self._previous)
        await self._manager.__aexit__(None, None, None)
        if self._fatal is not None:
            raise self._fatal
        return swallowed

    def beside(self, async_fn: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Run a task of the runtime's own beside the actors, until the last of them has ended. It must not raise."""
        scope = trio.CancelScope(shield=True)
        self._beside.append(scope)

        async def run() -> None:
            with scope:
                await async_fn(*args)

        self._nursery.start_soon(run, name=getattr(async_fn, "__qualname__", None))

    def tasks(self) -> frozenset[trio.lowlevel.Task]:
        """The tasks of the system's own: the root's, and those beside the actors."""
        return self._nursery.child_tasks

    async def _run_root(self) -> None:
        with self._shield:
            await self._root.run()
        self._stopped.set()

    def abort(self, error: BaseException) -> None:
        """End the system with `error`: the body is cancelled, the actors are stopped, then it is raised."""
        self._fatal = self._fatal or error
        self._body.cancel()

    def stop(self) -> TrioFuture[None]:
        """Stop every actor, in reverse order, within the system's bound. Begins at once; `await` it to see the end."""
        future: TrioFuture[None] = TrioFuture()
        if self._root.active:
            self._root.on_end(future)
            if self._root.stop_mode is None:
                self._root.stop_mode = StopMode.FINAL
                self._root.mailbox.post(ExitKind.SHUTDOWN.value)
                self._shield.deadline = trio.current_time() + self._stop_timeout_s
                self.supervisor_of(self._root).notify()
                if isinstance(self._root.actor, Supervisor):
                    self._root.actor.notify()
        else:
            future.deliver(None)
        return future

    def cancel(self) -> None:
        """End everything now: the body and every actor are cancelled, `on_stop` does not run. `stop` is the orderly way."""
        self._body.cancel()
        self._shield.cancel()

    async def wait_stopped(self) -> None:
        """Wait until the system is stopped, by whomever."""
        await self._stopped.wait()

    # --- starting ----------------------------------------------------------------------------------------------------

    async def start(self, *specs: Spec) -> None:
        """Start actors and supervisors under the root, in order, each when the one before is up.

        All of them are registered first, so refs to any of them can be used in the others' `on_start`.
        Raises `StartFailed` when one does not come up within its supervisor's intensity; what was started by this call before it
        stays up. ValueError when a path is taken.
        """
        root = self._root_actor()
        self.check_free(self._root.path, specs)
        cells = [self.furnish(self._root, spec) for spec in specs]
        for index, cell in enumerate(cells):
            root.spawn(cell)
            await root.settled(cell)
            if self._root.mailbox.signal is not None:
                await self.wait_stopped()
                raise RuntimeError("the system was stopped while it started")
            if cell.state is ActorState.FAILED and cell.initial:
                for other in cells[index + 1 :]:
                    other.finish(ActorState.STOPPED)
                error = origin(root.start_errors.pop(cell.path, None))
                said = types_of(error) if error is not None else "it failed"
                raise StartFailed(f"{cell.path} did not start: {said}") from error

    def spawn(self, actor_class: type[Actor], *args: Any, **kwargs: Any) -> ActorRef:
        """Start `actor_class(*args, **kwargs)` directly under the root, without waiting and without restarts. Any thread of Trio's."""
        if not trio.lowlevel.in_trio_run():
            return trio.from_thread.run_sync(lambda: self.spawn(actor_class, *args, **kwargs))
        self._spawned += 1
        child = Child(f"{actor_class.__name__}-{self._spawned}", actor_class, args, kwargs, restart=Restart.TEMPORARY)
        cell = self.furnish(self._root, child)
        root = self._root_actor()
        root.spawned.add(cell)
        try:
            cell.make()  # now, in the caller, as in Pykka: what __init__ raises is the caller's, and proxies can look at it
        except BaseException:
            root.forget(cell)
            raise
        root.spawn(cell)
        return cell.ref

    def _root_actor(self) -> RootSupervisor:
        root = self._root.actor
        if not isinstance(root, RootSupervisor) or self._root.stop_mode is not None:
            raise RuntimeError("the system is stopped")
        return root

    # --- looking -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> ActorSnapshot:
        """The tree at this moment."""
        return snapshot_of(self._root)

    def stack(self, path: str) -> str:
        """The live stack of one actor, of its tasks beside the loop and of its thread: text, see stacks.py. Raises `UnknownPath`."""
        return stack_of(self.cell(path))

    def stacks(self) -> str:
        """The tree with every actor's stack, as SIGUSR1 prints it: bounded, with a count of what is left out."""
        return stacks_of(self._root)

    def statistics(self) -> SystemStatistics:
        """Counts of the system as a whole."""
        return SystemStatistics(
            places=len(self._cells),
            events={kind.value: count for kind, count in self.events.counts.items()},
            dead_letters=self.dead_letters.statistics(),
            timers=self.timers.statistics(),
            crashes=self.crashes.statistics(),
            threads_abandoned=self.threads_abandoned,
        )

    def subscribe(self, capacity: int = 1000) -> Subscription:
        """Lifecycle events from now on, at most `capacity` unread ones (the oldest is dropped then, counted)."""
        return self.events.subscribe(capacity)

    # --- for the runtime's own modules ---------------------------------------------------------------------------------

    def notify(self) -> None:
        """As a supervisor: the root is up, or it is over."""
        self._up.set()

    def forget_restart(self, cell: Cell) -> None:
        """As a supervisor: the root is never restarted."""

    def release(self, cell: Cell) -> bool:  # noqa: ARG002 - as the supervisors have it
        """As a supervisor: the root does not retire."""
        return False

    def exited(self, cell: Cell, exit_: Exit) -> None:
        """The root is over."""
        self.crashes.decide(exit_.crash, "give up")
        cell.finish(ActorState.FAILED if exit_.error is not None else ActorState.STOPPED)
        if exit_.error is not None:
            failure = SystemFailed(f"{self.name} gave up: {types_of(exit_.error)}")
            failure.__cause__ = origin(exit_.error)
            self.abort(failure)
