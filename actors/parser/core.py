"""Bytes in, reads and counted drop reasons out. Counterpart: the API server's audit webhook, and whoever else posts here.

Two rules:
  1. Whatever the body is, the answer is a value; an exception out of here is a bug of ours.
  2. One bad item never costs its neighbours, and nothing of the body but names and free text of reads comes out.

A body is decoded in one typed step (views). Where that fails, or the body is so large that it would hold up every other task, the
scanner splits it, and each item is decoded alone. What cannot be read even so is `malformed`; where the JSON itself ends too early or
makes no sense, what was found until there counts and the error says where. Of JSON lines each line is a document of its own; which
bodies are such is not told by any one line, so that a bad line costs itself only, wherever it stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from msgspec import UNSET

from actors.messages import ParsedBatch
from actors.parser.rule import Drop
from actors.parser.scan import Cursor, ScanError, Why, skip_space, spans_without
from actors.parser.shapes import EVENT_KEYS, Head, Holds, Items, head_of, shape_of, why_not
from actors.parser.tally import ITEMS_MAX, NO_LAGS, Tally
from actors.parser.views import Body, Item, decode_body, decode_item, decode_text
from actors.parser.wrapped import Unwrapper

WHOLE_BYTES_MAX: Final = 1024 * 1024
"""Longest body, line or item that is decoded in one step; 400 ordinary reads have half of it. Takes about 3 ms."""
ITEM_BYTES_MAX: Final = 16 * 1024 * 1024
"""Longest item without its objects. An API server takes 1 MiB of headers (address, agent, URI), which JSON can write six times as
long: below this bound a caller cannot hide by making its own event long."""
OBJECTS: Final = frozenset({"requestObject", "responseObject"})
"""The members of an event that are never needed, can be huge or hostile, and can hold a Secret's value."""

_BRACE, _BRACKET = b"{["
_BOM = b"\xef\xbb\xbf"  # some editors and shells put it before UTF-8


def parse_body(
    body: bytes, received_at: float, peer: str = "", *, as_lines: bool = False, lags_s: Mapping[str, float] = NO_LAGS
) -> ParsedBatch:
    """What one body holds, whatever it is. `received_at`: epoch seconds. `as_lines`: it is known to be JSON lines. `lags_s`: how
    much later the logs of managed clusters may come, by their names (actors.evidence.LOGS).

    Blocks: some 6 ms a MiB of ordinary events, 20 ms where they must be split, and 0.4 s for the worst MiB that can be made. While a
    body is split, other threads get their turn. Safe in any thread.
    """
    batch = parse_whole(body, received_at, peer)
    if batch is not None:
        return batch
    _, tally, error = _split(body, received_at, as_lines=as_lines, lags_s=lags_s)
    return _batch_of(body, peer, tally, error)


def has_lines(body: bytes) -> bool:
    """Whether this, whole or the beginning of something longer, is taken for JSON lines, and not for one document."""
    return _split(body, 0.0)[0]


def parse_whole(body: bytes, received_at: float, peer: str = "") -> ParsedBatch | None:
    """What parse_body answers where one decode is enough for it; None where it takes splitting, which can take long."""
    view = decode_body(body.removeprefix(_BOM)) if len(body) <= WHOLE_BYTES_MAX else None
    if view is None:
        return None
    holds = shape_of(head_of(view))
    if holds is None:
        return None  # a wrapper, or nothing that is known
    tally = Tally(received_at)
    error = _take_view(view, holds, tally)
    return _batch_of(body, peer, tally, error)


def _batch_of(body: bytes, peer: str, tally: Tally, error: str | None) -> ParsedBatch:
    digest, reads = hashlib.sha256(body).digest(), tuple(tally.reads)
    return ParsedBatch(
        digest=digest,
        received_at=tally.received_at,
        events=tally.events,
        reads=reads,
        dropped=tally.dropped,
        error=error,
        peer=peer,
        newest_at=tally.newest_at,
        heartbeats=tuple(tally.heartbeats),
        allowance_s=tally.allowance_s,
    )


def _take_view(view: Body, holds: Holds, tally: Tally) -> str | None:
    """Count a document that was read as a whole."""
    if holds is Holds.ITSELF:
        tally.add([view])
    elif view.items is not UNSET and view.items is not None:
        if len(view.items) > tally.room:
            tally.add(view.items[: tally.room])
            return f"only the first {ITEMS_MAX} items of a body are read"
        tally.add(view.items)
    return None


# --- JSON lines --------------------------------------------------------------------------------------------------


def _split(
    body: bytes, received_at: float, *, as_lines: bool = False, lags_s: Mapping[str, float] = NO_LAGS
) -> tuple[bool, Tally, str | None]:
    """Whether the body is JSON lines, what it holds, and the error.

    It is where its first line is a document, which no first line of a longer one is. Else both ways are tried, and the one that
    finds more readable items is right: of one document, however it is laid out, cut or poisoned, lines are hardly ever events; of
    lines, one document has what its first line has.
    """
    first, second = (*islice(_lines(body), 2), None, None)[:2]
    lines, document = Tally(received_at, lags_s), Tally(received_at, lags_s)
    if as_lines or (first is not None and second is not None and _decoded_line(body, *first) is not None):
        return True, lines, _take_lines(body, lines)[1]
    start = len(_BOM) if body.startswith(_BOM) else 0
    error = _take_parts(body, start, len(body), document)
    if second is None or (error is None and not document.unreadable):
        return False, document, error
    whole, lines_error = _take_lines(body, lines)
    # Where nothing at all is readable, a document that makes sense as JSON is one, and so are lines.
    if lines.readable > document.readable or (error is not None and not document.events and whole):
        return True, lines, lines_error
    return False, document, error


