"""The same as JSON: the tree, one place of it, crashes, dead letters, a live stack.

The tree is written place by place, letting other tasks run in between: a snapshot of ten thousand actors at one moment would hold
up the loop for some tenths of a second. Counterparts: pages.py has the pages; mount.py routes.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import trio

from actors.runtime.snapshot import ActorSnapshot
from actors.runtime.watch.reading import Reader
from actors.runtime.watch.words import rfc3339

__all__ = ["crash_json", "letter_json", "tree_json"]

SLICE: Final = 50
"""Places that are written before other tasks get their turn."""
_NO_CHILDREN: Final = b'"children":[]'


def _place_json(record: ActorSnapshot) -> tuple[bytes, bytes]:
    """A place's JSON object, parted where its children go."""
    if record.last_failure is None:
        text = msgspec.json.encode(msgspec.structs.replace(record, children=()) if record.children else record)
    else:
        plain = msgspec.structs.replace(record, children=()).to_builtins()  # writes the time of the failure as RFC 3339
        text = msgspec.json.encode(plain)
    before, _, after = text.partition(_NO_CHILDREN)  # a quote inside of a string would be escaped
    return before, after


async def tree_json(reader: Reader, start: Any) -> bytes:
    """The place and everything below it as one JSON object."""
    pieces: list[bytes] = []
    waiting: list[Any] = [start]
    written = 0
    while waiting:
        item = waiting.pop()
        if isinstance(item, bytes):
            pieces.append(item)
            continue
        before, after = _place_json(reader.record(item))
        children = reader.children(item)
        pieces += [before, b'"children":[']
        waiting.append(b"]" + after)
        for index, child in enumerate(reversed(children)):
            waiting.append(child)
            if index < len(children) - 1:
                waiting.append(b",")
        written += 1
        if written % SLICE == 0:
            await trio.lowlevel.checkpoint()
    return b"".join(pieces)


def crash_json(crash: Any) -> dict[str, Any]:
    """One crash, its times as RFC 3339."""
    plain: dict[str, Any] = msgspec.to_builtins(crash)
    plain["at"] = rfc3339(plain["at"])
    plain["failure"]["at"] = rfc3339(plain["failure"]["at"])
    return plain


def letter_json(letter: Any) -> dict[str, Any]:
    """One dead letter, its time as RFC 3339."""
    plain: dict[str, Any] = msgspec.to_builtins(letter)
    plain["at"] = rfc3339(plain["at"])
    return plain
