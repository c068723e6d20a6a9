"""One actor, and one crash, with what a page says of them in words. Counterparts: pages.py makes them, templates/ print them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from actors.runtime.snapshot import ActorSnapshot
from actors.runtime.watch import spark
from actors.runtime.watch.words import countdown, lasting, per_second

__all__ = ["ShownActor", "decided"]

LEVEL_MAX: Final = 8
"""Deepest indentation of a row."""


class ShownActor:
    """One actor with what a row says of it in words."""

    def __init__(
        self, record: ActorSnapshot, level: int, points: Sequence[Any], trio_now: float, now: float, fold: Any = None
    ) -> None:
        self.record = record
        self.level = min(level, LEVEL_MAX)
        self.fold = fold
        self.name = record.path.rpartition("/")[2]
        self.above = record.path.rpartition("/")[0]
        self.state = record.state
        self.strategy = (record.strategy or "").replace("_", " ")
        self.restart_type = getattr(record, "restart_type", "")
        restarts = record.restarts
        self.restarts = f"{restarts.count} of {restarts.max} in {restarts.within_s:g} s" if restarts.max else "–"
        self.restarts_share = restarts.count / restarts.max if restarts.max else 0.0
        self.retry = countdown(record.retry_in_s, now) if record.retry_in_s is not None else None
        self.uptime = lasting(record.uptime_s, now) if record.state == "running" else None
        self.handling = record.handling
        self.handling_for = lasting(record.handling.for_s, now) if record.handling is not None else None
        self.failure = record.last_failure
        self.rate_out = per_second(points[-1].handled_per_s) if points else "–"
        self.rate_in = per_second(points[-1].arrived_per_s) if points else "–"
        self.spark = spark.sparkline(points, trio_now, self.name)
        self.watchers = getattr(record, "watchers", None)
        self.abandoned = getattr(record, "abandoned_threads", 0)


_DECISIONS: Final = {
    "restart": "restarted at once",
    "backoff": "restarted after a backoff",
    "escalate": "the supervisor gave up and escalated",
    "give up": "given up",
    "stop": "not restarted",
    "none": "nobody decided",
}


def decided(crash: Any) -> str:
    """What a supervisor decided about a crash."""
    words = _DECISIONS.get(crash.decision, crash.decision)
    return f"{words} of {crash.delay_s:.2f} s" if crash.decision == "backoff" and crash.delay_s is not None else words
