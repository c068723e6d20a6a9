"""Where the follower is: in which file, and how far. Pure; kept as a note in the journal, in the commit of the batch read last.

A file is known by its beginning, not by its name or inode: rotation renames it, copies it, compresses it, and inodes are given out
anew. Every audit event has an id and a time of its own, so that two logs never begin alike.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec
from msgspec import Struct

HEAD_BYTES: Final = 4096
"""How much of a file's beginning tells it from others, once so much of it was read."""
DONE_MAX: Final = 64
"""Files read to their end that are remembered, so that none is read twice where the one followed is gone."""


class Mark(Struct, frozen=True, gc=False):
    """The beginning of a file: its first `length` bytes, as a digest."""

    length: int
    digest: bytes

    def fits(self, head: bytes) -> bool:
        """Whether a file that begins so (up to HEAD_BYTES) may be this one."""
        return self.length > 0 and len(head) >= self.length and mark_of(head, self.length) == self


def mark_of(head: bytes, length: int) -> Mark:
    """The mark of the first `length` bytes."""
    return Mark(length, hashlib.sha256(head[:length]).digest())


class Place(Struct, frozen=True, gc=False):
    """Everything before `offset` of the file that `mark` tells is taken, and everything of `done`."""

    mark: Mark
    offset: int
    skipping: bool = False
    """In the middle of a line that is too long to be read."""
    done: tuple[Mark, ...] = ()
    """Files read to their end, newest last."""

    def ended(self) -> tuple[Mark, ...]:
        """What is read to the end once this file is."""
        return (*self.done, self.mark)[-DONE_MAX:] if self.mark.length else self.done


NOWHERE: Final = Place(Mark(0, b""), 0)
"""Nothing was read yet."""

_decoder = msgspec.msgpack.Decoder(Place)


def encode_place(place: Place) -> bytes:
    """The value of the note."""
    return msgspec.msgpack.encode(place)


def decode_place(value: bytes | None) -> Place:
    """What the note says; NOWHERE where there is none."""
    if value is None:
        return NOWHERE
    return _decoder.decode(value)


def digest_of(place: Place, data: bytes) -> bytes:
    """The digest of a batch: these bytes at this place. So a batch that is handed on again is known, and one that says the same at
    another place is not taken for it."""
    found = hashlib.sha256(encode_place(place))
    found.update(data)
    return found.digest()
