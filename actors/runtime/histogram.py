"""Durations in fixed buckets: one bisection and one increment a sample, percentiles when somebody asks.

Counterpart: the receive loop (cell.py) counts into the lists, `snapshot.py` reads percentiles from them.
"""

from __future__ import annotations

import itertools
from typing import Final

BOUNDS_S: Final[tuple[float, ...]] = tuple(
    itertools.accumulate([1e-6] + [1.35] * 67, lambda bound, ratio: bound * ratio)
)
"""Upper bounds of the buckets in seconds: from 1 µs to about 9 minutes, each 1.35 times the one before; the last bucket is open."""


def new_counts() -> list[int]:
    """Empty buckets. The caller counts with `counts[bisect(BOUNDS_S, duration_s)] += 1`: no call, no object a sample."""
    return [0] * (len(BOUNDS_S) + 1)


def percentile_s(counts: list[int], share: float) -> float:
    """The duration in seconds below which `share` (0..1) of the samples lie, interpolated inside its bucket; 0.0 without samples."""
    total = sum(counts)
    if total == 0:
        return 0.0
    rank = share * total
    seen = 0
    for index, count in enumerate(counts):
        if count and seen + count >= rank:
            low = BOUNDS_S[index - 1] if index else 0.0
            high = BOUNDS_S[index] if index < len(BOUNDS_S) else low
            return low + (high - low) * ((rank - seen) / count)
        seen += count
    return BOUNDS_S[-1]
