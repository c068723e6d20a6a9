"""What an operator, a dashboard or a test does to one place: restart it, stop it, kill it. All of it goes through its supervisor.

Counterpart: `System` (system.py) is a tree that can do these; supervisor.py makes the decisions that follow.

An operation that takes time is a task in the supervisor's nursery: it comes to its end also when whoever asked for it goes away, and
it ends with the supervisor. One at a time for each place.
"""

from __future__ import annotations

from actors.runtime.cell import Cell
from actors.runtime.errors import NotAllowed
from actors.runtime.future import TrioFuture
from actors.runtime.states import ActorState, StopMode
from actors.runtime.supervisor import Supervisor
from actors.runtime.tree import Tree


class Operations(Tree):
    """What `System` can do to one place. For the Trio thread."""

    async def restart(self, path: str) -> None:
        """Stop this incarnation in good order, within its bound, and start a new one at once.

        Not counted against the intensity; the row of its backoff begins anew. Siblings are left alone, whatever the strategy. A place
        that has stopped or failed for good is opened again, with what is below it. What is queued stays queued. Returns when the new
        incarnation is up or has failed to start, about which its supervisor then decides as ever.
        Raises `UnknownPath`, and `NotAllowed` for the root, while its supervisor does not run or restarts a group, and while another
        operation on this place is under way.
        """
        cell, supervisor = _find(self, path)
        if supervisor.regrouping:
            raise NotAllowed(f"{supervisor.cell.path} restarts a group of its children")
        if cell.state is ActorState.STARTING and not cell.active:
            raise NotAllowed(f"{path} waits for its turn to start")
        await _run(cell, supervisor, StopMode.RESTART)

    async def stop_actor(self, path: str) -> None:
        """Stop it for good: its present message and `on_stop`, within its bound, then a kill. What is queued becomes dead letters.

        Nothing to do when it has ended already. Raises as `restart`.
        """
        cell, supervisor = _find(self, path)
        if not cell.over:
            await _run(cell, supervisor, StopMode.FINAL)

    def kill_actor(self, path: str) -> None:
        """Cancel it now, in the middle of whatever it does; no hook of it runs.

        It counts as a failure (`Killed`), as after Erlang's exit(Pid, kill): a permanent or transient child is restarted with backoff,
        within its supervisor's intensity. (`ActorRef.kill` ends it for good.) Raises `UnknownPath`, `NotAllowed` when it does not run.
        """
        cell, _ = _find(self, path)
        if not cell.active:
            raise NotAllowed(f"{path} does not run")
        cell.fail_by_kill()


def _find(tree: Tree, path: str) -> tuple[Cell, Supervisor]:
    """The place, and its supervisor in a state to do something about it. Raises `UnknownPath`, `NotAllowed`."""
    cell = tree.cell(path)
    if cell.parent is None:
        raise NotAllowed("the root is the system itself: stop that")
    supervisor = cell.parent.actor
    if not isinstance(supervisor, Supervisor) or cell.parent.state is not ActorState.RUNNING or supervisor.closing:
        raise NotAllowed(f"its supervisor {cell.parent.path} does not run")
    return cell, supervisor


async def _run(cell: Cell, supervisor: Supervisor, mode: StopMode) -> None:
    if cell in supervisor.operated:
        raise NotAllowed(f"{cell.path} is being stopped or restarted already")
    future: TrioFuture[None] = TrioFuture()
    supervisor.operated.add(cell)
    supervisor.nursery.start_soon(_operate, cell, supervisor, mode, future, name=f"{supervisor.cell.path}//operation")
    await future


async def _operate(cell: Cell, supervisor: Supervisor, mode: StopMode, future: TrioFuture[None]) -> None:
    """Stop it within its bound; then, for a restart, start it anew and wait until that is up or has failed."""
    try:
        await supervisor.stop_child(cell, mode)
        if mode is StopMode.RESTART:
            await _start_again(cell, supervisor)
        future.deliver(None)
    except NotAllowed as error:
        future.deliver_error(error)
    finally:
        supervisor.operated.discard(cell)
        if not future.done():  # cancelled, with the supervisor
            future.deliver_error(NotAllowed(f"its supervisor {supervisor.cell.path} ended meanwhile"))


async def _start_again(cell: Cell, supervisor: Supervisor) -> None:
    if supervisor.closing or supervisor.child_of(cell.name) is not cell:
        raise NotAllowed(f"its supervisor {supervisor.cell.path} ended meanwhile")
    if cell.active:
        raise NotAllowed(f"{cell.path} could not be stopped: it shields itself from being cancelled")
    cell.attempts = 0
    if cell.over:
        cell.reopen()
    supervisor.spawn(cell)
    while cell.active and cell.state is ActorState.STARTING and not supervisor.closing:
        await supervisor.changed()
