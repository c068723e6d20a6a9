"""Wall and monotonic time of a system: the real one, and a virtual one for tests that moves with Trio's clock.

Counterpart: `System.clock`, handed to every actor as `context.clock`. Timers, backoff and intensity windows always run on
Trio's own clock; under `trio.testing.MockClock` both move together when the system has a `VirtualClock`.
"""

from __future__ import annotations

import abc
import time
from typing import Final

import trio


class Clock(abc.ABC):
    """Where a system takes the time from."""

    @abc.abstractmethod
    def now(self) -> float:
        """Wall time: epoch seconds, UTC."""

    @abc.abstractmethod
    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""


class SystemClock(Clock):
    """The machine's clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)  # the C function itself: it is read twice for every message


VIRTUAL_START_AT: Final = 1_767_225_600.0
"""Where a virtual clock starts unless told otherwise: 2026-01-01T00:00:00Z."""


class VirtualClock(Clock):
    """Wall time that is `start_at` when Trio's clock shows zero, and moves with it: for `trio.testing.MockClock`.

    Needs a running Trio loop at its first use; after that it may be read from any thread.
    """

    def __init__(self, start_at: float = VIRTUAL_START_AT) -> None:
        self.start_at = start_at
        self._trio_clock: trio.abc.Clock | None = None

    def now(self) -> float:
        """Epoch seconds: `start_at` plus what Trio's clock shows."""
        return self.start_at + self.monotonic()

    def monotonic(self) -> float:
        """What Trio's clock shows, in seconds."""
        if self._trio_clock is None:
            self._trio_clock = trio.lowlevel.current_clock()
        return self._trio_clock.current_time()
