"""A Trio run that plain code drives: nothing of it moves but while a call is being made. Also `either`, by which one method serves
plain and async tests alike.

Theory of operation. `Bridge` is a guest run (trio.lowlevel.start_guest_run) whose host is the calling thread: `call` hands over a
coroutine and runs the guest's ticks until it has its result. Between two calls the virtual clock stands: autojump is on only while
a call runs. So a plain test is as determined as an async one, exceptions keep their tracebacks, and no thread of ours exists.
Counterpart: session.py, which decides which of the two a test is.
"""

from __future__ import annotations

import functools
import math
import queue
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

import trio
from trio.testing import MockClock

__all__ = ["CALL_S", "Bridge", "BridgeEnded", "Explained", "Hosted", "either"]

CALL_S: Final = 86_400.0
"""How much virtual time one call may take before it counts as waiting for what never comes."""

P = ParamSpec("P")
T = TypeVar("T")


class Explained(AssertionError):  # noqa: N818 - each kind of it says what it is
    """An assertion that failed and whose text explains it: no traceback through the harness is worth reading."""


class BridgeEnded(RuntimeError):  # noqa: N818 - it says what happened
    """The run ended before, or while, the call was made."""


class Bridge:
    """One run, from the first `call` to `close`, inside `async with around()`. `instruments`: of the Trio run (a schedule's trace)."""

    def __init__(
        self, clock: MockClock, around: Callable[[], Any], instruments: tuple[trio.abc.Instrument, ...] = ()
    ) -> None:
        self._clock = clock
        self._around = around
        self._instruments = instruments
        self._ticks: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._send, self._receive = trio.open_memory_channel[tuple[Awaitable[Any], list[Any]] | None](1)
        self._token: trio.lowlevel.TrioToken | None = None
        self._outcome: Any = None

    @property
    def running(self) -> bool:
        """Whether calls can be made."""
        return self._token is not None and self._outcome is None

    def _start(self) -> None:
        self._clock.autojump_threshold = math.inf
        trio.lowlevel.start_guest_run(
            self._main,
            self._around,
            run_sync_soon_threadsafe=self._ticks.put,
            done_callback=self._done,
            clock=self._clock,
            instruments=self._instruments,
            host_uses_signal_set_wakeup_fd=False,
            restrict_keyboard_interrupt_to_checkpoints=True,
        )
        while self._token is None and self._outcome is None:
            self._ticks.get()()
        if self._outcome is not None:
            self._outcome.unwrap()

    def call(self, awaitable: Awaitable[T]) -> T:
        """What the awaitable returns or raises. Raises `BridgeEnded` where the run is over, from what ended it."""
        __tracebackhide__ = True
        if self._token is None and self._outcome is None:
            self._start()
        if self._token is None or self._outcome is not None:
            if isinstance(awaitable, Coroutine):
                awaitable.close()
            raise BridgeEnded("the run of this test is over") from self._error()
        done: list[Any] = []
        self._token.run_sync_soon(self._send.send_nowait, (awaitable, done))
        while not done and self._outcome is None:
            self._ticks.get()()
        if not done:
            if isinstance(awaitable, Coroutine):
                awaitable.close()
            raise BridgeEnded("the run ended during this call") from self._error()
        ok, value = done[0]
        if isinstance(value, Explained):
            raise value.with_traceback(None)  # it says all there is to say; the frames between are ours
        if not ok:
            raise value
        return value  # type: ignore[no-any-return]  # what the awaitable returned

    def close(self) -> None:
        """End the run in order. Raises what the run raised, but not twice."""
        if self._token is None:
            return
        if self._outcome is None:
            self._token.run_sync_soon(self._send.send_nowait, None)
        while self._outcome is None:
            self._ticks.get()()
        self._token = None
        self._outcome.unwrap()

    def _error(self) -> BaseException | None:
        return getattr(self._outcome, "error", None)

    def _done(self, outcome: Any) -> None:
        self._outcome = outcome

    async def _main(self, around: Callable[[], Any]) -> None:
        self._clock.autojump_threshold = 0.0
        async with around():
            self._clock.autojump_threshold = math.inf
            self._token = trio.lowlevel.current_trio_token()
            while (work := await self._receive.receive()) is not None:
                awaitable, done = work
                self._clock.autojump_threshold = 0.0
                try:
                    done.append((True, await awaitable))
                except trio.Cancelled:
                    raise
                except BaseException as error:  # noqa: BLE001 - all of it is the caller's, who gets it raised
                    done.append((False, error))
                self._clock.autojump_threshold = math.inf
            self._clock.autojump_threshold = 0.0


class Hosted(Protocol):
    """Whatever has a bridge when its test is a plain one."""

    @property
    def bridge(self) -> Bridge | None:
        """None in an async test."""


def either(method: Callable[Concatenate[Any, P], Coroutine[Any, Any, Any]]) -> Callable[Concatenate[Any, P], Any]:
    """A method that does its work at once in a plain test, and gives something to await in an async one.

    Typed Any, for it is the value in one and an awaitable of it in the other.
    """

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        __tracebackhide__ = True
        if trio.lowlevel.in_trio_task() or self.bridge is None:  # in_trio_run would be true in the host as well
            return method(self, *args, **kwargs)
        return self.bridge.call(method(self, *args, **kwargs))

    return call
