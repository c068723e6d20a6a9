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
from collections.abc import Iterator
from itertools import islice
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from actors.evidence import Read
from actors.messages import HEARTBEAT_PREFIX, HEARTBEATS_MAX, ParsedBatch
from actors.parser.reads import at_of, plain_read_of, read_of
from actors.parser.rule import Drop, ends_watch, is_borrowed, judge
from actors.parser.scan import Cursor, ScanError, Why, skip_space, spans_without
from actors.parser.shapes import EVENT_KEYS, Head, Holds, Items, head_of, shape_of, why_not
from actors.parser.views import Body, Item, decode_body, decode_item, decode_text

WHOLE_BYTES_MAX: Final = 1024 * 1024
"""Longest body, line or item that is decoded in one step; 400 ordinary reads have half of it. Takes about 3 ms."""
ITEM_BYTES_MAX: Final = 16 * 1024 * 1024
"""Longest item without its objects. An API server takes 1 MiB of headers (address, agent, URI), which JSON can write six times as
long: below this bound a caller cannot hide by making its own event long."""
ITEMS_MAX: Final = 100_000
"""Most items of one body; the API server sends 400, unless told otherwise."""

OBJECTS: Final = frozenset({"requestObject", "responseObject"})
"""The members of an event that are never needed, can be huge or hostile, and can hold a Secret's value."""

_BRACE = ord("{")
_BOM = b"\xef\xbb\xbf"  # some editors and shells put it before UTF-8


class _Tally:
    """What was found so far."""

    __slots__ = ("dropped", "events", "heartbeats", "newest_at", "reads", "received_at")

    def __init__(self, received_at: float) -> None:
        self.received_at = received_at
        self.reads: list[Read] = []
        self.heartbeats: list[str] = []
        self.dropped: dict[str, int] = {}
        self.events = 0
        self.newest_at: float | None = None

    def drop(self, reason: Drop) -> None:
        """Count an item that is no read."""
        self.events += 1
        self.dropped[reason.value] = self.dropped.get(reason.value, 0) + 1

    def add(self, items: list[Item]) -> None:
        """Count readable items, and make reads of those that are."""
        reads, received_at, newest = self.reads, self.received_at, self.newest_at or 0.0
        newest_plain = ""
        for item in items:
            read = plain_read_of(item, received_at)
            if read is not None:
                self.events += 1
                reads.append(read)
                # The API server writes all its times alike, so that they compare as texts; others are off by their offset.
                if item.staged is not None and item.staged > newest_plain:
                    newest_plain = item.staged
                continue
            staged_at = at_of(item.staged)
            if staged_at is not None and staged_at > newest:
                newest = staged_at
            reason = judge(item)
            if reason is None:
                self.events += 1
                reads.append(read_of(item, received_at, staged_at))
                continue
            self.drop(reason)
            if reason is Drop.IMPERSONATED and is_borrowed(item):
                reads.append(read_of(item, received_at, staged_at, borrowed=True))
            elif reason is Drop.DENIED:
                self._denied(item)
            elif ends_watch(item, reason):
                borrowed = item.impersonated_user is not None
                reads.append(replace(read_of(item, received_at, staged_at, borrowed=borrowed), ends_only=True))
        self.newest_at = max(newest, at_of(newest_plain) or 0.0) or None

    def _denied(self, item: Item) -> None:
        name = item.object_ref.name if item.object_ref is not None else None
        if name is not None and name.startswith(HEARTBEAT_PREFIX) and len(self.heartbeats) < HEARTBEATS_MAX:
            self.heartbeats.append(name)

    def add_all(self, other: _Tally) -> None:
        """Count what another tally found."""
        self.reads += other.reads
        self.heartbeats = (self.heartbeats + other.heartbeats)[:HEARTBEATS_MAX]
        for reason, n in other.dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + n
        self.events += other.events
        self.newest_at = max(self.newest_at or 0.0, other.newest_at or 0.0) or None

    @property
    def unreadable(self) -> int:
        """How many items could not be read."""
        return self.dropped.get(Drop.MALFORMED.value, 0)

    @property
    def readable(self) -> int:
        """How many items could be read, whether they are reads or not."""
        return self.events - self.unreadable

    @property
    def room(self) -> int:
        """How many more items are read."""
        return ITEMS_MAX - self.events


def parse_body(body: bytes, received_at: float, peer: str = "", *, as_lines: bool = False) -> ParsedBatch:
    """What one body holds, whatever it is. `received_at`: epoch seconds. `as_lines`: it is known to be JSON lines.

    Blocks: some 6 ms a MiB of ordinary events, 20 ms where they must be split, and 0.4 s for the worst MiB that can be made. While a
    body is split, other threads get their turn. Safe in any thread.
    """
    batch = parse_whole(body, received_at, peer)
    if batch is not None:
        return batch
    _, tally, error = _split(body, received_at, as_lines=as_lines)
    return _batch_of(body, peer, tally, error)


