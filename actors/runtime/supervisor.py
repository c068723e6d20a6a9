"""`Supervisor`: an actor with a nursery, whose children's tasks run in it. Decides what follows when one of them ends.

Counterpart: `Cell.run` reports each end by `exited`, a plain call on the Trio thread, so decisions are made one after another in
the order of the ends. dynamic.py has the supervisor of children by key.

Theory of operation. `exited` never waits. A single restart is a timer (the backoff) that spawns the child anew. A group restart
(one_for_all, rest_for_one) takes time: it is a task, `_regroup`, that stops the group in reverse, waits, and starts it in order; a
failure meanwhile cancels that task and begins a new one for the larger group. Too many restarts: the supervisor puts `Escalated`
into its own signal slot and fails with it, like any actor; its children are stopped before it is over.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from actors.runtime.actor import Actor
from actors.runtime.cell import Cell
from actors.runtime.errors import Escalated
from actors.runtime.events import EventKind, LifecycleEvent
from actors.runtime.log import say_error, say_warning
from actors.runtime.specs import Backoff, Intensity, Restart, Strategy
from actors.runtime.states import ActorState, Exit, ExitKind, StopMode

if TYPE_CHECKING:
    from actors.runtime.specs import SupervisorSpec

KILL_GRACE_S: Final = 1.0
"""How long a supervisor waits for a killed child to be gone (it may shield its clean-up) before it goes on to the next."""


class Supervisor(Actor):
    """Runs the children that its spec names. See the module docstring."""

    strategy: Strategy = Strategy.ONE_FOR_ONE
    nursery: trio.Nursery

    def __init__(self, spec: SupervisorSpec) -> None:
        self.strategy = spec.strategy
        self.intensity: Intensity = spec.intensity
        self.backoff: Backoff = spec.backoff
        self.restarts: deque[float] = deque()
        self._closing = False
        self.operated: set[Cell] = set()
        """Children that an operator stops or restarts at the moment."""
        self._changed: trio.Event | None = None
        self._group: trio.CancelScope | None = None
        self._group_from = 0

    @property
    def cell(self) -> Cell:
        """The place of this supervisor."""
        return self._cell

    @property
    def closing(self) -> bool:
        """Whether it is ending: nothing is started any more."""
        return self._closing

    @property
    def regrouping(self) -> bool:
        """Whether a group restart is under way."""
        return self._group is not None

    def child_of(self, name: str) -> Cell | None:
        """The child of this name."""
        return (self._cell.children or {}).get(name)

    def children(self) -> list[Cell]:
        """The places of its children, in the order of their start."""
        return list((self._cell.children or {}).values())

    # --- life ------------------------------------------------------------------------------------------------------

    async def live(self, cell: Cell) -> ExitKind:
        """One incarnation: the hooks of an actor inside a nursery; at its end every child is stopped, in reverse."""
        failure: Exception | None = None
        kind = ExitKind.FAILED
        async with trio.open_nursery() as self.nursery:
            try:
                kind = await cell.hooks(self)
            except Exception as error:  # noqa: BLE001 - raised again below, outside the nursery, so that it is not wrapped
                failure = error
            finally:
                self.to_be_cancelled()
            final = kind is ExitKind.SHUTDOWN and cell.stop_mode is not StopMode.RESTART
            await self.stop_children(StopMode.FINAL if final else StopMode.RESTART)
        if failure is not None:
            raise failure
        return kind

    def to_be_cancelled(self) -> None:
        """From now on no child is started, and the end of one is no reason for anything."""
        self._closing = True
        if self._group is not None:
            self._group.cancel()

    async def on_start(self) -> None:
        """Start the children in order, each after the one before is up."""
        for child in self.children():
            if child.mailbox.limit >= 0:
                child.state = ActorState.STARTING  # its turn comes here: a group restart meanwhile must not start it
        for child in self.children():
            if child.state is ActorState.STARTING and not child.active:
                self.spawn(child)
            await self.settled(child)
            signal = self._cell.mailbox.signal
            if isinstance(signal, Exception):
                raise signal
            if signal is not None:
                return

    async def settled(self, child: Cell) -> None:
        """Wait until `child` is up or down for good, or until this supervisor has to end itself."""
        while child.state in (ActorState.STARTING, ActorState.BACKOFF) and self._cell.mailbox.signal is None:
            await self.changed()

    async def changed(self) -> None:
        """Wait until something about a child changes."""
        if self._changed is None:
            self._changed = trio.Event()
        await self._changed.wait()

    def notify(self) -> None:
        """Something about a child, or about this supervisor's own signal slot, changed."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def spawn(self, child: Cell) -> None:
        """Start an incarnation of `child`, now."""
        child.prepare()
        self.nursery.start_soon(child.run, name=child.path)

    # --- decisions ---------------------------------------------------------------------------------------------------

    def exited(self, child: Cell, exit_: Exit) -> None:
        """An incarnation of `child` is over."""
        if self._closing or child.stop_mode is not None:
            self._expected(child, exit_)
        elif not self._restartable(child, exit_):
            self.ended(child, exit_)
        elif not self.may_restart(child, exit_):
            self.exhausted(child, exit_)
        else:
            self._restart(child, exit_)
        self.notify()

    def _expected(self, child: Cell, exit_: Exit) -> None:
        """Somebody stopped it, or this supervisor is ending."""
        asked_by_others = exit_.kind is ExitKind.SHUTDOWN and child.stop_mode is None
        if child.stop_mode is StopMode.FINAL or asked_by_others:
            child.finish(ActorState.STOPPED)
        else:
            child.state = ActorState.BACKOFF

    def _restartable(self, child: Cell, exit_: Exit) -> bool:
        if exit_.kind is ExitKind.SHUTDOWN or child.restart is Restart.TEMPORARY:
            return False
        return exit_.kind is not ExitKind.NORMAL or child.restart is Restart.PERMANENT

    def ended(self, child: Cell, exit_: Exit) -> None:
        """`child` is over and stays so."""
        self._cell.system.crashes.decide(exit_.crash, "stop")
        child.finish(ActorState.FAILED if exit_.kind is ExitKind.FAILED else ActorState.STOPPED)

    def may_restart(self, child: Cell, exit_: Exit) -> bool:
        """Count one more restart; whether the intensity allows it. A supervisor that gave up at its first start is not tried again."""
        if child.initial and isinstance(exit_.error, Escalated):
            return False
        now = trio.current_time()
        if child.restart_times is None:
            child.restart_times = deque()
        count_within(child.restart_times, self.intensity, now)
        return count_within(self.restarts, self.intensity, now) <= self.intensity.max

    def exhausted(self, child: Cell, exit_: Exit) -> None:
        """More restarts than the intensity allows: give up, and leave the decision to the supervisor above."""
        self._cell.system.crashes.decide(exit_.crash, "escalate")
        child.state = ActorState.FAILED
        self.escalate(child, exit_)

    def escalate(self, child: Cell, exit_: Exit) -> None:
        """Fail with `Escalated`."""
        failure = Escalated(f"{self._cell.path} gave up on {child.path}")
        failure.__cause__ = exit_.error
        below = exit_.error.crashes if isinstance(exit_.error, Escalated) else ()
        failure.crashes = (*below, exit_.crash) if exit_.crash is not None else below
        self._cell.system.crashes.escalated(failure.crashes, self._cell.path)
        self._cell.publish(EventKind.ESCALATED, child.last_failure.type if child.last_failure else None)
        say_error("supervisor gave up", path=self._cell.path, child=child.path)
        self._cell.mailbox.post(failure)
        self.notify()

    def next_delay_s(self, child: Cell) -> float:
        """How long the restart of `child` has to wait, in seconds (see `Backoff`)."""
        started_at, child.started_at = child.started_at, None
        if started_at is not None and trio.current_time() - started_at >= self.backoff.reset_after_s:
            child.attempts = 0
        child.attempts += 1
        return self.backoff.delay_s(child.attempts, self._cell.system.rng)

    def _restart(self, child: Cell, exit_: Exit) -> None:
        delay_s = self.next_delay_s(child)
        self._cell.system.crashes.decide(exit_.crash, "backoff" if delay_s > 0.0 else "restart", delay_s)
        self.back_off(child, delay_s)
        if self.strategy is Strategy.ONE_FOR_ONE:
            child.retry_timer = self._cell.system.timers.add(delay_s, lambda _: self._retry(child))
            return
        children = self.children()
        first = 0 if self.strategy is Strategy.ONE_FOR_ALL else children.index(child)
        if self._group is not None:
            self._group.cancel()
            first = min(first, self._first_down(children))
        self._group, self._group_from = trio.CancelScope(), first
        self.nursery.start_soon(self._regroup, self._group, children[first:], delay_s)

    def _first_down(self, children: list[Cell]) -> int:
        """Where the group restart under way still has work: at its first child that is not up again. Those before stay (as in OTP)."""
        down = (ActorState.BACKOFF, ActorState.STARTING)
        rest = range(self._group_from, len(children))
        return next((index for index in rest if children[index].state in down), len(children))

    def back_off(self, child: Cell, delay_s: float) -> None:
        """`child` waits for its restart from now on."""
        child.state = ActorState.BACKOFF
        child.retry_at = trio.current_time() + delay_s
        system = self._cell.system
        error = child.last_failure.type if child.last_failure is not None else None
        system.events.publish(
            LifecycleEvent(
                system.clock.now(), EventKind.RESTARTING, child.path, child.incarnation, error, delay_s=delay_s
            )
        )
        say_warning("actor restarts", path=child.path, delay_s=round(delay_s, 3), attempt=child.attempts)

    def _retry(self, child: Cell) -> None:
        if not self._closing and child.state is ActorState.BACKOFF and not child.active:
            self.spawn(child)

    async def _regroup(self, scope: trio.CancelScope, group: list[Cell], delay_s: float) -> None:
        """Stop the group in reverse, wait, start it in order. A failure meanwhile cancels `scope` and starts a new regroup."""
        with scope:
            await trio.lowlevel.checkpoint()  # if it was cancelled before its first step, it must not touch anything
            for child in reversed(group):
                if child.active:
                    await self.stop_child(child, StopMode.RESTART)
                    if child.restart is Restart.TEMPORARY:
                        child.finish(ActorState.STOPPED)
            retry_at = trio.current_time() + delay_s
            for child in group:
                if child.state is ActorState.BACKOFF:
                    child.retry_at = retry_at
            await trio.sleep_until(retry_at)
            for child in group:
                if child.state is ActorState.BACKOFF and not child.active:
                    self.spawn(child)
                    await self.settled(child)
                    if self._cell.mailbox.signal is not None:
                        return
            self._group = None

    def forget_restart(self, child: Cell) -> None:
        """`child` is stopped while it waits for its restart."""
        if child.retry_timer is not None:
            child.retry_timer.cancel()
            child.retry_timer = None

    def release(self, child: Cell) -> bool:  # noqa: ARG002 - dynamic supervisors look at it
        """Whether `child` may leave the tree by its own will: only dynamic children do."""
        return False

    # --- stopping ----------------------------------------------------------------------------------------------------

    async def stop_children(self, mode: StopMode) -> None:
        """Stop every child, last one first."""
        for child in reversed(self.children()):
            await self.stop_child(child, mode)

    async def stop_child(self, child: Cell, mode: StopMode) -> None:
        """Stop one child: its present message, its `on_stop`; over its `stop_timeout_s` it is killed."""
        self.forget_restart(child)
        if not child.active:
            if mode is StopMode.FINAL:
                child.finish(ActorState.STOPPED)
            return
        self.ask_to_stop(child, mode)
        with trio.move_on_after(child.stop_timeout_s):
            await self._gone(child)
        if child.active:
            say_warning("actor killed", path=child.path, stop_timeout_s=child.stop_timeout_s)
            child.cancel()
            with trio.move_on_after(KILL_GRACE_S if math.isfinite(child.stop_timeout_s) else math.inf):
                await self._gone(child)

    def ask_to_stop(self, child: Cell, mode: StopMode) -> None:
        """Put the stop ahead of every message of `child`."""
        child.stop_mode = mode
        child.mailbox.post(ExitKind.SHUTDOWN.value)
        if isinstance(child.actor, Supervisor):
            child.actor.notify()

    async def _gone(self, child: Cell) -> None:
        while child.active:
            await self.changed()


def count_within(times: deque[float], intensity: Intensity, now: float) -> int:
    """Add `now` to the times of restarts, drop those outside the window; how many there are. Seconds on Trio's clock."""
    times.append(now)
    while times[0] < now - intensity.within_s or len(times) > intensity.max + 1:
        times.popleft()
    return len(times)
