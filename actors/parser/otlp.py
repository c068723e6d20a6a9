"""Values of OTLP/JSON as the JSON that they stand for. Pure. Counterpart: opentelemetry/proto/common/v1 (AnyValue, KeyValue).

A collector that parsed a log line holds it as such values; here the line is put together again, without the members that can hold a
Secret's value: those are skipped and never become objects of ours.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Final

import msgspec

from actors.parser.scan import Cursor, ScanError, Why
from actors.parser.views import decode_text

DEEP_MAX: Final = 48
"""Most levels of one value. None of an event's members that is needed is deeper than three."""
UNNEEDED: Final = frozenset({"requestObject", "responseObject"})
"""Members of an event that are left out, as in core.py."""

_OPEN, _OPEN_LIST = b"{["
_AS_THEY_ARE: Final = frozenset({"stringValue", "boolValue", "doubleValue"})


def plain_json(cursor: Cursor, depth: int = 0) -> bytes:
    """The AnyValue here as JSON; bytes are taken for UTF-8 text. ScanError where it is none."""
    if depth > DEEP_MAX:
        raise ScanError(Why.TOO_MANY, cursor.pos)
    if cursor.peek() != _OPEN:
        raise ScanError(Why.NO_OBJECT, cursor.pos)
    value, body = b"null", cursor.body
    for key, _ in cursor.members():
        start, end = cursor.skip_value()
        if key in _AS_THEY_ARE:
            value = body[start:end]
        elif key == "intValue":
            value = body[start:end].strip(b'"')  # proto3's JSON writes 64 bits as text
        elif key == "bytesValue":
            value = _text_of_bytes(body, start, end)
        elif key == "kvlistValue":
            value = object_of(_values(body, start, end), depth + 1)
        elif key == "arrayValue":
            value = _list_of(_values(body, start, end), depth + 1)
    return value


def object_of(cursor: Cursor | None, depth: int = 0) -> bytes:
    """The list of KeyValue here (None: an empty one) as a JSON object. ScanError where it is none."""
    members: list[bytes] = []
    if cursor is None:
        return b"{}"
    for start, end in _elements(cursor):
        key: bytes | None = None
        value: tuple[int, int] | None = None
        inner = Cursor(cursor.body, start, end)
        if inner.peek() != _OPEN:
            raise ScanError(Why.NO_OBJECT, start)
        for name, _ in inner.members():
            span = inner.skip_value()
            if name == "key":
                key = cursor.body[slice(*span)]
            elif name == "value":
                value = span
        name = None if key is None else decode_text(key)
        if key is not None and name is not None and name not in UNNEEDED:
            shown = b"null" if value is None else plain_json(Cursor(cursor.body, *value), depth + 1)
            members.append(key + b":" + shown)
    return b"{" + b",".join(members) + b"}"


def _list_of(cursor: Cursor | None, depth: int) -> bytes:
    if cursor is None:
        return b"[]"
    return b"[" + b",".join([plain_json(Cursor(cursor.body, *span), depth) for span in _elements(cursor)]) + b"]"


def _text_of_bytes(body: bytes, start: int, end: int) -> bytes:
    text = decode_text(body[start:end])
    try:
        return msgspec.json.encode(base64.b64decode(text or "", validate=True).decode())
    except (binascii.Error, ValueError):  # also: not ASCII, not UTF-8
        raise ScanError(Why.NOT_JSON, start) from None


def _values(body: bytes, start: int, end: int) -> Cursor | None:
    """Where `values` of this KeyValueList or ArrayValue is; None: it has none, as an empty one is written."""
    cursor, found = Cursor(body, start, end), None
    if cursor.peek() != _OPEN:
        raise ScanError(Why.NO_OBJECT, start)
    for key, _ in cursor.members():
        span = cursor.skip_value()
        if key == "values":
            found = Cursor(body, *span)
    return found


def _elements(cursor: Cursor) -> Iterator[tuple[int, int]]:
    if cursor.peek() != _OPEN_LIST:
        raise ScanError(Why.NOT_JSON, cursor.pos)
    yield from cursor.elements()