def has_lines(body: bytes) -> bool:
    """Whether this, whole or the beginning of something longer, is taken for JSON lines, and not for one document."""
    return _split(body, 0.0)[0]


def parse_whole(body: bytes, received_at: float, peer: str = "") -> ParsedBatch | None:
    """What parse_body answers where one decode is enough for it; None where it takes splitting, which can take long."""
    view = decode_body(body.removeprefix(_BOM)) if len(body) <= WHOLE_BYTES_MAX else None
    if view is None:
        return None
    tally = _Tally(received_at)
    error = _take_view(view, tally)
    return _batch_of(body, peer, tally, error)


def _batch_of(body: bytes, peer: str, tally: _Tally, error: str | None) -> ParsedBatch:
    digest, reads = hashlib.sha256(body).digest(), tuple(tally.reads)
    beats = tuple(tally.heartbeats)
    return ParsedBatch(
        digest, tally.received_at, tally.events, reads, tally.dropped, error, peer, tally.newest_at, beats
    )


def _take_view(view: Body, tally: _Tally) -> str | None:
    """Count a document that was read as a whole."""
    head = head_of(view)
    holds = shape_of(head)
    if holds is None:
        return f"the body is {why_not(head)}"
    if holds is Holds.ITSELF:
        tally.add([view])
    elif view.items is not UNSET and view.items is not None:
        if len(view.items) > tally.room:
            tally.add(view.items[: tally.room])
            return f"only the first {ITEMS_MAX} items of a body are read"
        tally.add(view.items)
    return None


# --- JSON lines --------------------------------------------------------------------------------------------------


def _split(body: bytes, received_at: float, *, as_lines: bool = False) -> tuple[bool, _Tally, str | None]:
    """Whether the body is JSON lines, what it holds, and the error.

    It is where its first line is a document, which no first line of a longer one is. Else both ways are tried, and the one that
    finds more readable items is right: of one document, however it is laid out, cut or poisoned, lines are hardly ever events; of
    lines, one document has what its first line has.
    """
    first, second = (*islice(_lines(body), 2), None, None)[:2]
    lines, document = _Tally(received_at), _Tally(received_at)
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


def _take_lines(body: bytes, tally: _Tally) -> tuple[int, str | None]:
    """Count each line as a document; what is no JSON costs its own line only. How many lines were read to the end, and the error."""
    lines = failed = 0
    first_error: str | None = None
    for start, end in _lines(body):
        if lines >= ITEMS_MAX or tally.room <= 0:
            return lines - failed, f"only the first {lines} lines of a body are read"
        lines += 1
        view = _decoded_line(body, start, end)
        events = tally.events
        error = _take_view(view, tally) if view is not None else _take_parts(body, start, end, tally)
        if error is not None:
            failed += 1
            first_error = first_error or f"{error} (line at byte {start})"
            if view is None and tally.events == events:
                tally.drop(Drop.MALFORMED)  # it was a line of the log, whatever is left of it
    if failed:
        first_error = f"{failed} of {lines} lines could not be read to the end; the first: {first_error}"
    return lines - failed, first_error


# --- part by part ------------------------------------------------------------------------------------------------


def _take_parts(body: bytes, start: int, end: int, tally: _Tally) -> str | None:
    """Count one document by its parts: the way for what cannot be read as a whole, or is too large for it."""
    cursor, found = Cursor(body, start, end), _Tally(tally.received_at)
    kind = api_version = None
    items, keys, stopped = Items.ABSENT, set[str | None](), None
    try:
        if cursor.peek() is None:
            return "the body is empty"
        if body[cursor.pos] != _BRACE:
            raise ScanError(Why.NO_OBJECT, cursor.pos)
        for key, _ in cursor.members():
            if key == "items" and body[cursor.pos : cursor.pos + 1] == b"[":
                items, found = Items.LIST, _Tally(tally.received_at)  # of two lists the last one counts, as everywhere
                _take_elements(cursor, found, tally.room)
                continue
            value_at, value_end = cursor.skip_value()
            if key == "items":
                items = Items.NULL if body[value_at:value_end] == b"null" else Items.OTHER
                found = _Tally(tally.received_at)
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
    if holds is Holds.ITEMS:
        tally.add_all(found)
    elif holds is Holds.ITSELF and stopped is None:
        _take_item(body, start, end, tally)
    if stopped is not None:
        return f"{stopped} of {len(body)}"
    return f"the body is {why_not(head)}" if holds is None else None


def _take_elements(cursor: Cursor, found: _Tally, room: int) -> None:
    for start, end in cursor.elements():
        if found.events >= room:
            raise ScanError(Why.TOO_MANY, start)
        _take_item(cursor.body, start, end, found)


def _take_item(body: bytes, start: int, end: int, tally: _Tally) -> None:
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