def _lines(body: bytes) -> Iterator[tuple[int, int]]:
    """Where each line that is not blank begins and ends, without the mark before it that some files begin with."""
    pos = skip_space(body, 0, len(body))
    while pos < len(body):
        newline = body.find(b"\n", pos)
        end = newline if newline >= 0 else len(body)
        yield pos + len(_BOM) if body.startswith(_BOM, pos, end) else pos, end
        pos = skip_space(body, end, len(body))


def _decoded_line(body: bytes, start: int, end: int) -> Body | None:
    return decode_body(body[start:end]) if end - start <= WHOLE_BYTES_MAX else None


def _take_lines(body: bytes, tally: Tally) -> tuple[int, str | None]:
    """Count each line as a document; what is no JSON costs its own line only. How many lines were read to the end, and the error."""
    lines = failed = 0
    first_error: str | None = None
    for start, end in _lines(body):
        if lines >= ITEMS_MAX or tally.room <= 0:
            return lines - failed, f"only the first {lines} lines of a body are read"
        lines += 1
        view = _decoded_line(body, start, end)
        events = tally.events
        if view is None or (holds := shape_of(head_of(view))) is None:
            error = _take_parts(body, start, end, tally)
        else:
            error = _take_view(view, holds, tally)
        if error is not None:
            failed += 1
            first_error = first_error or f"{error} (line at byte {start})"
            if view is None and tally.events == events:
                tally.drop(Drop.MALFORMED)  # it was a line of the log, whatever is left of it
    if failed:
        first_error = f"{failed} of {lines} lines could not be read to the end; the first: {first_error}"
    return lines - failed, first_error


# --- part by part ------------------------------------------------------------------------------------------------


def _take_parts(body: bytes, start: int, end: int, tally: Tally) -> str | None:
    """Count one document by its parts: the way for what cannot be read as a whole, or is too large for it."""
    cursor, found = Cursor(body, start, end), Tally(tally.received_at)
    kind = api_version = None
    items, keys, stopped = Items.ABSENT, set[str | None](), None
    try:
        if cursor.peek() is None:
            return "the body is empty"
        if body[cursor.pos] != _BRACE:
            raise ScanError(Why.NO_OBJECT, cursor.pos)
        for key, _ in cursor.members():
            if key == "items" and body[cursor.pos : cursor.pos + 1] == b"[":
                items, found = Items.LIST, Tally(tally.received_at)  # of two lists the last one counts, as everywhere
                _take_elements(cursor, found, tally.room)
                continue
            value_at, value_end = cursor.skip_value()
            if key == "items":
                items = Items.NULL if body[value_at:value_end] == b"null" else Items.OTHER
                found = Tally(tally.received_at)
            elif key in ("kind", "apiVersion"):
                value = body[value_at:value_end]
                text = decode_text(value)
                # what is no text is no kind of ours
                text = text if text is not None or value == b"null" else ""
                kind, api_version = (text, api_version) if key == "kind" else (kind, text)
            elif key is not None and body[value_at:value_end] != b"null":
                keys.add(key)
            else:
                keys.discard(key)
        if cursor.peek() is not None:
            raise ScanError(Why.NOT_JSON, cursor.pos)
    except ScanError as why:
        stopped = why
    head = Head(kind, api_version, items, "verb" in keys and not keys.isdisjoint(EVENT_KEYS))
    holds = shape_of(head)
    if holds is None and (wrapped := _take_wrapped(body, start, end, tally)).known:
        return wrapped.error
    if holds is Holds.ITEMS:
        tally.add_all(found)
    elif holds is Holds.ITSELF and stopped is None:
        _take_item(body, start, end, tally)
    if stopped is not None:
        return f"{stopped} of {len(body)}"
    return f"the body is {why_not(head)}" if holds is None else None


class _Wrapped(NamedTuple):
    known: bool
    """Whether it is a forwarder's document."""
    error: str | None


def _take_wrapped(body: bytes, start: int, end: int, tally: Tally) -> _Wrapped:
    """Count what is in a document of a forwarder, if it is one."""
    found, unwrapper, error = Tally(tally.received_at, tally.lags_s), Unwrapper(), None
    try:
        for part in unwrapper.unwrap(body, start, end):
            if found.events >= tally.room:
                raise ScanError(Why.TOO_MANY, start)
            reads = len(found.reads)
            if isinstance(part, Drop):
                found.drop(part)
            elif isinstance(part, Item):
                found.add([part])
                found.mark(reads, "gke")
            else:
                _take_item(part.body, part.start, part.end, found)
                found.mark(reads, part.via)
    except ScanError as why:
        error = f"{why} of {len(body)}"
    if unwrapper.recognised:
        tally.add_all(found)
    return _Wrapped(unwrapper.recognised, error)


def _take_elements(cursor: Cursor, found: Tally, room: int) -> None:
    for start, end in cursor.elements():
        if found.events >= room:
            raise ScanError(Why.TOO_MANY, start)
        _take_item(cursor.body, start, end, found)


def _take_item(body: bytes, start: int, end: int, tally: Tally) -> None:
    """Count one item, read alone; its objects are cut out first where it is large, or where they may be why it failed."""
    item = decode_item(body[start:end]) if end - start <= WHOLE_BYTES_MAX else None
    if item is None:
        spans = spans_without(body, start, end, OBJECTS)
        if spans is not None:
            if sum(stop - at for at, stop in spans) > ITEM_BYTES_MAX:
                tally.drop(Drop.OVERSIZED)
                return
            item = decode_item(b"{" + b",".join(body[at:stop] for at, stop in spans) + b"}")
    if item is None:
        tally.drop(Drop.MALFORMED)
    else:
        tally.add([item])
