"""What crashed, and what was decided about it: kept after the actor's end, bounded, without contents.

Counterpart: `Place.record_failure` adds a crash when an incarnation fails, its supervisor says what it decided (supervisor.py), and
supervisors that give up because of it add themselves. Pages and tests read `System.crashes`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec
from msgspec import Struct

from actors.runtime.failure import Failure

CRASHES_MAX: Final = 200
"""How many crashes are kept to look at; all are counted."""

Decision = Literal["restart", "backoff", "escalate", "give up", "stop", "none"]
"""What a supervisor did about a crash.

restart: a new incarnation at once. backoff: a new one after `delay_s`. escalate: more restarts than the intensity allows, so the
supervisor failed as well. give up: this child alone is given up (a dynamic child over its own intensity, one that never came up under
the root, and the root itself). stop: its restart type says that it stays down. none: nothing (yet): it was being stopped anyway.
"""


class Crash(Struct, frozen=True):
    """One failure of one incarnation, and what followed. `at`: epoch seconds; `actor`: the name of the class."""

    id: int
    at: float
    path: str
    actor: str
    incarnation: int
    failure: Failure
    decision: Decision = "none"
    delay_s: float | None = None
    """How long the restart waits, in seconds."""
    escalated_to: tuple[str, ...] = ()
    """The paths of the supervisors that gave up because of it, innermost first."""


class CrashStatistics(Struct, frozen=True):
    """How many crashes are kept, may be kept, and were ever counted, by decision."""

    kept: int
    capacity: int
    total: int
    by_decision: dict[str, int]


class Crashes:
    """The newest crashes of a system, oldest first, and the counts of all of them. For the Trio thread."""

    def __init__(self, capacity: int = CRASHES_MAX) -> None:
        self._crashes: OrderedDict[int, Crash] = OrderedDict()
        self._capacity = capacity
        self.total = 0
        self.counts: dict[Decision, int] = {}

    def add(self, path: str, actor: str, incarnation: int, failure: Failure) -> int:
        """Keep and count one crash; its number, from 1."""
        self.total += 1
        self._crashes[self.total] = Crash(self.total, failure.at, path, actor, incarnation, failure)
        if len(self._crashes) > self._capacity:
            self._crashes.popitem(last=False)
        return self.total

    def decide(self, number: int | None, decision: Decision, delay_s: float | None = None) -> None:
        """Say what was decided about a crash; nothing to do for an end that was none."""
        if number is None:
            return
        self.counts[decision] = self.counts.get(decision, 0) + 1
        crash = self._crashes.get(number)
        if crash is not None:
            self._crashes[number] = msgspec.structs.replace(crash, decision=decision, delay_s=delay_s)

    def escalated(self, numbers: Iterable[int], path: str) -> None:
        """The supervisor at `path` gave up because of these."""
        for number in numbers:
            crash = self._crashes.get(number)
            if crash is not None:
                self._crashes[number] = msgspec.structs.replace(crash, escalated_to=(*crash.escalated_to, path))

    def get(self, number: int) -> Crash | None:
        """The crash with this number, if it is kept."""
        return self._crashes.get(number)

    def statistics(self) -> CrashStatistics:
        """Counts by decision, and how full the ring is."""
        by_decision = dict(self.counts)
        undecided = self.total - sum(by_decision.values())
        if undecided:
            by_decision["none"] = by_decision.get("none", 0) + undecided
        return CrashStatistics(
            kept=len(self._crashes),
            capacity=self._capacity,
            total=self.total,
            by_decision={str(decision): count for decision, count in by_decision.items()},
        )

    def __iter__(self) -> Iterator[Crash]:
        return iter(tuple(self._crashes.values()))

    def __len__(self) -> int:
        return len(self._crashes)
