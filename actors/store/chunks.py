"""A set of things that changed, in dicts of bounded size that the garbage collector never looks into: integers to gc=False records."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

V = TypeVar("V")

CHUNK_MAX: Final = 8192
"""Things in one dict."""


class Chunks(Generic[V]):
    """Things by number. Who adds one keeps the number of its chunk (never 0) to take it out again."""

    def __init__(self) -> None:
        self._chunks: dict[int, dict[int, V]] = {}
        self._number = 0
        self._newest: dict[int, V] = {}

    def __len__(self) -> int:
        return sum(map(len, self._chunks.values()))

    def add(self, serial: int, value: V) -> int:
        """Add a thing that is in no chunk; returns the number of its chunk."""
        if len(self._newest) >= CHUNK_MAX or not self._chunks:
            self._number += 1
            self._newest = self._chunks[self._number] = {}
        self._newest[serial] = value
        return self._number

    def discard(self, chunk: int, serial: int) -> None:
        """Take a thing out, if its chunk has not been taken away."""
        things = self._chunks.get(chunk)
        if things is not None:
            things.pop(serial, None)
            if not things and things is not self._newest:
                del self._chunks[chunk]

    def take(self) -> list[dict[int, V]]:
        """Everything; it is empty afterwards."""
        chunks, self._chunks = list(self._chunks.values()), {}
        return chunks
