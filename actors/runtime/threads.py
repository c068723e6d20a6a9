"""`pykka.ThreadingActor` as a child of ours: supervised, with a bounded mailbox, one thread of its own for each incarnation.

Counterpart: `Child(name, SomeThreadingActor)`. `host_of` makes the `Actor` class that stands in the place: a `ThreadHost`, which takes
the messages on the loop and hands them to the thread one at a time. So supervision, snapshots, dead letters and refs are those of every
actor, and the hooks (`on_start`, `on_receive`, proxied methods, `on_stop`, `on_failure`) run in one thread as Pykka has it; `__init__`
runs on the Trio thread, as for every actor here. From the hooks, refs block as they do from any thread.

What differs from `ThreadingActor.start`: the rule for failures (an exception under `ask` is a failure too, unless the class names it in
`answers`); `mailbox`, `answers` and `replayable` may be set on the class; `stop()` means what `Actor.stop` means; `actor_urn` is the
path; Pykka's registry does not know it.

A thread cannot be killed. When the incarnation has to be over while a hook runs (`stop_timeout_s` has passed, or a kill), the thread is
abandoned: counted (`Fence.abandoned`, until it ends by itself), told to subscribers, its token revoked (see fence.py). `actor_stopped`
is set then, for hooks that look at it.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import queue
import threading
import types
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Final

import pykka
import trio

from actors.runtime.actor import Actor
from actors.runtime.errors import ThreadsStuck
from actors.runtime.events import EventKind
from actors.runtime.fence import Fence, FenceToken, fenced_thread
from actors.runtime.future import TrioFuture
from actors.runtime.home import Home
from actors.runtime.log import say_warning

ABANDONED_THREADS_MAX: Final = 10
"""How many abandoned threads of one place may still run; then a further incarnation fails to start (`ThreadsStuck`)."""

KEEPER: Final = "//thread"
"""The end of the name of the task that keeps the thread: it only waits."""

_Job = tuple[TrioFuture[Any], contextvars.Context | None, Callable[..., Any], tuple[Any, ...]]


class ThreadHost(Actor):
    """Stands in the place of a `ThreadingActor` and hands it what comes. See the module docstring."""

    threaded: ClassVar[type[pykka.ThreadingActor]]
    """The class of the actor that runs in the thread."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._job: TrioFuture[Any] | None = None
        self._over = threading.Event()
        self._token: FenceToken | None = None
        self._thread_scope = trio.CancelScope()
        self._home: Home = self._cell.system.home
        self._abandoned = False
        self.thread_id: int | None = None
        """The thread's number, while it runs."""
        self.inhabitant = _inhabitant(self, args, kwargs)
        """The `ThreadingActor`."""

    @property
    def over(self) -> threading.Event:
        """Set when the incarnation is over; what the inhabitant knows as `actor_stopped`."""
        return self._over

    def stop(self) -> None:
        """As `Actor.stop`, from any thread."""
        with contextlib.suppress(trio.RunFinishedError):
            self._home.token.run_sync_soon(functools.partial(self._cell.request_stop, restartable=True))

    # --- hooks ---------------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Start the thread, and let `on_start` run in it."""
        fence = self._cell.fence()
        if fence.abandoned >= ABANDONED_THREADS_MAX:
            raise ThreadsStuck(f"{self.actor_urn} has {fence.abandoned} threads that were abandoned and still run")
        self._token = fence.issue(self._cell.incarnation)
        self._cell.supervisor.nursery.start_soon(self._keep_thread, self._token, name=self.actor_urn + KEEPER)
        await self._call(self.inhabitant.on_start)

    async def on_receive(self, message: Any) -> Any:
        """Hand a message to the thread, and wait for what it makes of it."""
        return await self._call(self.inhabitant.on_receive, message)

    async def on_stop(self) -> None:
        """Let `on_stop` run in the thread."""
        await self._call(self.inhabitant.on_stop)

    async def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let `on_failure` run in the thread, if it ever came to run and is not busy."""
        if self._token is not None and not self._busy:
            await self._call(self.inhabitant.on_failure, exception_type, exception_value, traceback)

    async def handle_proxy_message(self, message: Any) -> Any:
        """Let Pykka's proxy message be handled in the thread."""
        return await self._call(self.inhabitant._handle_receive, message)

    def let_go(self) -> None:
        """The incarnation is over: an idle thread ends, a busy one is abandoned."""
        self._over.set()
        self._jobs.put(None)
        if self._token is not None and self._busy:
            self._abandoned = True
            self._token.fence.abandoned += 1
            self._thread_scope.cancel()
            self._cell.system.threads_abandoned += 1
            self._cell.publish(EventKind.ABANDONED)
            say_warning("thread abandoned", path=self.actor_urn, still_running=self._token.fence.abandoned)

    # --- the thread ------------------------------------------------------------------------------------------------

    @property
    def _busy(self) -> bool:
        return self._job is not None and not self._job.done()

    async def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run `function(*args)` in the thread. A task that is cancelled meanwhile leaves it there, running."""
        future: TrioFuture[Any] = TrioFuture()
        future.home = self._home
        context = contextvars.copy_context() if self._cell.system.trace_context else None
        self._job = future
        self._jobs.put((future, context, function, args))
        return await future

    async def _keep_thread(self, token: FenceToken) -> None:
        with self._thread_scope:
            await trio.to_thread.run_sync(
                self._serve,
                token,
                thread_name=type(self).__name__,
                abandon_on_cancel=True,
                limiter=trio.CapacityLimiter(1),  # its own: it is held for as long as the incarnation lasts
            )

    def _serve(self, token: FenceToken) -> None:
        """In the thread: one hook after the other, until there is nothing more to come."""
        self.thread_id = threading.get_ident()
        try:
            with fenced_thread(token):
                while (job := self._jobs.get()) is not None:
                    _run(job)
                    del job
        finally:
            self.thread_id = None
            with contextlib.suppress(trio.RunFinishedError):
                self._home.token.run_sync_soon(self._thread_ended, token.fence)

    def _thread_ended(self, fence: Fence) -> None:
        if self._abandoned:
            fence.abandoned -= 1


def _run(job: _Job) -> None:
    """In the thread: run one hook, and send what comes of it to the loop."""
    future, context, function, args = job
    with contextlib.suppress(trio.RunFinishedError):
        try:
            result = function(*args) if context is None else context.run(function, *args)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is judged on the loop (see verdict.py)
            future.deliver_error(error)
        else:
            future.deliver(result)


# --- the classes ------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def host_of(threaded: type[pykka.ThreadingActor]) -> type[ThreadHost]:
    """The class that stands in the place of a `ThreadingActor` of this class: its name, its policies."""
    namespace: dict[str, Any] = {
        "threaded": threaded,
        "__doc__": threaded.__doc__,
        "__module__": threaded.__module__,
        "__qualname__": threaded.__qualname__,
    }
    for policy in ("mailbox", "answers", "replayable"):
        if hasattr(threaded, policy):
            namespace[policy] = getattr(threaded, policy)
    for merging in ("conflate_key", "conflate"):
        if hasattr(threaded, merging):
            namespace[merging] = classmethod(functools.partial(_as_threaded, getattr(threaded, merging)))
    return types.new_class(threaded.__name__, (ThreadHost,), {}, lambda made: made.update(namespace))


def _as_threaded(function: Callable[..., Any], _: type[ThreadHost], *args: Any) -> Any:
    """A class method of the host, made of the threaded class's own."""
    return function(*args)


