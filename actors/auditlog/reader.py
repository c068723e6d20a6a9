"""Reads the log piece by piece, across rotations. Blocking; one thread at a time uses it. Counterpart: actor.py.

Two rules:
  1. What is read is only believed once the file, looked at afterwards, still begins as before: else it was truncated meanwhile.
  2. A file is left only when it is at its end *after* a newer one was seen that holds something: one writer never goes back.

At the end of a file its successor is found among the parts by name; where the file itself is gone (kept for too short a time),
everything is read that was not read to its end before, and a gap is counted. A file that was truncated lives on in its copy, which
begins as it did.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct

from actors.auditlog.parts import LogFile, all_parts
from actors.auditlog.place import HEAD_BYTES, NOWHERE, Mark, Place, mark_of

PIECE_BYTES: Final = 1 << 20
"""Read in one go and handed on as one batch: some 700 events."""
LINE_BYTES_MAX: Final = 32 << 20
"""Longest line that is read (the parser itself drops items over 16 MiB without their objects); a longer one is skipped, `oversized`."""
MOVES_MAX: Final = 8
"""Files that are gone through in one call without anything to read in them."""


class Piece(Struct, frozen=True):
    """Whole lines, and where the next ones begin. `oversized`: instead of lines, the beginning of one that is too long."""

    before: Place
    data: bytes
    after: Place
    oversized: bool = False


class ReaderStatistics(Struct, frozen=True):
    """Counts since the start. `behind_bytes`: of the file that is read; None where it is compressed or there is none."""

    rotations: int
    truncations: int
    gaps: int
    damaged: int
    behind_bytes: int | None


class LogReader:
    """`read(place)` gives the next piece behind it, None where there is nothing now. OSError where the folder cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: LogFile | None = None
        self._tail: Piece | None = None
        self._asked = NOWHERE
        """The place that was asked for last; the one below may be in a newer file, where nothing is taken yet."""
        self._place = NOWHERE
        """Where reading goes on in the file that is open."""
        self._rotations = self._truncations = self._gaps = self._damaged = 0
        self._behind: int | None = None

    def read(self, place: Place) -> Piece | None:
        """`place`: that of the last piece, or what the note said."""
        if self._file is None or place not in (self._place, self._asked):
            self._reopen(place)
        self._asked = place
        for _ in range(MOVES_MAX):
            if self._file is None:
                return None
            if not self._is_same(self._file):
                self._truncations += 1
                self._reopen(self._place)
                continue
            piece = self._piece(self._file)
            if piece is not None:
                return piece
            if not self._move_on(self._file):
                return None
            if (tail := self._tail) is not None:
                self._tail = None
                return tail
        return None

    def took(self, place: Place) -> None:
        """The piece up to here is taken."""
        self._place = self._asked = place
        size = None if self._file is None else self._file.size
        self._behind = None if size is None else max(0, size - place.offset)

    def close(self) -> None:
        """Let go of the file."""
        self._swap(None, self._place)

    def statistics(self) -> ReaderStatistics:
        """Counts."""
        return ReaderStatistics(self._rotations, self._truncations, self._gaps, self._damaged, self._behind)

    # --- in one file ---------------------------------------------------------------------------------------------------------

    def _is_same(self, file: LogFile) -> bool:
        """Whether what is behind the name we opened is still what we read."""
        size = file.size
        return (size is None or size >= self._place.offset) and self._place.mark.fits(file.head())

    def _lines(self, file: LogFile, place: Place) -> tuple[bytes, int, bool]:
        """What there is from here on, how much of it is whole lines, and whether a line in it is too long."""
        want = PIECE_BYTES
        while True:
            data = file.read(place.offset, want)
            whole = data.find(b"\n") + 1 if place.skipping else data.rfind(b"\n") + 1
            if whole or len(data) < want:
                return data, whole, False
            if place.skipping or want >= LINE_BYTES_MAX:
                return data, whole, True
            want = min(want * 4, LINE_BYTES_MAX)

    def _piece(self, file: LogFile) -> Piece | None:
        """The next whole lines; None at the end, before a line that is not whole yet, and where the file was truncated just now."""
        while True:
            place = self._place
            data, whole, too_long = self._lines(file, place)
            count = len(data) if too_long or (place.skipping and not whole) else whole
            if not count:
                return None
            after = self._behind_of(file, place, data[:count], skipping=too_long or (place.skipping and not whole))
            if after is None:
                return None
            if place.skipping:
                self._place = after
                continue
            if too_long:
                return Piece(place, b"", after, oversized=True)
            return Piece(place, data[:count], after)

    def _behind_of(self, file: LogFile, place: Place, data: bytes, *, skipping: bool = False) -> Place | None:
        """The place behind these bytes; None where the file is not the one any more that they should be of."""
        head, offset = file.head(), place.offset + len(data)
        if not place.mark.fits(head) or head[place.offset : offset] != data[: max(0, HEAD_BYTES - place.offset)]:
            return None
        return Place(mark_of(head, min(HEAD_BYTES, offset)), offset, skipping, place.done)

    # --- from file to file -----------------------------------------------------------------------------------------------------

    def _swap(self, file: LogFile | None, place: Place) -> None:
        if self._file is not None:
            self._damaged += self._file.damaged
            self._file.close()
        self._file, self._place = file, place

    def _reopen(self, place: Place) -> None:
        """Find the file of this place again, by how it begins; the newest of several: an older one is a copy that was not finished."""
        self._swap(None, place)
        with all_parts(self._path) as parts:
            if parts is None:
                return
            fitting = [
                p for p in parts if place.mark.fits(p.head()) and ((size := p.size) is None or size >= place.offset)
            ]
            if fitting:
                parts.remove(fitting[-1])
                self._swap(fitting[-1], place)
            elif (following := _first_unread(parts, place.ended())) is not None:
                self._gaps += place.mark.length > 0
                parts.remove(following)
                self._enter(following, place.ended())

    def _move_on(self, file: LogFile) -> bool:
        """Whether there is anything more to read: the rest of this file, or a newer one, which then is open."""
        with all_parts(self._path) as parts:
            if parts is None:
                return False
            ours = [at for at, part in enumerate(parts) if part.identity == file.identity]
            if not ours:
                ours = [at for at, part in enumerate(parts) if self._place.mark.fits(part.head())]
            done = self._place.ended()
            following = _first_unread(parts[ours[-1] + 1 :] if ours else parts, done)
            if following is None:
                return False
            if not self._is_same(file):
                return True  # truncated just now: the caller looks again
            rest = file.read(self._place.offset, LINE_BYTES_MAX + 1)
            if b"\n" in rest or len(rest) > LINE_BYTES_MAX:
                return True  # written between our last look and the new file's first line
            if rest and not self._place.skipping:
                after = self._behind_of(file, self._place, rest)
                if after is None:
                    return True
                # The last line of a file that nobody writes any more; once it is taken, we come by again.
                self._tail = Piece(self._place, rest, after)
                return True
            self._rotations += 1
            self._gaps += not ours
            parts.remove(following)
            self._enter(following, done)
        return True

    def _enter(self, file: LogFile, done: tuple[Mark, ...]) -> None:
        """Begin at the beginning of a file that was never read."""
        head = file.head()
        self._swap(file, Place(mark_of(head, len(head)), 0, False, done))


def _first_unread(parts: list[LogFile], done: tuple[Mark, ...]) -> LogFile | None:
    """The oldest part that holds something and was not read to its end before."""
    for part in parts:
        head = part.head()
        if head and not any(mark.fits(head) for mark in done):
            return part
    return None
