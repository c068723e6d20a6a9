"""The last ten minutes of the places that somebody looks at: a few counters, sampled while somebody looks and a little longer.

Nothing is sampled, kept or timed before the first look, and everything is given back after the last one: `LINGER_S` later the
timer ends and the samples go. Runs on the system's own timers, so there is no task of its own. Counterparts: pages.py calls
`look_at` with what it shows; spark.py draws.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Final

from msgspec import Struct

from actors.runtime.timers import Timer, Timers
from actors.runtime.watch.reading import Reader, Seen

__all__ = ["KEPT", "LINGER_S", "PERIOD_S", "SERIES_MAX", "Point", "Sampler", "SamplerStatistics"]

PERIOD_S: Final = 5.0
"""Between two samples."""
KEPT: Final = 120
"""Samples of one place: ten minutes."""
LINGER_S: Final = 120.0
"""How long it goes on after the last look, so that a reload finds what was sampled."""
SERIES_MAX: Final = 1000
"""Places that are sampled. Overflow: the one that was looked at longest ago is dropped, counted."""


class Point(Struct, frozen=True, gc=False):
    """One sample: when (seconds of Trio's clock), handled a second and arrived a second since the one before, depth, failures."""

    at: float
    handled_per_s: float
    arrived_per_s: float
    depth: int
    failed: int


class SamplerStatistics(Struct, frozen=True):
    """Whether it runs, how many places it samples of how many it may, samples taken and places dropped since the start."""

    running: bool
    series: int
    series_max: int
    samples: int
    dropped: int


class Sampler:
    """See the module docstring. `read` gives the reader of the system as it is now; `time` is Trio's clock, in seconds."""

    def __init__(self, timers: Timers | None, read: Callable[[], Reader], time: Callable[[], float]) -> None:
        self._timers = timers
        self._read = read
        self._time = time
        self._timer: Timer | None = None
        self._looked_at = 0.0
        self._series: OrderedDict[str, deque[tuple[float, Seen]]] = OrderedDict()
        self._samples = 0
        self._dropped = 0

    def look_at(self, paths: Iterable[str]) -> None:
        """Somebody looks at these places now: sample them from now on."""
        if self._timers is None:
            return
        now = self._looked_at = self._time()
        reader: Reader | None = None
        for path in paths:
            if path in self._series:
                self._series.move_to_end(path)
                continue
            self._series[path] = deque(maxlen=KEPT + 1)
            reader = reader or self._read()
            self._sample(reader, path, now)
            if len(self._series) > SERIES_MAX:
                self._series.popitem(last=False)
                self._dropped += 1
        if self._timer is None:
            self._timer = self._timers.add(PERIOD_S, self._tick, period_s=PERIOD_S)

    def points(self, path: str) -> list[Point]:
        """What is known of this place, oldest first: one point less than there are samples."""
        samples = self._series.get(path, ())
        return [_point(before, after) for before, after in pairwise(samples)]

    def statistics(self) -> SamplerStatistics:
        """What it does now, and counts since the start."""
        return SamplerStatistics(self._timer is not None, len(self._series), SERIES_MAX, self._samples, self._dropped)

    def stop(self) -> None:
        """Give everything back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._series.clear()

    def _tick(self, _: Timer) -> None:
        now = self._time()
        if now - self._looked_at > LINGER_S:
            self.stop()
            return
        reader = self._read()
        for path in list(self._series):
            self._sample(reader, path, now)

    def _sample(self, reader: Reader, path: str, now: float) -> None:
        place = reader.find(path)
        if place is None:  # it left the tree; under the same path another one would begin at zero
            self._series.pop(path, None)
            return
        series = self._series[path]
        seen = reader.sample(place)
        if series and seen.handled < series[-1][1].handled:
            series.clear()
        series.append((now, seen))
        self._samples += 1


def _point(before: tuple[float, Seen], after: tuple[float, Seen]) -> Point:
    (then, old), (now, new) = before, after
    took = max(now - then, 1e-6)
    handled = new.handled - old.handled
    return Point(
        now,
        handled / took,
        max(0, handled + new.depth - old.depth) / took,
        new.depth,
        new.failed - old.failed,
    )
