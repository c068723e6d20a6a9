"""The shapes in which events arrive, as a table: which documents are which, and where their events are.

The first row that fits decides. A new wrapper of forwarded logs is a row here, a value of Holds, and its field in views.Body.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

from msgspec import UNSET, Struct

from actors.parser.views import Body


class Items(enum.Enum):
    """What `items` of a document is."""

    ABSENT = enum.auto()
    NULL = enum.auto()
    LIST = enum.auto()
    OTHER = enum.auto()


class Holds(enum.Enum):
    """Where the events of a document are."""

    ITEMS = enum.auto()
    """In its list `items` (which is null when Go wrote an empty one)."""
    ITSELF = enum.auto()
    """The document is one event."""


class Head(Struct, frozen=True, gc=False):
    """What tells one document from another."""

    kind: str | None
    api_version: str | None
    items: Items
    looks_like_event: bool
    """It has a verb, and something else that only events have."""

    @property
    def may_be_audit(self) -> bool:
        """False for objects of other API groups, such as the Event of core/v1."""
        return self.api_version is None or self.api_version.startswith("audit.k8s.io/")


EVENT_KEYS: Final = frozenset({"auditID", "stage", "requestURI", "user", "objectRef"})
"""One of these, beside `verb`, makes a document without `kind` an event."""

SHAPES: Final[tuple[tuple[Callable[[Head], bool], Holds], ...]] = (
    (lambda h: h.may_be_audit and h.kind in (None, "EventList") and h.items in (Items.LIST, Items.NULL), Holds.ITEMS),
    (lambda h: h.may_be_audit and h.kind == "Event", Holds.ITSELF),
    (lambda h: h.may_be_audit and h.kind is None and h.items is Items.ABSENT and h.looks_like_event, Holds.ITSELF),
)


def shape_of(head: Head) -> Holds | None:
    """Where the events of such a document are; None: it is of the wrong kind."""
    for fits, holds in SHAPES:
        if fits(head):
            return holds
    return None


def head_of(body: Body) -> Head:
    """The head of a document that was read as a whole."""
    items = Items.ABSENT if body.items is UNSET else Items.NULL if body.items is None else Items.LIST
    keys = (body.audit_id, body.stage, body.request_uri, body.user, body.object_ref)
    looks = body.verb is not None and any(key is not None for key in keys)
    return Head(body.kind, body.api_version, items, looks)


def why_not(head: Head) -> str:
    """Why a document of no known shape holds no event, in words that repeat nothing of it."""
    if head.kind == "AdmissionReview":
        return "an AdmissionReview, which is an admission webhook's request: the API server's audit webhook is set elsewhere"
    if head.kind == "EventList" and head.may_be_audit:
        return "an EventList without a list of items"
    return "no audit.k8s.io EventList or Event"
