"""Reports of pods that the cluster does not know yet: kept for a moment, so that a sensor that is faster than the watch loses nothing.

Pure; it stands in the window, which outlives the actor. Bounded in number and time: what is over either is given up, counted as
`unknown_pod`. The oldest goes first, as who waited longest is the least likely to be known yet. Counterpart: actor.py asks again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from actors.evidence import BehaviorObservation

WAITING_MAX: Final = 2000
"""Observations that wait."""
WAIT_S: Final = 30.0
"""How long each waits once the cluster was read to its end; a watch brings a new pod within a second or so."""


class Waiting(Struct, frozen=True):
    """One observation of an unknown pod. `received_at`: epoch seconds."""

    observation: BehaviorObservation
    received_at: float


class WaitingStatistics(Struct, frozen=True):
    """Counts since the start of the process, but `waiting`."""

    waiting: int
    resolved: int
    """Their pod appeared."""
    given_up: int
    """Waited too long, or had to make room."""
    overflowed: int
    """Of those given up: had to make room."""


class WaitingRoom:
    """Observations in the order of their arrival."""

    def __init__(self, waiting_max: int = WAITING_MAX, wait_s: float = WAIT_S) -> None:
        self._max = waiting_max
        self._wait_s = wait_s
        self._held: deque[Waiting] = deque()
        self._resolved = self._given_up = self._overflowed = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._held)

    def add(self, observation: BehaviorObservation, received_at: float) -> None:
        """Lets it wait; the oldest makes room."""
        self._held.append(Waiting(observation, received_at))
        if len(self._held) > self._max:
            self._held.popleft()
            self._given_up += 1
            self._overflowed += 1

    def take(self, now: float, is_known: Callable[[BehaviorObservation], bool], *, patient: bool) -> list[Waiting]:
        """Takes out those whose pod is known by now, and gives up those that waited too long, unless `patient`."""
        known: list[Waiting] = []
        kept: deque[Waiting] = deque()
        for each in self._held:
            if is_known(each.observation):
                known.append(each)
            elif patient or now - each.received_at < self._wait_s:
                kept.append(each)
            else:
                self._given_up += 1
        self._held = kept
        self._resolved += len(known)
        return known

    def statistics(self) -> WaitingStatistics:
        """How many wait, and what became of the others."""
        return WaitingStatistics(len(self._held), self._resolved, self._given_up, self._overflowed)