def shown_class(actor_class: type[Any]) -> type[Any]:
    """The class as whoever wrote it knows it."""
    threaded: type[Any] = getattr(actor_class, "threaded", actor_class)
    return threaded


def _keep_ours(_: Any, __: Any) -> None:
    """Pykka's `__init__` sets what belongs to an actor of the registry; the place's own stays."""


@functools.lru_cache(maxsize=1024)
def _inhabitant_class(threaded: type[pykka.ThreadingActor]) -> type[pykka.ThreadingActor]:
    """A subclass whose ref, inbox and name are those of the place, also while its `__init__` runs."""
    namespace = {
        "actor_urn": property(lambda self: self._host.actor_urn, _keep_ours),
        "actor_inbox": property(lambda self: self._host.actor_inbox, _keep_ours),
        "_actor_ref": property(lambda self: self._host.actor_ref, _keep_ours),
        "actor_stopped": property(lambda self: self._host.over, _keep_ours),
        "stop": _stop,
        "__doc__": threaded.__doc__,
        "__module__": threaded.__module__,
        "__qualname__": threaded.__qualname__,
    }
    return types.new_class(threaded.__name__, (threaded,), {}, lambda made: made.update(namespace))


def _inhabitant(host: ThreadHost, args: tuple[Any, ...], kwargs: dict[str, Any]) -> pykka.ThreadingActor:
    actor_class: Any = _inhabitant_class(host.threaded)
    inhabitant: Any = actor_class.__new__(actor_class)
    inhabitant._host = host
    inhabitant.__init__(*args, **kwargs)
    return inhabitant  # type: ignore[no-any-return]  # made as the class that it is


def _stop(self: Any) -> None:
    """Stop this actor after what is queued now: a normal exit, as `Actor.stop`."""
    host: ThreadHost = self._host
    host.stop()
