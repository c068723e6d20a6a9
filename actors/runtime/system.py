"""`System`: a tree of supervised actors, from `open_system` to its end.

Counterpart: everything else of the runtime hangs below one. There is no registry outside it: paths are unique within a system.

Theory of operation. The root supervisor runs in a task of its own under a shield: when the code around `open_system` is cancelled, the
actors are still stopped in order, within `stop_timeout_s`, and only then cancelled. What is fatal (the root gave up, a
KeyboardInterrupt in an actor) cancels the body of the `async with`, and is raised out of it once the actors are stopped.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import trio
from msgspec import Struct

from actors.runtime.actor import Actor
from actors.runtime.cell import Cell
from actors.runtime.clock import Clock, SystemClock
from actors.runtime.dynamic import Dynamic, DynamicSupervisor
from actors.runtime.errors import StartFailed, SystemFailed, origin
from actors.runtime.events import DeadLetters, DeadLetterStatistics, EventStream, Subscription
from actors.runtime.failure import types_of
from actors.runtime.future import TrioFuture
from actors.runtime.home import current_home
from actors.runtime.ref import ActorRef
from actors.runtime.root import RootSupervisor
from actors.runtime.snapshot import ActorSnapshot, snapshot_of
from actors.runtime.specs import (
    Child,
    DynamicSpec,
    Intensity,
    Restart,
    Spec,
    SupervisorSpec,
    check_name,
)
from actors.runtime.states import ActorState, Exit, ExitKind, StopMode
from actors.runtime.supervisor import Supervisor
from actors.runtime.timers import Timers, TimerStatistics

Intercept = Callable[[str, Any], None]
"""Called with (path, message) before each handling; what it raises is raised in the handler's place."""

STOP_TIMEOUT_S: Final = 25.0
"""How long a whole system may take to stop in order; then everything left is cancelled."""

ROOT_INTENSITY: Final = Intensity(max=3, within_s=60.0)
"""The root's own intensity; on purpose not the default of the supervisors below it."""

_current: trio.lowlevel.RunVar[System | None] = trio.lowlevel.RunVar("actors.runtime.system")


def current_system() -> System:
    """The system that was opened last in this Trio loop, for `Actor.start`; from worker threads of Trio's too."""
    if not trio.lowlevel.in_trio_run():
        try:
            return trio.from_thread.run_sync(current_system)
        except RuntimeError:
            raise RuntimeError(
                "no system is open here: use `async with open_system(...)`, and start from within"
            ) from None
    system = _current.get(None)
    if system is None:
        raise RuntimeError("no system is open: use `async with open_system(...)`, and start from within")
    return system


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
    """Places (paths that were named), lifecycle events by kind since the start, dead letters, timers."""

    places: int
    events: dict[str, int]
    dead_letters: DeadLetterStatistics
    timers: TimerStatistics


