"""What was made of a text once and need not be made again: batches repeat the same few accounts, Secrets and reasons."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

K = TypeVar("K")
V = TypeVar("V")


class MemoStatistics(Struct, frozen=True):
    """How full a memo is, how often something had to be made, and how often it was full and began anew."""

    entries: int
    entries_max: int
    made: int
    cleared: int


class Memo(dict[K, V]):
    """`memo[key]` is `make(key)`, made once; a hit costs one look into a dict.

    Never more than `entries_max` entries: when full, everything is forgotten. What `keeps(key, value)` refuses (a text of an
    outsider's length) is made each time. Safe in several threads: at worst something is made twice.
    """

    def __init__(self, make: Callable[[K], V], entries_max: int, keeps: Callable[[K, V], bool]) -> None:
        super().__init__()
        self._make = make
        self._keeps = keeps
        self.entries_max = entries_max
        self.made = 0
        self.cleared = 0

    def __missing__(self, key: K) -> V:
        value = self._make(key)
        self.made += 1
        if self._keeps(key, value):
            if len(self) >= self.entries_max:
                self.clear()
                self.cleared += 1
            self[key] = value
        return value

    def statistics(self) -> MemoStatistics:
        """Its figures now."""
        return MemoStatistics(len(self), self.entries_max, self.made, self.cleared)
