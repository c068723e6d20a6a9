"""Lists and watch lines taken apart, object by object, through views. Pure; counterpart: follow.py.

A list stays bytes but for its metadata; each item is decoded by itself, so that its reader can let others run in between.
Sources: kubernetes.io/docs/reference/using-api/api-concepts (chunks, bookmarks, 410 Gone), metav1.WatchEvent.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from msgspec import Raw, Struct

from actors.cluster.decode import UNREADABLE, decode_as
from actors.cluster.live.kinds import WatchedKind
from actors.cluster.raw import Decoded, Skipped
from actors.cluster.records import Binding, Role

GONE: Final = 410
"""The code of "your resourceVersion is too old": list again."""


class Garbage(Exception):  # noqa: N818 - it says what came
    """What came is no list, or no line of a watch."""


class ListMeta(Struct, frozen=True, rename={"version": "resourceVersion", "more": "continue"}):
    """metadata of a list."""

    version: str = ""
    more: str | None = None


class Page(Struct, frozen=True):
    """One page of a list."""

    metadata: ListMeta
    items: list[Raw] | None = None


class Line(Struct, frozen=True):
    """One line of a watch; `object` is an object, a bookmark, or a Status."""

    type: str
    object: Raw


class _Meta(Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    creation_timestamp: datetime | None = None


class _Dated(Struct, frozen=True):
    metadata: _Meta


class _Status(Struct, frozen=True):
    code: int = 0
    message: str = ""


_PAGE: Final = msgspec.json.Decoder(Page)
_LINE: Final = msgspec.json.Decoder(Line)
_DATED: Final = msgspec.json.Decoder(_Dated)
_STATUS: Final = msgspec.json.Decoder(_Status)


def page_of(body: bytes) -> Page:
    """One page of a list. Raises Garbage."""
    try:
        return _PAGE.decode(body)
    except UNREADABLE:
        raise Garbage("a list that cannot be read") from None


def line_of(line: bytes | bytearray | memoryview) -> Line:
    """One line of a watch. Raises Garbage."""
    try:
        return _LINE.decode(line)
    except UNREADABLE:
        raise Garbage("a line of a watch that cannot be read") from None


def version_of(data: Raw) -> str:
    """resourceVersion of an object or a bookmark; "" where there is none."""
    try:
        return _DATED.decode(data).metadata.resource_version
    except UNREADABLE:
        return ""


def status_of(data: Raw) -> tuple[int, str]:
    """Code and message of a Status."""
    try:
        status = _STATUS.decode(data)
    except UNREADABLE:
        return 0, ""
    return status.code, status.message


def object_of(kind: WatchedKind, data: Raw) -> Decoded | Skipped:
    """The record of one object of this kind. What grants is valid from its creation, as the API server dates it (whole seconds)."""
    decoded = decode_as((kind.group, kind.kind), data)
    if isinstance(decoded, (Role, Binding)):
        try:
            created = _DATED.decode(data).metadata.creation_timestamp
        except UNREADABLE:
            created = None
        if created is not None:
            decoded = msgspec.structs.replace(decoded, valid_from=created.timestamp())
    return decoded