class System:
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
        self.name = check_name(name)
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.intercept = intercept
        self.trace_context = trace_context
        self.rng = random.Random(seed)  # noqa: S311 - jitter, nothing to guess
        self.timers = Timers()
        self.events = EventStream()
        self.dead_letters = DeadLetters()
        self._intensity = intensity
        self._stop_timeout_s = stop_timeout_s
        self._cells: dict[str, Cell] = {}
        self._dynamics: dict[str, Dynamic] = {}
        self._fatal: BaseException | None = None
        self._spawned = 0

    # --- opening and closing -----------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.home = current_home()
        self._previous = _current.get(None)
        _current.set(self)
        self._stopped = trio.Event()
        self._up = trio.Event()
        self._manager = trio.open_nursery()
        nursery = await self._manager.__aenter__()
        root_spec = SupervisorSpec(self.name, intensity=self._intensity)
        self._root = Cell(self, f"/{self.name}")
        self._root.furnish(None, RootSupervisor, (root_spec,), {}, Restart.TEMPORARY, self._stop_timeout_s)
        self._root.children = {}
        self._cells[self._root.path] = self._root
        self._shield = trio.CancelScope(shield=True)
        self._timer_scope = trio.CancelScope(shield=True)
        self._body = trio.CancelScope()
        self._root.prepare()
        nursery.start_soon(self._run_timers, name="timers")
        nursery.start_soon(self._run_root, name=self._root.path)
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
        self._timer_scope.cancel()
        self.events.close()
        _current.set(self._previous)
        await self._manager.__aexit__(None, None, None)
        if self._fatal is not None:
            raise self._fatal
        return swallowed

    async def _run_timers(self) -> None:
        with self._timer_scope:
            await self.timers.run()

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
        cells = [self._furnish(self._root, spec) for spec in specs]
        root = self._root_actor()
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
        cell = self._furnish(self._root, child)
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

    def _furnish(self, parent: Cell, spec: Spec) -> Cell:
        """Register what `spec` describes below `parent`, without starting it."""
        path = f"{parent.path}/{check_name(spec.name)}"
        cell = self._cells.get(path)
        if cell is None:
            cell = self._cells[path] = Cell(self, path)
        elif cell.parent is not None:
            raise ValueError(f"{path} exists already")
        if isinstance(spec, Child):
            cell.furnish(parent, spec.actor_class, spec.args, spec.kwargs, spec.restart, spec.stop_timeout_s)
        elif isinstance(spec, DynamicSpec):
            dynamic = self.dynamic(path)
            cell.furnish(parent, DynamicSupervisor, (dynamic, spec), {}, spec.restart, float("inf"))
            dynamic.furnish(cell, spec)
        else:
            cell.furnish(parent, Supervisor, (spec,), {}, spec.restart, float("inf"))
            cell.children = {}
            for child in spec.children:
                self._furnish(cell, child)
        if parent.children is not None:
            parent.children[cell.name] = cell
        return cell

    # --- looking -----------------------------------------------------------------------------------------------------

    def ref(self, path: str) -> ActorRef:
        """The ref of the place at `path`, also before it is part of a tree (telling it then raises `ActorDead`)."""
        cell = self._cells.get(path)
        if cell is None:
            if not path.startswith(f"/{self.name}/"):
                raise ValueError(f"paths of this system begin with /{self.name}/")
            cell = self._cells[path] = Cell(self, path)
            cell.vacate()
        return cell.ref

    def dynamic(self, path: str) -> Dynamic:
        """The children by key of the dynamic supervisor at `path`, also before it is part of a tree."""
        if path not in self._dynamics:
            self._dynamics[path] = Dynamic(self, path)
        return self._dynamics[path]

    def snapshot(self) -> ActorSnapshot:
        """The tree at this moment."""
        return snapshot_of(self._root)

    def statistics(self) -> SystemStatistics:
        """Counts of the system as a whole."""
        return SystemStatistics(
            places=len(self._cells),
            events={kind.value: count for kind, count in self.events.counts.items()},
            dead_letters=self.dead_letters.statistics(),
            timers=self.timers.statistics(),
        )

    def subscribe(self, capacity: int = 1000) -> Subscription:
        """Lifecycle events from now on, at most `capacity` unread ones (the oldest is dropped then, counted)."""
        return self.events.subscribe(capacity)

    # --- for the runtime's own modules ---------------------------------------------------------------------------------

    def make_ref(self, cell: Cell) -> ActorRef:
        """The one ref of a place."""
        return ActorRef(cell)

    def register(self, cell: Cell) -> None:
        """A dynamic child joined the tree."""
        self._cells[cell.path] = cell

    def unregister(self, cell: Cell) -> None:
        """A dynamic child left the tree."""
        if self._cells.get(cell.path) is cell:
            del self._cells[cell.path]

    def finished(self, cell: Cell) -> None:
        """A place is closed for good: if it was a dynamic child's, it leaves the tree."""
        dynamic = self._dynamics.get(cell.parent.path) if cell.parent is not None else None
        if dynamic is not None:
            dynamic.remove(cell)

    def supervisor_of(self, cell: Cell) -> Any:
        """Who is told of the end of `cell`: its parent's actor; the system itself for the root and where there is none."""
        parent = cell.parent
        return parent.actor if parent is not None and parent.actor is not None else self

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
        cell.finish(ActorState.FAILED if exit_.error is not None else ActorState.STOPPED)
        if exit_.error is not None:
            failure = SystemFailed(f"{self.name} gave up: {types_of(exit_.error)}")
            failure.__cause__ = origin(exit_.error)
            self.abort(failure)
