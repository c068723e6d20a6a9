"""Where actors stand at this moment, as text: the stack of one, or the tree with the stacks of all. Never a value, never a message.

Counterpart: `System.stack`, `System.stacks`; SIGUSR1 prints the latter (signals.py), pages show the former. Nothing is kept for it
while nobody looks: a task is found by its name, which is the path, in the nursery of its supervisor.

A stack is lines of `file:line function`, the innermost last, under a headline that says what the actor does. Tasks beside the loop and
the thread of a threaded actor follow with headlines of their own.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from types import FrameType
from typing import TYPE_CHECKING, Final

import trio

from actors.runtime.cell import Cell
from actors.runtime.states import ActorState
from actors.runtime.supervisor import Supervisor
from actors.runtime.threads import KEEPER, ThreadHost

if TYPE_CHECKING:
    from actors.runtime.system import System

FRAMES_MAX: Final = 40
"""How many frames of one stack are shown, the innermost."""

TASKS_MAX: Final = 20
"""How many tasks beside the loop of one actor are shown."""

ACTORS_MAX: Final = 500
"""How many actors `stacks` shows; it says how many it leaves out."""

CHILDREN_MAX: Final = 50
"""How many children of one supervisor `stacks` shows: those that do something or wait for a restart before the idle ones."""


def stack_of(cell: Cell) -> str:
    """The stack of one actor."""
    tasks = _tasks_below(cell.parent) if cell.parent is not None else _root_tasks(cell.system)
    return "\n".join(_describe(cell, tasks))


def stacks_of(root: Cell) -> str:
    """The tree, each place with its stack, indented by its depth; what is left out is counted."""
    lines: list[str] = []
    shown = total = 0
    left: list[tuple[Cell, int, dict[str, list[trio.lowlevel.Task]]]] = [(root, 0, _root_tasks(root.system))]
    while left:
        cell, depth, tasks = left.pop()
        children = list((cell.children or {}).values())
        total += 1
        if shown < ACTORS_MAX:
            shown += 1
            lines += ["  " * depth + line for line in _describe(cell, tasks)]
            some = sorted(children, key=_idle)[:CHILDREN_MAX] if len(children) > CHILDREN_MAX else children
            if len(some) < len(children):
                lines.append("  " * (depth + 1) + f"… {len(children) - len(some):,} more children, not shown")
        else:
            some = children
        below = _tasks_below(cell) if some and shown < ACTORS_MAX else {}
        left += [(child, depth + 1, below) for child in reversed(some)]
        total += len(children) - len(some)
    lines.append(f"{shown:,} of {total:,} actors shown")
    return "\n".join(lines) + "\n"


def _idle(cell: Cell) -> bool:
    return cell.state is ActorState.RUNNING and cell.current is None and not cell.mailbox.queue


# --- one actor ---------------------------------------------------------------------------------------------------------


def _describe(cell: Cell, tasks: dict[str, list[trio.lowlevel.Task]]) -> Iterator[str]:
    yield _headline(cell)
    mine = [task for task in tasks.get(cell.path, ()) if not task.name.endswith(KEEPER)]
    for task in mine[:TASKS_MAX]:
        beside = task.name.partition("//")[2]
        if beside:
            yield f"  beside the loop: {beside}"
        yield from ("    " + line for line in _frames(_task_frames(task)))
    if len(mine) > TASKS_MAX:
        yield f"  … {len(mine) - TASKS_MAX} more tasks beside the loop"
    actor = cell.actor
    if isinstance(actor, ThreadHost) and actor.thread_id is not None:
        yield "  in its thread:"
        frame = sys._current_frames().get(actor.thread_id)
        yield from ("    " + line for line in _frames(_up_from(frame)))


def _headline(cell: Cell) -> str:
    parts = [f"{cell.path} ({cell.actor_class.__name__}) {cell.state.value}, incarnation {cell.incarnation}"]
    if cell.current is not None:
        for_s = max(0.0, cell.system.clock.monotonic() - cell.handling_since)
        parts.append(f"handles {type(cell.current.message).__name__} for {for_s:.3f} s")
    if depth := cell.mailbox.depth():
        parts.append(f"{depth:,} of {cell.mailbox.policy.capacity:,} queued")
    return ", ".join(parts)


def _task_frames(task: trio.lowlevel.Task) -> list[tuple[FrameType, int]]:
    """The frames of a task, outermost first: of one that sleeps by what it awaits, of the one that runs by what it calls."""
    frames = list(task.iter_await_frames())
    running = sys._getframe() if task.coro.cr_running else None
    return frames if running is None else _up_from(running)


def _up_from(frame: FrameType | None) -> list[tuple[FrameType, int]]:
    """The frames from the outermost one of Trio's own machinery inwards to this one, without this module's."""
    found: list[tuple[FrameType, int]] = []
    while frame is not None and not _is_machinery(frame):
        if frame.f_code.co_filename != __file__:
            found.append((frame, frame.f_lineno))
        frame = frame.f_back
    return found[::-1]


def _is_machinery(frame: FrameType) -> bool:
    """Whether here Trio's scheduler, or its thread pool, begins."""
    return PurePath(frame.f_code.co_filename).parts[-2:] in (("_core", "_run.py"), ("trio", "_threads.py"))


def _frames(frames: list[tuple[FrameType, int]]) -> list[str]:
    lines = [f"{_short(frame.f_code.co_filename)}:{line} {frame.f_code.co_qualname}" for frame, line in frames]
    left_out = len(lines) - FRAMES_MAX
    return [f"… {left_out} more frames", *lines[left_out:]] if left_out > 0 else lines


def _short(filename: str) -> str:
    """The last two steps of the path: where the code lies on this machine is nobody's business."""
    return "/".join(PurePath(filename).parts[-2:])


# --- finding tasks --------------------------------------------------------------------------------------------------------


def _by_path(tasks: Iterable[trio.lowlevel.Task]) -> dict[str, list[trio.lowlevel.Task]]:
    """Tasks by the path of their actor, its own task first. The name of one beside the loop is `<path>//<function>`."""
    found: defaultdict[str, list[trio.lowlevel.Task]] = defaultdict(list)
    for task in tasks:
        path, _, beside = task.name.partition("//")
        found[path].insert(len(found[path]) if beside else 0, task)
    return found


def _tasks_below(cell: Cell) -> dict[str, list[trio.lowlevel.Task]]:
    """The tasks of the children of a supervisor."""
    supervisor = cell.actor
    nursery = getattr(supervisor, "nursery", None) if isinstance(supervisor, Supervisor) else None
    return _by_path(nursery.child_tasks) if nursery is not None else {}


def _root_tasks(system: System) -> dict[str, list[trio.lowlevel.Task]]:
    return _by_path(system.tasks())
