"""Children by key: started at first use, gone from the tree when they retire. For tens of thousands of them.

Counterpart: `System.dynamic(path)` gives the handle, `DynamicSupervisor` runs the children, `DynamicSpec` says what they are.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio
from msgspec import Struct

from actors.runtime.cell import Cell
from actors.runtime.errors import ActorDead, TooManyChildren
from actors.runtime.log import say_error, say_warning
from actors.runtime.specs import DynamicSpec, SupervisorSpec, check_name
from actors.runtime.states import ActorState, Exit, StopMode
from actors.runtime.supervisor import KILL_GRACE_S, Supervisor, count_within

if TYPE_CHECKING:
    from actors.runtime.ref import ActorRef
    from actors.runtime.system import System


class DynamicStatistics(Struct, frozen=True):
    """Children now, their bound, how many were ever started, retired, refused at the bound, given up."""

    children: int
    max_children: int
    started: int
    retired: int
    refused: int
    given_up: int


class Dynamic:
    """The children by key of one place: what outlives the incarnations of its supervisor, and what others use to get at them."""

    def __init__(self, system: System, path: str) -> None:
        self._system = system
        self.path = path
        self._cell: Cell | None = None
        self._spec: DynamicSpec | None = None
        self.cells: dict[str, Cell] = {}
        self.retiring: dict[str, Cell] = {}
        """Children that left the tree and have not ended yet; a new one with the same key waits for them."""
        self.started = self.retired = self.refused = self.given_up = 0

    def furnish(self, cell: Cell, spec: DynamicSpec) -> None:
        """Say what its children are; called when the supervision tree is registered."""
        self._cell, self._spec = cell, spec
        cell.children = self.cells

    def statistics(self) -> DynamicStatistics:
        """Counts and the bound."""
        return DynamicStatistics(
            children=len(self.cells),
            max_children=self._spec.max_children if self._spec is not None else 0,
            started=self.started,
            retired=self.retired,
            refused=self.refused,
            given_up=self.given_up,
        )

    def ref(self, key: str) -> ActorRef:
        """The actor of `key`, started now if there is none. Trio thread only.

        Raises `TooManyChildren` over the bound, `ActorDead` when the supervisor is stopped or not part of a tree yet, ValueError for
        a key that cannot be part of a path. Use it at once, do not keep it: a child that retires is not revived by its old ref.
        """
        child = self.cells.get(key)
        if child is not None:
            return child.ref
        cell, spec = self._cell, self._spec
        if cell is None or spec is None or cell.mailbox.limit < 0:
            raise ActorDead(f"{self.path} is not running")
        if len(self.cells) >= spec.max_children:
            self.refused += 1
            raise TooManyChildren(f"{self.path} has {spec.max_children} children")
        made = spec.make(key)
        child = Cell(self._system, f"{self.path}/{check_name(key)}")
        child.furnish(cell, made.actor_class, made.args, made.kwargs, made.restart, made.stop_timeout_s)
        child.predecessor = self.retiring.get(key)
        self.cells[key] = child
        self._system.register(child)
        self.started += 1
        if isinstance(cell.actor, DynamicSupervisor):
            cell.actor.start_child(child)
        return child.ref

    def get(self, key: str) -> ActorRef | None:
        """The actor of `key` if there is one."""
        child = self.cells.get(key)
        return child.ref if child is not None else None

    def keys(self) -> tuple[str, ...]:
        """The keys of the present children, in the order of their first use."""
        return tuple(self.cells)

    def retire(self, key: str) -> bool:
        """As the child's own `context.retire()`: True if it was there and had nothing to do."""
        child = self.cells.get(key)
        return child is not None and child.retire()

    def remove(self, child: Cell) -> bool:
        """Take `child` out of the tree; whether it was in it."""
        if self.cells.get(child.name) is not child:
            return False
        del self.cells[child.name]
        self._system.unregister(child)
        return True

    def __contains__(self, key: object) -> bool:
        return key in self.cells

    def __len__(self) -> int:
        return len(self.cells)


class DynamicSupervisor(Supervisor):
    """Supervises children by key, one_for_one. Each has its own intensity (see `DynamicSpec`)."""

    def __init__(self, dynamic: Dynamic, spec: DynamicSpec) -> None:
        super().__init__(SupervisorSpec(spec.name, intensity=spec.intensity, backoff=spec.backoff))
        self._dynamic = dynamic
        self._escalation = spec.escalation
        self._given_up: deque[float] = deque()
        self._up = False
        self._alive = 0

    async def on_start(self) -> None:
        """Start what was asked for before this incarnation: by a key used early, or in the one before. Does not wait for them."""
        self._up = True
        for child in self.children():
            self.spawn(child)

    def start_child(self, child: Cell) -> None:
        """A key was used for the first time."""
        if self._up and not self._closing:
            self.spawn(child)

    def spawn(self, child: Cell) -> None:
        """Start an incarnation of `child`, now."""
        self._alive += 1
        super().spawn(child)

    def exited(self, child: Cell, exit_: Exit) -> None:
        """An incarnation of `child` is over; a retired child is over for good."""
        self._alive -= 1
        if self._dynamic.retiring.get(child.name) is child:
            del self._dynamic.retiring[child.name]
        if child.mailbox.limit < 0:
            child.finish(ActorState.STOPPED if exit_.error is None else ActorState.FAILED)
            self.notify()
        else:
            super().exited(child, exit_)

    def may_restart(self, child: Cell, exit_: Exit) -> bool:  # noqa: ARG002 - as the base class has it
        """Whether this child's own intensity allows one more restart."""
        if child.restart_times is None:
            child.restart_times = deque()
        return count_within(child.restart_times, self.intensity, trio.current_time()) <= self.intensity.max

    def exhausted(self, child: Cell, exit_: Exit) -> None:
        """Give this child up; when too many are given up the fault is not theirs: escalate."""
        say_error("child given up", path=child.path)
        crashes = self.cell.system.crashes
        self._dynamic.given_up += 1
        self._dynamic.remove(child)
        child.finish(ActorState.FAILED)
        if count_within(self._given_up, self._escalation, trio.current_time()) > self._escalation.max:
            crashes.decide(exit_.crash, "escalate")
            self.escalate(child, exit_)
        else:
            crashes.decide(exit_.crash, "give up")

    def ended(self, child: Cell, exit_: Exit) -> None:
        """`child` is over: it leaves the tree."""
        self._dynamic.remove(child)
        super().ended(child, exit_)

    def release(self, child: Cell) -> bool:
        """`child` retires: out of the tree at once, so that the next use of its key makes a new one, which waits for its end."""
        if not self._dynamic.remove(child):
            return False
        self._dynamic.retired += 1
        self.forget_restart(child)
        if child.active:
            self._dynamic.retiring[child.name] = child
        return True

    async def stop_children(self, mode: StopMode) -> None:
        """Stop all at once: they do not depend on one another. One bound for all, the longest; what is left then is killed."""
        children = [*self.children(), *self._dynamic.retiring.values()]
        for child in children:
            self.forget_restart(child)
            if child.active:
                self.ask_to_stop(child, mode)
            elif mode is StopMode.FINAL:
                child.finish(ActorState.STOPPED)
        with trio.move_on_after(max((child.stop_timeout_s for child in children), default=0.0)):
            await self._all_gone()
        for child in children:
            if child.active:
                say_warning("actor killed", path=child.path, stop_timeout_s=child.stop_timeout_s)
                child.cancel()
        with trio.move_on_after(KILL_GRACE_S):
            await self._all_gone()

    async def _all_gone(self) -> None:
        while self._alive:
            await self.changed()
