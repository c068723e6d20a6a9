"""Live evidence, newest first, without sorting all of it for a page: kept in buckets of one second of event time. Pure.

A repeated read moves its evidence to another bucket; only the buckets that a page needs are sorted.
"""

from __future__ import annotations

from collections.abc import Iterator

from actors.engine.nodes import Item

Position = tuple[float, int]
"""Event time and number: where a piece of evidence stands, unambiguously."""


class Timeline:
    """All live evidence by event time."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[Item, None]] = {}

    def put(self, item: Item) -> None:
        """Takes it in where its event time says; `move` when that changes."""
        item.second = int(item.evidence.observation.last.at)
        self._buckets.setdefault(item.second, {})[item] = None

    def move(self, item: Item) -> None:
        """Its event time may have changed."""
        if int(item.evidence.observation.last.at) != item.second:
            self.drop(item)
            self.put(item)

    def drop(self, item: Item) -> None:
        """Takes it out."""
        bucket = self._buckets[item.second]
        del bucket[item]
        if not bucket:
            del self._buckets[item.second]

    def newest(self, before: Position | None = None) -> Iterator[Item]:
        """From the newest to the oldest; with `before` those behind that position."""
        for second in sorted(self._buckets, reverse=True):
            if before is not None and second > before[0]:
                continue
            for item in sorted(self._buckets[second], key=position_of, reverse=True):
                if before is None or position_of(item) < before:
                    yield item


def position_of(item: Item) -> Position:
    """Where it stands."""
    return (item.evidence.observation.last.at, item.number)
