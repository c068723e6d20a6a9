"""A recorded audit log, posted into a test's world: last night's requests against tomorrow's RBAC.

What is recorded is read as the product reads it (JSON lines, EventLists, the wrappers of the clouds' forwarders, gzip), line by line,
and nothing but the items' own fields of time is changed. Secret values that a log may hold (level RequestResponse) stay in the lines:
they go into the product's parser, which makes no object of them. Counterparts: posting.py, session.py.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, cast

import trio

from actors.evidence.times import parse_rfc3339, rfc3339
from actors.testing.session import Posted, Session

__all__ = ["post_recorded"]

CHUNK_BYTES: Final = 512 * 1024
"""Lines that are posted at once."""
LINE_BYTES_MAX: Final = 64 << 20

_TIME: Final = re.compile(rb'"(requestReceivedTimestamp|stageTimestamp)"\s*:\s*"([^"]{10,40})"')


async def post_recorded(session: Session, log: Path, *, as_recorded: bool) -> int:
    """Post everything in the log; how many items it held. ValueError when it has no audit events. See Protector.replay."""
    latest = max((at for line in _lines(log) for at in _times(line)), default=None)
    if latest is None:
        raise ValueError(f"{log.name} holds no audit events (no item with a time)")
    shift_s = 0.0
    if as_recorded:
        session.clock.start_at += latest - session.now()
    else:
        shift_s = session.now() - latest
    items = 0
    for body in _bodies(log):
        moved = _moved(body, shift_s) if shift_s else body
        answer = await session.post(moved)
        items += answer.events
        session.posted.append(
            Posted(session.now(), f"{answer.events} recorded events of {log.name}", _counts(answer.dropped))
        )
        await trio.lowlevel.checkpoint()
    return items


def _counts(dropped: dict[str, int]) -> str | None:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or None


def _lines(log: Path) -> Iterator[bytes]:
    with log.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw
        while line := file.readline(LINE_BYTES_MAX + 1):
            if len(line) > LINE_BYTES_MAX:
                raise ValueError(f"{log.name} has a line of more than {LINE_BYTES_MAX >> 20} MiB")
            yield line


def _bodies(log: Path) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for line in _lines(log):
        if held and size + len(line) > CHUNK_BYTES and line.startswith(b"{"):
            yield b"".join(held)
            held, size = [], 0
        held.append(line)
        size += len(line)
    if held:
        yield b"".join(held)


def _times(line: bytes) -> Iterator[float]:
    for match in _TIME.finditer(line):
        at = _time(match[2])
        if at is not None:
            yield at


def _time(text: bytes) -> float | None:
    try:
        return parse_rfc3339(text.decode("ascii", "replace"))
    except ValueError:
        return None


def _moved(body: bytes, shift_s: float) -> bytes:
    def moved(match: re.Match[bytes]) -> bytes:
        at = _time(match[2])
        return match[0] if at is None else match[0].replace(match[2], rfc3339(at + shift_s).encode())

    return _TIME.sub(moved, body)
