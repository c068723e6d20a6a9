"""Events inside what managed clusters' logs and log forwarders put around them. Pure; one pass, part by part.

Counterparts, all of them documented in public: the document that CloudWatch Logs sends to a subscription (EKS), the record of a
diagnostic setting in an Event Hub (AKS), Cloud Logging's LogEntry (GKE, see gke.py); around those the records of Fluent Bit and
Vector (an object, a list or lines of such), Pub/Sub's push message, and OTLP/JSON logs of an OpenTelemetry collector.

Nothing here is tried before a document is known to have no shape of the API server's own. An event may be text in text in text:
each text is read as a document of its own, to a bounded depth, and a bad one costs itself only.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from actors.parser.gke import item_of_entry
from actors.parser.otlp import object_of, plain_json
from actors.parser.rule import Drop
from actors.parser.scan import Cursor, ScanError, Why
from actors.parser.shapes import EVENT_KEYS
from actors.parser.views import Item, decode_text

TEXTS_MAX: Final = 5
"""Most texts inside one another that are read as documents; a collector's record of an Event Hub's message needs three."""
LEVELS_MAX: Final = 24
"""Most objects and lists inside one another on the way to an event. What lies deeper is `malformed`."""

_LISTS: Final = {"logEvents": "eks", "records": "", "resourceLogs": "", "scopeLogs": "", "logRecords": ""}
"""Lists whose elements hold events, and whose log such a list is; each is read as it comes, so that of a cut one the rest counts."""
_SIGNS: Final = frozenset({"logEvents", "resourceLogs"})
"""Lists that only such wrappers have: also an empty one makes the document one of them."""
_INSIDE: Final = ("message", "log", "payload")
"""Members that hold the event, or a wrapper of it: CloudWatch and Vector; Fluent Bit; Fluent Bit's Kafka input."""
_CATEGORIES: Final = frozenset({"kube-audit", "kube-audit-admin"})
"""An AKS cluster's diagnostic categories of audit events; all others are logs of other kinds."""
_AZURE: Final = ("properties", "azure.properties")
_KEYS: Final[frozenset[str | None]] = frozenset(
    {*EVENT_KEYS, *_LISTS, *_INSIDE, *_AZURE, "verb", "kind", "apiVersion", "items", "data", "category"}
    | {"azure.category", "protoPayload", "body", "attributes", "resource"}
)
_EKS_GROUP: Final = b'"/aws/eks/'
"""How the name of an EKS cluster's log group begins, as a collector has it in the attributes of a resource."""
_OPEN, _OPEN_LIST, _QUOTE = ord("{"), ord("["), ord('"')
_SPACE: Final = b" \t\r\n"

Span = tuple[int, int]


class Event(Struct, frozen=True, gc=False):
    """Where one event is, as its API server wrote it, and whose log it came by (a key of actors.evidence.LOGS)."""

    body: bytes
    start: int
    end: int
    via: str


Unwrapped = Event | Item | Drop
"""An event; one that was made of a GKE entry; or why a record holds none."""


