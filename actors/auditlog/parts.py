"""One part of the log on disk, plain or compressed, and all of them as they are at one moment. Blocking.

Names move while they are looked at: what was opened is what is read, and a look that was overtaken by a rotation is repeated.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from actors.auditlog.place import HEAD_BYTES
from actors.auditlog.siblings import older_parts

LOOKS_MAX: Final = 5
"""How often a look is repeated that a rotation overtook; after that it is put off to the next poll."""
PARTS_MAX: Final = 200
"""Parts that are looked at: the newest ones."""
DAMAGED: Final = (EOFError, gzip.BadGzipFile, zlib.error)
"""What a compressed part raises that was cut short or is none."""


class LogFile:
    """An open part. `identity`: device and inode; `live`: it was found under the log's own name."""

    def __init__(self, path: Path, *, live: bool) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self.live = live
        self.damaged = False
        self._head: bytes | None = None
        try:
            status = os.fstat(self._descriptor)
            self.identity = (status.st_dev, status.st_ino)
            self._packed = os.fdopen(self._descriptor, "rb", closefd=False) if path.suffix == ".gz" else None
            self._zipped = gzip.GzipFile(fileobj=self._packed) if self._packed is not None else None
        except BaseException:
            os.close(self._descriptor)
            raise

    @property
    def size(self) -> int | None:
        """Bytes there are now; None where that is not known without reading everything."""
        return None if self._zipped is not None else os.fstat(self._descriptor).st_size

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset` on; fewer only at the end."""
        if self._zipped is None:
            return _read_at(self._descriptor, offset, count)
        found = b""
        try:
            self._zipped.seek(offset)
            while len(found) < count and (some := self._zipped.read(min(count - len(found), 1 << 16))):
                found += some
        except DAMAGED:
            self.damaged = True  # what came before counts
        return found

    def head(self) -> bytes:
        """The beginning, at most HEAD_BYTES."""
        if self._zipped is None:
            return self.read(0, HEAD_BYTES)
        if self._head is None:  # once: each look at it would unpack everything before the next piece again
            self._head = self.read(0, HEAD_BYTES)
        return self._head

    def close(self) -> None:
        """Let go of the file."""
        if self._zipped is not None and self._packed is not None:
            self._zipped.close()
            self._packed.close()
        os.close(self._descriptor)


def _read_at(descriptor: int, offset: int, count: int) -> bytes:
    found: list[bytes] = []
    while count > 0 and (some := os.pread(descriptor, count, offset)):
        found.append(some)
        offset, count = offset + len(some), count - len(some)
    return b"".join(found)


def _named(path: Path) -> dict[str, tuple[int, int]]:
    """The parts that there are, oldest first, the live one last: device and inode of each."""
    with os.scandir(path.parent) as entries:
        names = [entry.name for entry in entries if entry.is_file()]
    found: dict[str, tuple[int, int]] = {}
    for name in [*older_parts(path.name, names)[-PARTS_MAX:], path.name]:
        with contextlib.suppress(FileNotFoundError):
            status = (path.parent / name).stat()
            found[name] = (status.st_dev, status.st_ino)
    return found


@contextlib.contextmanager
def all_parts(path: Path) -> Iterator[list[LogFile] | None]:
    """Every part, open, oldest first; those that are left in the list are closed afterwards. None: rotation went on all the while."""
    for _ in range(LOOKS_MAX):
        opened: list[LogFile] = []
        try:
            before = _named(path)
            with contextlib.suppress(FileNotFoundError):
                opened.extend(LogFile(path.parent / name, live=name == path.name) for name in before)
            if [part.identity for part in opened] == list(before.values()) and _named(path) == before:
                yield opened
                return
        finally:
            for part in opened:
                part.close()
    yield None
