"""Signals of a process whose work is one system: stop it in order, stop it now, show where everything stands.

Counterpart: a program's main function calls `run_until_signal` in the body of its `open_system`. Main thread only, as Python has it.

SIGINT, SIGTERM: the first one makes `run_until_signal` return, and the end of the body stops the actors in order, within the
system's bound. The second one cancels whatever is left at once. SIGUSR1, at any time until the system has ended: the tree and every
actor's stack on stderr, and the program goes on.

SIGUSR1 is answered inside Python's signal handler, not by a task: so it also shows an actor that holds up the loop, which is when one
wants to see it most. It is written by a thread, so that a stderr that nobody reads holds up nothing; those that come while one is
still being written are answered together by one more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import trio

from actors.runtime.log import say_warning

if TYPE_CHECKING:
    from actors.runtime.system import System

STOPPING: Final = (signal.SIGINT, signal.SIGTERM)
"""What ends the program."""


async def run_until_signal(system: System) -> str:
    """Wait for SIGINT or SIGTERM; its name. See the module docstring for the second one, and for SIGUSR1.

    *Resource handling:* the signals are heeded from the call on, and their former handlers are back when the system has ended.
    *Error handling:* RuntimeError off the main thread, and when it is called a second time for one system.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("signals come to the main thread: run_until_signal can be used there only")
    if system.heeds_signals:
        raise RuntimeError("run_until_signal has been called for this system already")
    system.heeds_signals = True
    first = _First()
    with contextlib.ExitStack() as handlers:
        handlers.enter_context(_shown_on_request(system))
        signals = handlers.enter_context(trio.open_signal_receiver(*STOPPING))
        system.beside(_listen, system, first, signals, handlers.pop_all())
    await first.came.wait()
    return first.name


class _First:
    """The signal that is waited for."""

    def __init__(self) -> None:
        self.came = trio.Event()
        self.name = ""


async def _listen(system: System, first: _First, signals: AsyncIterator[int], handlers: contextlib.ExitStack) -> None:
    """Beside the actors, until the system has ended; then the former handlers are back."""
    with handlers:
        async for number in signals:
            name = signal.Signals(number).name
            if first.came.is_set():
                say_warning("stopping at once", signal=name)
                system.cancel()
            first.name = first.name or name
            first.came.set()


@contextlib.contextmanager
def _shown_on_request(system: System) -> Iterator[None]:
    printer = StackPrinter(system)
    before = signal.signal(signal.SIGUSR1, printer.asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


class StackPrinter:
    """Writes `System.stacks` to stderr when the signal comes."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._writing = False
        self._again = False

    def asked(self, _: int, __: FrameType | None) -> None:
        """In the main thread, in the middle of anything: reads only, takes no lock."""
        if self._writing:
            self._again = True
            return
        self._writing = True
        try:
            text = self._system.stacks().encode(errors="replace")
        except Exception as error:  # noqa: BLE001 - it would be raised in the middle of whatever the signal has interrupted
            text = f"the stacks cannot be shown: {type(error).__name__}\n".encode()
        trio.lowlevel.start_thread_soon(lambda: _write(text), self._written, "stacks")

    def _written(self, _: Any) -> None:
        """In the thread."""
        self._writing = False
        if self._again:
            self._again = False
            with contextlib.suppress(trio.RunFinishedError):
                self._system.home.token.run_sync_soon(self.asked, signal.SIGUSR1, None)


def _write(text: bytes) -> None:
    """The whole text, to the file behind stderr; what cannot be written is let go."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no stderr, or none with a file behind it
        descriptor = sys.stderr.fileno()
        while text:
            text = text[os.write(descriptor, text) :]
