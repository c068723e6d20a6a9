"""The places of a system by their paths: named, furnished from specs, found again. Paths are unique within a system.

Counterpart: `System` (system.py) is such a tree, with everything that moves in it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from actors.runtime.cell import Cell
from actors.runtime.dynamic import Dynamic, DynamicSupervisor
from actors.runtime.errors import UnknownPath
from actors.runtime.fence import Fence
from actors.runtime.home import Home
from actors.runtime.ref import ActorRef
from actors.runtime.specs import Child, DynamicSpec, Spec, SupervisorSpec, check_name
from actors.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from actors.runtime.system import System


class Tree:
    """See the module docstring. For the Trio thread."""

    home: Home

    def __init__(self, name: str) -> None:
        self.name = check_name(name)
        self._cells: dict[str, Cell] = {}
        self._dynamics: dict[str, Dynamic] = {}
        self.fences: weakref.WeakValueDictionary[str, Fence] = weakref.WeakValueDictionary()
        """The fences that any incarnation or thread still holds a token of, by path."""

    def ref(self, path: str) -> ActorRef:
        """The ref of the place at `path`, also before it is part of a tree (telling it then raises `ActorDead`)."""
        cell = self._cells.get(path)
        if cell is None:
            if not path.startswith(f"/{self.name}/"):
                raise ValueError(f"paths of this system begin with /{self.name}/")
            cell = self._cells[path] = Cell(self._system, path)
            cell.vacate()
        return cell.ref

    def dynamic(self, path: str) -> Dynamic:
        """The children by key of the dynamic supervisor at `path`, also before it is part of a tree."""
        if path not in self._dynamics:
            self._dynamics[path] = Dynamic(self._system, path)
        return self._dynamics[path]

    def cell(self, path: str) -> Cell:
        """The place at `path`, for the runtime's own modules. Raises `UnknownPath` when nothing was ever furnished there."""
        cell = self._cells.get(path)
        if cell is None or (cell.parent is None and path != f"/{self.name}"):
            raise UnknownPath(f"there is no actor at {path}")
        return cell

    @property
    def _system(self) -> System:
        return cast("System", self)  # the one class that is a tree

    def check_free(self, parent_path: str, specs: Iterable[Spec]) -> None:
        """ValueError unless every place that `specs` describe is free; before the first is taken, so that a refusal leaves nothing."""
        siblings: set[str] = set()
        for spec in specs:
            path = f"{parent_path}/{check_name(spec.name)}"
            cell = self._cells.get(path)
            if path in siblings or (cell is not None and cell.parent is not None):
                raise ValueError(f"{path} exists already")
            siblings.add(path)
            if isinstance(spec, SupervisorSpec):
                self.check_free(path, spec.children)

    def furnish(self, parent: Cell, spec: Spec) -> Cell:
        """Register what `spec` describes below `parent`, without starting it."""
        path = f"{parent.path}/{check_name(spec.name)}"
        cell = self._cells.get(path)
        if cell is None:
            cell = self._cells[path] = Cell(self._system, path)
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
                self.furnish(cell, child)
        if parent.children is not None:
            parent.children[cell.name] = cell
        return cell

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

    def fence_of(self, path: str) -> Fence:
        """The fence of this path, made now if nobody holds a token of one."""
        fence = self.fences.get(path)
        if fence is None:
            fence = self.fences[path] = Fence(path, self.home.token)
        return fence

    def tell(self, path: str, message: Any) -> None:
        """Tell the actor at `path`, or the dynamic child that belongs there. Raises `UnknownPath` and what a tell raises."""
        parent, _, key = path.rpartition("/")
        dynamic = self._dynamics.get(parent)
        if dynamic is not None:
            dynamic.ref(key).tell(message)
        else:
            self.cell(path).ref.tell(message)
