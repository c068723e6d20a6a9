"""The root supervisor: what it does differently when something under it does not come up, or cannot be kept up.

Counterpart: `System.start` waits for its children and raises; `System.exited` ends the system when it fails.
"""

from __future__ import annotations

from actors.runtime.cell import Cell
from actors.runtime.states import ActorState, Exit
from actors.runtime.supervisor import Supervisor


class RootSupervisor(Supervisor):
    """Supervises what `System.start` starts."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # handed on as they came
        self.start_errors: dict[str, Exception | None] = {}
        """Why a child never came up, until `System.start` has raised it."""
        self.spawned: set[Cell] = set()

    def exhausted(self, child: Cell, exit_: Exit) -> None:
        """A child that was never up is the caller's of `System.start` to judge; any other ends the system."""
        if not child.initial:
            super().exhausted(child, exit_)
            return
        self.start_errors[child.path] = exit_.error
        self.cell.system.crashes.decide(exit_.crash, "give up")
        child.finish(ActorState.FAILED)

    def ended(self, child: Cell, exit_: Exit) -> None:
        """What `System.spawn` started leaves the tree: there is no bound on how many come and go."""
        super().ended(child, exit_)
        if child.initial and child not in self.spawned:
            self.start_errors[child.path] = exit_.error

    def exited(self, child: Cell, exit_: Exit) -> None:
        """As any supervisor; then what `System.spawn` started leaves the tree, however it ended."""
        super().exited(child, exit_)
        if child in self.spawned and child.over:
            self.forget(child)

    def forget(self, child: Cell) -> None:
        """Take what `System.spawn` started out of the tree."""
        self.spawned.discard(child)
        self.cell.system.unregister(child)
        (self.cell.children or {}).pop(child.name, None)
