"""Which batches were answered, and how: a repeated one gets the first answer. Counterpart: ledger.py."""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec import Struct

from actors.messages import BatchAnswer

DIGESTS_MAX: Final = 100_000
"""Batches remembered. Beyond: the oldest is forgotten before its time."""
DIGEST_AGE_S: Final = 900.0
"""How long a batch is remembered. An API server gives a batch up after 250 s; a log that is read again may take longer."""


class DigestStatistics(Struct, frozen=True):
    """Counts."""

    digests: int
    bound: int
    overflows: int
    """Forgotten before their time."""


class Digests:
    """digest -> the first answer, oldest forgotten first."""

    def __init__(self, bound: int = DIGESTS_MAX, age_s: float = DIGEST_AGE_S) -> None:
        self._bound = bound
        self._age_s = age_s
        self._answers: dict[bytes, BatchAnswer] = {}
        self._order: deque[tuple[float, bytes]] = deque()
        self._overflows = 0

    def get(self, digest: bytes) -> BatchAnswer | None:
        """The first answer to this batch."""
        return self._answers.get(digest)

    def add(self, digest: bytes, answer: BatchAnswer, at: float) -> None:
        """Remember the answer that was given at `at` (epoch seconds, never going back)."""
        if digest in self._answers:
            return
        self._answers[digest] = answer
        self._order.append((at, digest))
        while self._order[0][0] < at - self._age_s:
            del self._answers[self._order.popleft()[1]]
        if len(self._order) > self._bound:
            del self._answers[self._order.popleft()[1]]
            self._overflows += 1

    def statistics(self) -> DigestStatistics:
        """Counts."""
        return DigestStatistics(len(self._answers), self._bound, self._overflows)
