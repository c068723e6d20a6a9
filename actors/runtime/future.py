"""A Pykka future that Trio tasks can await, and other threads can `get`.

Counterpart: `ActorRef.ask` makes them, the receive loop (cell.py) sets them. `get` on a Trio thread raises `WouldBlock` at once: it
would stop the loop that has to produce the value.
"""

from __future__ import annotations

import functools
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar, cast

import pykka
import trio
from trio.lowlevel import current_task, reschedule

from actors.runtime.errors import AskTimeout, WouldBlock
from actors.runtime.home import Home, current_home
from actors.runtime.park import park
from actors.runtime.timers import Timer, Timers

T = TypeVar("T")
M = TypeVar("M")

_lock = threading.Lock()
"""Guards the moment in which a result is set against other setters and against threads that begin to wait. Held for a few
instructions only; one lock for all futures keeps a future small."""


class TrioFuture(pykka.Future[T]):
    """A value that is there now or later. `await future` under Trio, `future.get(timeout=...)` from any other thread.

    It may be set from any thread, once.
    """

    # Defaults live on the class: most futures only ever get a waiter and a value.
    _get_hook: Any = None
    _hook_result: tuple[Any] | None = None
    _done = False
    _value: Any = None
    _error: BaseException | None = None
    _timer: Timer | None = None
    home: Home | None = None
    """The loop that sets it and mostly awaits it, if it was made for an ask there. Its first waiter there is `_task`: the fast path."""
    _task: trio.lowlevel.Task | None = None
    _waiter: trio.lowlevel.Task | None = None
    _waiter_home: Home | None = None
    _more_waiters: list[tuple[trio.lowlevel.Task, Home]] | None = None
    _thread_event: threading.Event | None = None
    _watched = False
    """Whether anything but `_task` has to be told of the result: a timer, a thread, other waiters."""

    # pykka.Future.__init__ only sets attributes that have their defaults on the class here; object's own costs no Python call.
    __init__ = object.__init__

    def done(self) -> bool:
        """Whether there is a result, a value or an exception."""
        return self._done

    # --- setting -------------------------------------------------------------------------------------------------

    def set(self, value: Any = None) -> None:
        """Set the value. queue.Full (as in Pykka) if there is a result or a get hook already."""
        if not self.deliver(value):
            raise queue.Full

    def set_exception(self, exc_info: Any = None) -> None:
        """Set an exception, by default the one being handled. queue.Full if there is a result or a get hook already."""
        exc_type, error, traceback = exc_info if exc_info is not None else sys.exc_info()
        if error is None and exc_type is not None:
            error = exc_type()
        if error is None:
            raise TypeError("set_exception() needs an exception, given or being handled")
        if not self.deliver_error(error.with_traceback(traceback)):
            raise queue.Full

    def deliver(self, value: Any) -> bool:
        """Set the value unless it is too late; whether it was in time."""
        with _lock:
            if self._done or self._get_hook is not None:
                return False
            self._value = value
            self._done = True
            task, self._task = self._task, None
        if task is not None:
            self._resume(task)
        if self._watched:
            self._wake()
        return True

    def deliver_error(self, error: BaseException) -> bool:
        """Set an exception unless it is too late; whether it was in time."""
        with _lock:
            if self._done or self._get_hook is not None:
                return False
            self._error = error
            self._done = True
            task, self._task = self._task, None
        if task is not None:
            self._resume(task)
        if self._watched:
            self._wake()
        return True

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """As in Pykka: `func(timeout)` makes the value when it is asked for. An await runs it in a worker thread."""
        with _lock:
            if self._done:
                raise queue.Full
            self._get_hook = func
            task, self._task = self._task, None
        if task is not None:
            self._resume(task)
        if self._watched:
            self._wake()

    def expire_after(self, timers: Timers, timeout_s: float) -> None:
        """Fail with `AskTimeout` unless it is set within `timeout_s` seconds. Trio thread only."""
        self._timer = timers.add(timeout_s, self._expired)
        self._watched = True

    def _expired(self, _: Timer) -> None:
        self._timer = None
        self.deliver_error(AskTimeout("no reply within the time that the ask allows"))

    def _resume(self, task: trio.lowlevel.Task) -> None:
        """Let go on what was `_task`. It was taken off under the lock, so its cancellation finds nothing and waits for this."""
        home = self.home
        if home is None or threading.get_ident() == home.thread_id:
            reschedule(task)
        else:
            home.token.run_sync_soon(reschedule, task)

    def _wake(self) -> None:
        """After a result was set: let go on whoever waits, each in its own thread."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._thread_event is not None:
            self._thread_event.set()
        waiter, home = self._waiter, self._waiter_home
        if waiter is None or home is None:
            return
        here = threading.get_ident()
        for task, its_home in [(waiter, home), *(self._more_waiters or ())]:
            if its_home.thread_id == here:
                self._wake_task(task)
            else:
                its_home.token.run_sync_soon(self._wake_task, task)

    def _wake_task(self, task: trio.lowlevel.Task) -> None:
        """On the task's own thread: let it go on, if it still waits."""
        if self._forget(task):
            reschedule(task)

    def _forget(self, task: trio.lowlevel.Task) -> bool:
        """Take `task` off the list of those who wait; whether it was on it."""
        with _lock:
            if self._waiter is task:
                self._waiter = None
                if self._more_waiters:
                    self._waiter, self._waiter_home = self._more_waiters.pop()
                return True
            for index, (other, _) in enumerate(self._more_waiters or ()):
                if other is task and self._more_waiters:
                    del self._more_waiters[index]
                    return True
        return False

    # --- waiting -------------------------------------------------------------------------------------------------

    def get(self, *, timeout: float | None = None) -> Any:
        """Block this thread until the result is there. `AskTimeout` after `timeout` seconds, `WouldBlock` on a Trio thread."""
        if trio.lowlevel.in_trio_run():
            raise WouldBlock("get() would block the Trio loop: use `await future`")
        if not self._done and self._get_hook is None:
            with _lock:
                if self._thread_event is None:
                    self._thread_event = threading.Event()
                self._watched = True
            if not self._done:
                self._thread_event.wait(timeout)
        if self._get_hook is not None:
            if self._hook_result is None:
                self._hook_result = (self._get_hook(timeout),)
            return self._hook_result[0]
        if not self._done:
            raise AskTimeout(f"{timeout} seconds")
        return self._result()

    def __await__(self) -> Generator[Any, None, T]:
        home = self.home
        if home is not None and threading.get_ident() == home.thread_id:
            with _lock:
                waits = not self._done and self._get_hook is None and self._task is None
                if waits:
                    self._task = current_task()
            if waits:
                yield from park(self._abort_task)
                if self._error is not None:
                    raise self._error
                if self._get_hook is None:
                    value: T = self._value
                    return value
        return (yield from self._await_slowly())

    def _abort_task(self, _: object) -> trio.lowlevel.Abort:
        with _lock:
            task, self._task = self._task, None
        return trio.lowlevel.Abort.SUCCEEDED if task is not None else trio.lowlevel.Abort.FAILED

    def _await_slowly(self) -> Generator[Any, None, T]:
        """Await what is there already, with several others, in another loop, or by a get hook."""
        if self._done and self._error is None:
            # A value that is there has cost somebody a checkpoint already: only look for cancellation. An error may have come at
            # once (a full mailbox), and a caller that tries again and again must not hold up the loop.
            yield from trio.lowlevel.checkpoint_if_cancelled().__await__()  # noqa: ASYNC105 - this is how a generator awaits
        elif self._done or self._get_hook is not None:
            yield from trio.lowlevel.checkpoint().__await__()  # noqa: ASYNC105 - as above
        else:
            with _lock:
                task = self._park()
            if task is not None:
                abort = functools.partial(self._abort, task)
                yield from park(abort)
        if self._get_hook is not None:
            value: T = yield from trio.to_thread.run_sync(self.get, abandon_on_cancel=True).__await__()
            return value
        return cast("T", self._result())

    __iter__ = __await__

    def _park(self) -> trio.lowlevel.Task | None:
        """Put the present task on the list of those who wait; None if there is nothing to wait for. Under the lock."""
        if self._done or self._get_hook is not None:  # set by another thread in this very moment
            return None
        task = current_task()
        home = current_home()
        self._watched = True
        if self._waiter is None:
            self._waiter, self._waiter_home = task, home
        else:
            self._more_waiters = [*(self._more_waiters or ()), (task, home)]
        return task

    def _abort(self, task: trio.lowlevel.Task, _: object) -> trio.lowlevel.Abort:
        """The waiting task is cancelled. If it is not on the list any more, another thread has set the result, and wakes it."""
        return trio.lowlevel.Abort.SUCCEEDED if self._forget(task) else trio.lowlevel.Abort.FAILED

    def _result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value

    # --- deriving ------------------------------------------------------------------------------------------------

    def map(self, func: Callable[[T], M]) -> pykka.Future[M]:
        """A future of `func(value)`."""
        return _Derived([self], lambda values: func(values[0]))

    def filter(self: pykka.Future[Any], func: Callable[[Any], bool]) -> pykka.Future[Iterable[Any]]:
        """A future of the list of those items of the value for which `func(item)` is true."""
        return _Derived([self], lambda values: list(filter(func, values[0])))

    def join(self: pykka.Future[Any], *futures: pykka.Future[Any]) -> pykka.Future[Iterable[Any]]:
        """A future of the list of the values of this and the other futures."""
        return _Derived([self, *futures], list)

    def reduce(self: pykka.Future[Any], func: Callable[[Any, Any], Any], *args: Any) -> pykka.Future[Any]:
        """A future of `functools.reduce(func, value, *args)`."""
        return _Derived([self], lambda values: functools.reduce(func, values[0], *args))


class _Derived(TrioFuture[T]):
    """A future computed from others when somebody waits for it; computed once."""

    def __init__(self, sources: list[pykka.Future[Any]], compute: Callable[[list[Any]], T]) -> None:
        self._sources = sources
        self._compute: Callable[[list[Any]], T] = compute

    def get(self, *, timeout: float | None = None) -> Any:
        if trio.lowlevel.in_trio_run():
            raise WouldBlock("get() would block the Trio loop: use `await future`")
        if not self._done and self._get_hook is None:
            self.deliver(self._compute([source.get(timeout=timeout) for source in self._sources]))
        return super().get(timeout=timeout)

    def __await__(self) -> Generator[Any, None, T]:
        if not self._done and self._get_hook is None:
            values = []
            for source in self._sources:
                values.append((yield from source.__await__()))  # noqa: PERF401 - no comprehension may hold a yield from
            self.deliver(self._compute(values))
        return (yield from super().__await__())
