"""`Cell`: one place in the tree, with all its parts. It holds what outlives an incarnation and says how a place begins and ends.

Counterparts: `ActorRef` puts into its mailbox; how an incarnation runs is in life.py, what is counted and told of it in place.py.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final

import trio
from pykka import ThreadingActor

from actors.runtime.actor import Actor
from actors.runtime.entry import StopRequest
from actors.runtime.errors import Killed
from actors.runtime.events import EventKind
from actors.runtime.fence import Fence, FenceToken
from actors.runtime.future import TrioFuture
from actors.runtime.held import Rare
from actors.runtime.life import Life
from actors.runtime.mailbox import Mailbox
from actors.runtime.mailbox_kinds import mailbox_class
from actors.runtime.monitors import WATCHERS_PER_PLACE_MAX, WATCHES_PER_ACTOR_MAX, Terminated, WatchKey
from actors.runtime.specs import MailboxPolicy, Restart
from actors.runtime.states import ActorState, ExitKind, StopMode
from actors.runtime.threads import host_of

if TYPE_CHECKING:
    from actors.runtime.system import System

_CLOSED: Final = MailboxPolicy(capacity=0)
"""Of the mailbox of a place that is not part of a tree yet: it is closed."""


class Cell(Life):
    """See the module docstring. Attributes without a comment are explained where they are used."""

    __slots__ = ("attempts", "children", "name", "parent", "restart", "restart_times", "retry_at")

    def __init__(self, system: System, path: str) -> None:
        super().__init__(system, path)
        self.name = path.rpartition("/")[2]
        self.parent: Cell | None = None
        self.children: dict[str, Cell] | None = None
        self.ref = system.make_ref(self)
        self.args: tuple[Any, ...] = ()
        self.kwargs: Mapping[str, Any] = {}
        self.restart = Restart.TEMPORARY
        self.stop_timeout_s = 0.0
        self.state = ActorState.STOPPED
        self.active = False
        self.initial = True
        self.context = None
        self.scope = trio.CancelScope()
        self.started_at = None
        self.failure = None
        self.stop_mode = None
        self.attempts = 0  # restarts in a row, for the backoff
        self.restart_times: deque[float] | None = None
        self.retry_at = 0.0
        self.retry_timer = None
        self.predecessor = None
        self._held = None
        self._rare = None

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
        actor_class: type[Actor | ThreadingActor],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        restart: Restart,
        stop_timeout_s: float,
    ) -> None:
        """Say what is to run in this place, and open its mailbox."""
        self.parent = parent
        self.actor_class = actor_class = actor_class if issubclass(actor_class, Actor) else host_of(actor_class)
        self.args, self.kwargs = args, kwargs
        self.restart, self.stop_timeout_s = restart, stop_timeout_s
        self.state = ActorState.STARTING
        make = mailbox_class(keyed=actor_class.has_conflate_key(), traced=self.system.trace_context)
        self._set_mailbox(make(self, actor_class.mailbox, self.system.clock.monotonic))

    def reopen(self) -> None:
        """After `finish`: the place, and those below it, may have an incarnation again."""
        self.mailbox.reopen()
        self.state = ActorState.STARTING
        self.failure = None
        if self._rare is not None and self._rare.stopped_event is not None:
            self._rare.stopped_event.clear()
        for child in (self.children or {}).values():
            child.reopen()

    @property
    def rare(self) -> Rare:
        """What few places have; made when first needed."""
        if self._rare is None:
            self._rare = Rare()
        return self._rare

    # --- monitors and fences -----------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether it has ended for good (or was never part of a tree)."""
        return self.mailbox.limit < 0 and self.state in (ActorState.STOPPED, ActorState.FAILED)

    @property
    def watchers(self) -> int:
        """How many wait for its end."""
        return len(self._rare.watchers) if self._rare is not None else 0

    def terminated(self) -> Terminated:
        """What watchers are told."""
        return Terminated(self.path, self.state, self.last_failure if self.state is ActorState.FAILED else None)

    def add_watcher(self, key: Hashable, callback: Callable[[Terminated], object]) -> None:
        """Call `callback` once when this place has ended for good; now if it has already. RuntimeError over the bound."""
        if self.over:
            callback(self.terminated())
            return
        watchers = self.rare.watchers
        if len(watchers) >= WATCHERS_PER_PLACE_MAX:
            raise RuntimeError(f"{self.path} has {WATCHERS_PER_PLACE_MAX} watchers")
        watchers[key] = callback

    def remove_watcher(self, key: Hashable) -> None:
        """The other way round; nothing to do if it is none."""
        if self._rare is not None:
            self._rare.watchers.pop(key, None)

    def watch(self, target: Cell) -> None:
        """See `ActorContext.watch`."""
        held = self.held
        if target in held.watches or self.mailbox.holds(WatchKey(target.path)):
            return
        waiting = len(self.mailbox.queue) - self.mailbox.policy.capacity
        if len(held.watches) + max(0, waiting) >= WATCHES_PER_ACTOR_MAX:
            raise RuntimeError(f"{self.path} watches {WATCHES_PER_ACTOR_MAX} places")
        held.watched = True
        held.watches.add(target)
        try:
            target.add_watcher(self, lambda terminated: self._watched_ended(target, terminated))
        except RuntimeError:
            held.watches.discard(target)
            raise

    def unwatch(self, target: Cell) -> None:
        """See `ActorContext.unwatch`."""
        self.held.watches.discard(target)
        target.remove_watcher(self)
        self.mailbox.withdraw(WatchKey(target.path))

    def _watched_ended(self, target: Cell, terminated: Terminated) -> None:
        self.held.watches.discard(target)
        self.mailbox.put_notice(terminated, WatchKey(target.path))

    def fence(self) -> Fence:
        """The fence of this path."""
        rare = self.rare
        if rare.fence is None:
            rare.fence = self.system.fence_of(self.path)
        return rare.fence

    def fence_token(self) -> FenceToken:
        """See `ActorContext.fence`."""
        return self.fence().issue(self.incarnation)

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
            self.cancel()
        else:
            self.request_stop()

    def fail_by_kill(self) -> None:
        """See `System.kill_actor`."""
        self.failure = self.failure or Killed(f"{self.path} was killed")
        self.cancel()

    def cancel(self) -> None:
        """Cut the incarnation short."""
        if self.actor is not None:
            self.actor.to_be_cancelled()
        self.scope.cancel()

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
        if self.over:
            return
        for child in tuple((self.children or {}).values()):
            child.finish(ActorState.STOPPED)
        self.mailbox.close()
        self.mailbox.drain()
        self.system.finished(self)
        if self.state is not ActorState.FAILED:  # given up by its supervisor, which was then given up as well
            self.state = state
        if self._rare is not None:
            self._tell_end(self._rare)
        self.publish(EventKind.STOPPED)
        self.notify()

    def _tell_end(self, rare: Rare) -> None:
        if rare.stopped_event is not None:
            rare.stopped_event.set()
        watchers, rare.watchers = rare.watchers, {}
        terminated = self.terminated()
        for callback in watchers.values():
            callback(terminated)

    def stopped_event(self) -> threading.Event:
        """What Pykka calls `actor_stopped`."""
        rare = self.rare
        if rare.stopped_event is None:
            rare.stopped_event = threading.Event()
            if self.mailbox.limit < 0:
                rare.stopped_event.set()
        return rare.stopped_event
