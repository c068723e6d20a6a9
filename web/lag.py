"""How late the event loop is: a task that sleeps for a short while and sees how much longer it took. Counterpart: web/metrics.py."""

from __future__ import annotations

from typing import Final

import trio
from msgspec import Struct

EVERY_S: Final = 0.25
"""How often it looks. A stall shorter than this may go unseen by this much."""
KEPT: Final = 240
"""Looks whose worst is remembered (a minute)."""


class LagStatistics(Struct, frozen=True):
    """Seconds: the last lateness, the worst of the last minute, the worst since the start."""

    last_s: float
    worst_minute_s: float
    worst_s: float


class LoopLag:
    """Run `watch` beside the system; read `statistics`."""

    def __init__(self) -> None:
        self._last_s = self._worst_s = 0.0
        self._halves = [0.0, 0.0]
        """Worst of the half minute before this one, and of this one."""
        self._looks = 0

    async def watch(self) -> None:
        """Never returns; cancel it."""
        while True:
            due = trio.current_time() + EVERY_S
            await trio.sleep_until(due)
            late_s = trio.current_time() - due
            self._last_s = late_s
            self._looks += 1
            if self._looks % (KEPT // 2) == 0:
                self._halves = [self._halves[1], 0.0]
            self._halves[1] = max(self._halves[1], late_s)
            self._worst_s = max(self._worst_s, late_s)

    def statistics(self) -> LagStatistics:
        """As of the last look."""
        return LagStatistics(self._last_s, max(self._halves), self._worst_s)