class Unwrapper:
    """Reads one document. `recognised`: it is a wrapper that is known, or holds an event; else what it yields means nothing."""

    def __init__(self) -> None:
        self.recognised = False

    def unwrap(self, body: bytes, start: int, end: int) -> Iterator[Unwrapped]:
        """What the document from `start` to `end` holds. ScanError where it ends too early or makes no sense, after what was found."""
        cursor = Cursor(body, start, end)
        yield from self._value(cursor, "", 0, 0)
        if cursor.peek() is not None:
            raise ScanError(Why.NOT_JSON, cursor.pos)

    def _value(self, cursor: Cursor, via: str, texts: int, level: int) -> Iterator[Unwrapped]:
        """What the value here holds; the cursor is behind it at the end."""
        first = cursor.peek()
        if first is None:
            raise ScanError(Why.CUT_SHORT, cursor.pos)
        if first not in (_OPEN, _OPEN_LIST, _QUOTE) or level > LEVELS_MAX:
            cursor.skip_value()
            yield Drop.NOT_AUDIT if level <= LEVELS_MAX else Drop.MALFORMED
        elif first == _QUOTE:
            start, end = cursor.skip_value()
            text = decode_text(cursor.body[start:end])
            yield from self._document(None if text is None else encoded(text), via, texts, level)
        elif first == _OPEN_LIST:
            for start, end in cursor.elements():
                yield from self._value(Cursor(cursor.body, start, end), via, texts, level + 1)
        else:
            yield from self._object(cursor, via, texts, level)

    def _document(self, raw: bytes | None, via: str, texts: int, level: int) -> Iterator[Unwrapped]:
        """What a text holds that is a document of its own; None: the text cannot be read."""
        raw = None if raw is None else raw.strip(_SPACE)
        if raw is not None and not raw.startswith((b"{", b"[")):
            yield Drop.NOT_AUDIT  # a line of another log, or CloudWatch's own word that it is there
            return
        if raw is None or texts >= TEXTS_MAX:
            yield Drop.MALFORMED
            return
        cursor = Cursor(raw, 0, len(raw))
        try:
            cursor.skip_value()
            if cursor.peek() is not None:
                raise ScanError(Why.NOT_JSON, cursor.pos)
            yield from self._value(Cursor(raw, 0, len(raw)), via, texts + 1, level + 1)
        except ScanError:
            yield Drop.MALFORMED

    def _object(self, cursor: Cursor, via: str, texts: int, level: int) -> Iterator[Unwrapped]:
        start, body, found, has_list = cursor.pos, cursor.body, dict[str, Span](), False
        for key, _ in cursor.members():
            if key in _LISTS and body[cursor.pos : cursor.pos + 1] == b"[":
                has_list = True
                self.recognised |= key in _SIGNS
                if "resource" in found and _EKS_GROUP in body[slice(*found["resource"])]:
                    via = "eks"
                for at, stop in cursor.elements():
                    yield from self._value(Cursor(body, at, stop), via or _LISTS[key], texts, level + 1)
                continue
            at, stop = cursor.skip_value()
            if key in _KEYS and body[at:stop] != b"null":
                found[key or ""] = (at, stop)
        if not has_list:
            yield from self._members(body, (start, cursor.pos), found, via, texts, level)

    def _members(
        self, body: bytes, whole: Span, found: dict[str, Span], via: str, texts: int, level: int
    ) -> Iterator[Unwrapped]:
        """What the object with these members holds: an event, a list of them, an entry, or something with one of those inside."""
        if is_event(body, found):
            self.recognised = True
            yield Event(body, *whole, via or "forwarded")
        elif "items" in found and body[found["items"][0]] == _OPEN_LIST and is_audit(body, found, "EventList"):
            self.recognised = True
            yield from self._value(Cursor(body, *found["items"]), via, texts, level + 1)
        elif "protoPayload" in found:
            self.recognised = True
            yield item_of_entry(body, *whole, *found["protoPayload"])
        elif (azure := next((key for key in _AZURE if key in found), None)) is not None:
            category = next((found[key] for key in ("category", "azure.category") if key in found), None)
            self.recognised |= category is not None
            if category is not None and decode_text(body[slice(*category)]) not in _CATEGORIES:
                yield Drop.NOT_AUDIT
            else:
                yield from self._value(Cursor(body, *found[azure]), "aks", texts, level + 1)
        elif "body" in found or "attributes" in found:
            yield from self._log_record(body, found, via, texts, level)
        elif (inside := next((key for key in _INSIDE if key in found), None)) is not None:
            self.recognised |= body[found[inside][0]] == _QUOTE and "kind" not in found  # a line, as forwarders have it
            yield from self._value(Cursor(body, *found[inside]), via, texts, level + 1)
        elif "data" in found:  # Pub/Sub's push message, inside its `message`
            yield from self._document(from_base64(body, *found["data"]), via, texts, level)
        else:
            yield Drop.NOT_AUDIT

    def _log_record(self, body: bytes, found: dict[str, Span], via: str, texts: int, level: int) -> Iterator[Unwrapped]:
        """A record of OTLP/JSON (opentelemetry/proto/logs/v1): the event is in its body, or its attributes are the Azure record's."""
        inside: bytes | None = None
        try:
            if "body" in found:
                inside = plain_json(Cursor(body, *found["body"]))
            if inside in (None, b"null", b'""', b"{}") and "attributes" in found:
                inside = object_of(Cursor(body, *found["attributes"]))
        except ScanError:
            yield Drop.MALFORMED
            return
        if inside is not None and inside.startswith(b'"'):
            text = decode_text(inside)
            inside = None if text is None else encoded(text)
        yield from self._document(inside, via, texts, level)


def is_event(body: bytes, found: dict[str, Span]) -> bool:
    """Whether the object with these members is one event, by the signs of shapes.py."""
    if is_audit(body, found, "Event") and "kind" in found:
        return True
    return "verb" in found and not EVENT_KEYS.isdisjoint(found) and is_audit(body, found, None)


def is_audit(body: bytes, found: dict[str, Span], kind: str | None) -> bool:
    """Whether the object is of this kind, or of none, and not of another API group."""
    version = decode_text(body[slice(*found["apiVersion"])]) if "apiVersion" in found else "audit.k8s.io/"
    if version is None or not version.startswith("audit.k8s.io/"):
        return False
    return "kind" not in found or decode_text(body[slice(*found["kind"])]) == kind


def encoded(text: str) -> bytes | None:
    """The text's UTF-8; None where it has none (half of a surrogate pair)."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def from_base64(body: bytes, start: int, end: int) -> bytes | None:
    """What the JSON text from `start` to `end` stands for in base64; None if it is none."""
    text = decode_text(body[start:end])
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        return None
