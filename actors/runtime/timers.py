"""All timers of a system: one heap, one task, on Trio's clock.

Counterpart: `ActorContext.after` and `every`, and the supervisors' backoff. One task for all of them costs nothing while an actor
waits, where a task for each would cost kilobytes.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Final

import trio
from msgspec import Struct

COMPACT_MIN: Final = 64
"""Below this many entries the heap keeps cancelled timers until they are due."""


class TimerStatistics(Struct, frozen=True):
    """Timers that will fire, and entries of the heap (those of cancelled timers, at most as many again, included)."""

    active: int
    entries: int


class Timer:
    """Something that will happen. `cancel` makes sure that it does not."""

    __slots__ = ("_cancelled", "_on_cancel", "callback", "due", "pending", "period_s", "timers")

    def __init__(self, timers: Timers, callback: Callable[[Timer], None], due: float, period_s: float | None) -> None:
        self.timers = timers
        self.callback = callback
        self.due = due
        self.period_s = period_s
        self.pending = True  # whether the heap holds it
        self._cancelled = False
        self._on_cancel: Callable[[Timer], None] | None = None

    @property
    def active(self) -> bool:
        """Whether it will still fire."""
        return not self._cancelled

    def on_cancel(self, callback: Callable[[Timer], None]) -> None:
        """Call `callback(timer)` when it is cancelled or has fired for the last time."""
        self._on_cancel = callback

    def cancel(self) -> None:
        """It will not fire, and a message of it that still waits in the mailbox is withdrawn. Does nothing the second time."""
        if not self._cancelled:
            self._cancelled = True
            self.timers.cancelled(self)
            if self._on_cancel is not None:
                self._on_cancel(self)


class Timers:
    """The heap and the task that sleeps until its first entry is due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._seq = 0
        self._dead = 0
        self._scope: trio.CancelScope | None = None

    def statistics(self) -> TimerStatistics:
        """How many timers there are."""
        return TimerStatistics(active=len(self._heap) - self._dead, entries=len(self._heap))

    def add(self, delay_s: float, callback: Callable[[Timer], None], *, period_s: float | None = None) -> Timer:
        """Call `callback(timer)` in `delay_s` seconds, and then every `period_s` if given. The callback must not raise."""
        timer = Timer(self, callback, trio.current_time() + max(0.0, delay_s), period_s)
        self._push(timer)
        return timer

    def _push(self, timer: Timer) -> None:
        self._seq += 1  # equal times fire in the order in which they were set
        timer.pending = True
        heapq.heappush(self._heap, (timer.due, self._seq, timer))
        if self._heap[0][2] is timer and self._scope is not None:
            self._scope.deadline = timer.due

    def cancelled(self, timer: Timer) -> None:
        """A timer was cancelled; it stays in the heap until it is due, or until cancelled ones are the majority."""
        if not timer.pending:
            return
        self._dead += 1
        if len(self._heap) > COMPACT_MIN and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].active]
            heapq.heapify(self._heap)
            self._dead = 0

    async def run(self) -> None:
        """Fire timers when they are due, until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._heap[0][0] if self._heap else math.inf) as self._scope:
                await trio.sleep_forever()
            self._scope = None
            now = trio.current_time()
            while self._heap and self._heap[0][0] <= now:
                self._fire(heapq.heappop(self._heap)[2], now)

    def _fire(self, timer: Timer, now: float) -> None:
        timer.pending = False
        if not timer.active:
            self._dead -= 1
            return
        if timer.period_s is None:
            timer.callback(timer)
            return
        # The next tick is counted from when this one was due: no drift; ticks that were missed are left out.
        timer.due += timer.period_s * max(1.0, math.ceil((now - timer.due) / timer.period_s))
        self._push(timer)
        timer.callback(timer)
