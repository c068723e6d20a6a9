"""A dict in parts. Resizing one dict of a million entries stops the loop for tens of milliseconds; resizing a part does not."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

PART_MAX: Final = 16_384
"""Entries that one part is meant for."""
PART_SHIFT: Final = 24
"""The part is chosen by bits of the hash that the part itself, being a dict, does not begin its search with."""


def parts_for(capacity: int) -> int:
    """How many parts, a power of two, so that `capacity` entries fill each about half."""
    return max(1, 1 << max(0, (2 * capacity // PART_MAX).bit_length()))


class ShardedDict(Generic[K, V]):
    """The part of the dict interface that is used here, over parts chosen by hash."""

    def __init__(self, capacity: int) -> None:
        self._parts: list[dict[K, V]] = [{} for _ in range(parts_for(capacity))]
        self._mask = len(self._parts) - 1

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[K]:
        for part in self._parts:
            yield from part

    def __contains__(self, key: K) -> bool:
        return key in self._parts[(hash(key) >> PART_SHIFT) & self._mask]

    def __getitem__(self, key: K) -> V:
        return self._parts[(hash(key) >> PART_SHIFT) & self._mask][key]

    def get(self, key: K) -> V | None:
        """The value, or None."""
        return self._parts[(hash(key) >> PART_SHIFT) & self._mask].get(key)

    def __setitem__(self, key: K, value: V) -> None:
        self._parts[(hash(key) >> PART_SHIFT) & self._mask][key] = value

    def pop(self, key: K) -> V | None:
        """Take the value out, if it is there."""
        return self._parts[(hash(key) >> PART_SHIFT) & self._mask].pop(key, None)

    def parts(self) -> list[dict[K, V]]:
        """The parts, for going over everything in slices."""
        return self._parts
