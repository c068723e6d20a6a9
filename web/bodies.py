"""Bodies of requests as they arrive, and those that forwarders compress: bounded as they arrive and as they unfold.

Counterparts: web/ingest.py, which answers; web/guard.py, whose budget counts every byte held here.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio

from web.guard import BodyBudget
from web.ingest_answers import FULL, TOO_LARGE, Answer

__all__ = ["GZIP", "LOOP_BYTES_MAX", "PIECE_BYTES", "Body"]

GZIP: Final = frozenset({b"gzip", b"x-gzip"})
"""Content-Encodings that are unfolded. A body of any other is taken as it is."""
LOOP_BYTES_MAX: Final = 128 * 1024
"""A compressed body up to here begins to unfold on the loop, so many bytes of it at most (about a millisecond)."""
PIECE_BYTES: Final = 4 << 20
"""So much is unfolded at a time in a thread; between two of them the budget is asked."""
MEMBERS_MAX: Final = 16
"""Most gzip members of one body; forwarders send one. Over it: 413, counted as a bomb, since each costs a copy of the rest."""
THREADS: Final = 1
"""Bodies that unfold in threads at a time; others wait."""

_threads = trio.CapacityLimiter(THREADS)
_WITH_GZIP_HEAD = 16 + zlib.MAX_WBITS

Receive = Callable[[], Awaitable[Any]]


class Body:
    """A body as it arrives: held against the budget, never beyond the cap."""

    def __init__(self, budget: BodyBudget, bytes_max: int) -> None:
        self._budget = budget
        self._bytes_max = bytes_max
        self._parts: list[bytes] = []
        self._held = 0
        self.count = 0
        """Bytes that arrived."""
        self.is_abandoned = False
        self.is_bomb = False
        """It arrived within the cap, and unfolded beyond it, or into too many members."""

    async def read(self, receive: Receive) -> Answer | None:
        """Reads to the end; the answer where that cannot be, None (and `is_abandoned`) where the client leaves."""
        while True:
            event = await receive()
            if event["type"] != "http.request":
                self.is_abandoned = True
                return None
            part: bytes = event["body"]
            if self.count + len(part) > self._bytes_max:
                return TOO_LARGE
            if not self._take(len(part)):
                return FULL
            self.count += len(part)
            self._parts.append(part)
            if not event["more_body"]:
                return None

    def whole(self) -> bytes:
        """All of it, once: the parts are let go."""
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def unfold(self) -> Answer | None:
        """Of a gzip body `whole` is afterwards what was compressed; the answer where that is over the cap or the budget.

        One that is cut unfolds as far as it goes, a damaged one up to the piece with the damage: the parser says what is missing.
        Where nothing at all unfolds, it is taken as it came, which is no JSON.
        """
        body = self.whole()
        inflating, left = zlib.decompressobj(_WITH_GZIP_HEAD), body
        parts: list[bytes] = []
        size, piece_max, members = 0, LOOP_BYTES_MAX, 1
        while True:
            room = min(piece_max, self._bytes_max - size + 1)
            if len(body) > LOOP_BYTES_MAX or size:
                # Abandoned when the request is: unfolding changes nothing, and the limiter is held until the thread is done.
                piece, ok = await trio.to_thread.run_sync(
                    _piece, inflating, left, room, limiter=_threads, abandon_on_cancel=True
                )
            else:
                piece, ok = _piece(inflating, left, room)
            size, piece_max = size + len(piece), PIECE_BYTES
            if size > self._bytes_max or members > MEMBERS_MAX:
                self.is_bomb = True
                return TOO_LARGE
            if not self._take(len(piece)):
                return FULL
            parts.append(piece)
            if inflating.eof and inflating.unused_data:  # another member: gzip files may be put behind one another
                left, inflating, members = inflating.unused_data, zlib.decompressobj(_WITH_GZIP_HEAD), members + 1
                continue
            left = inflating.unconsumed_tail
            if not ok or inflating.eof or (not left and len(piece) < room):
                break
        self._parts = parts if size or (ok and inflating.eof) else [body]
        return None

    def release(self) -> None:
        """The bytes no longer count as held."""
        self._budget.give(self._held)
        self._held = 0

    def _take(self, count: int) -> bool:
        if not self._budget.take(count):
            return False
        self._held += count
        return True


def _piece(inflating: Any, left: bytes, room: int) -> tuple[bytes, bool]:
    """At most `room` bytes more, and whether it made sense."""
    try:
        return inflating.decompress(left, room), True
    except zlib.error:
        return b"", False
