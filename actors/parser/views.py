"""What we look at in an audit event: small structs into which msgspec decodes a body, skipping every other field.

Counterpart: k8s.io/apiserver pkg/apis/audit/v1/types.go (Event, EventList). `requestObject` and `responseObject`, which can hold a
Secret's value, are no field here, so they never become Python objects. Fields stand in the order in which the API server writes
them: msgspec finds the next one at once. JSON null, an absent field and (for texts) "" mean the same, as in Go.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType, field


class Extra(Struct, frozen=True, gc=False):
    """`user.extra`: what the API server knows of the token, each a list of one text."""

    credential_id: tuple[str, ...] | None = field(name="authentication.kubernetes.io/credential-id", default=None)
    node_name: tuple[str, ...] | None = field(name="authentication.kubernetes.io/node-name", default=None)
    pod_name: tuple[str, ...] | None = field(name="authentication.kubernetes.io/pod-name", default=None)
    pod_uid: tuple[str, ...] | None = field(name="authentication.kubernetes.io/pod-uid", default=None)


class User(Struct, frozen=True, gc=False):
    """The authenticated caller."""

    username: str | None = None
    extra: Extra | None = None


class Impersonated(Struct, frozen=True, gc=False):
    """As whom the request was made. Only that there is one matters: its fields are the client's choice."""


class ObjectRef(Struct, frozen=True, gc=False, rename="camel"):
    """What was asked for."""

    resource: str | None = None
    namespace: str | None = None
    name: str | None = None
    api_group: str | None = None
    subresource: str | None = None


class Status(Struct, frozen=True, gc=False):
    """`responseStatus`."""

    message: str | None = None
    code: int | None = None


class Annotations(Struct, frozen=True, gc=False):
    """What the authorizer decided, and why."""

    decision: str | None = field(name="authorization.k8s.io/decision", default=None)
    reason: str | None = field(name="authorization.k8s.io/reason", default=None)


class Item(Struct, frozen=True, gc=False):
    """One event."""

    audit_id: str | None = field(name="auditID", default=None)
    stage: str | None = None
    request_uri: str | None = field(name="requestURI", default=None)
    verb: str | None = None
    user: User | None = None
    impersonated_user: Impersonated | None = field(name="impersonatedUser", default=None)
    source_ips: tuple[str, ...] | None = field(name="sourceIPs", default=None)
    user_agent: str | None = field(name="userAgent", default=None)
    object_ref: ObjectRef | None = field(name="objectRef", default=None)
    response_status: Status | None = field(name="responseStatus", default=None)
    received: str | None = field(name="requestReceivedTimestamp", default=None)
    staged: str | None = field(name="stageTimestamp", default=None)
    annotations: Annotations | None = None


class Body(Item, frozen=True, gc=False):
    """A whole document: a list of events, or one event with its kind."""

    kind: str | None = None
    api_version: str | None = field(name="apiVersion", default=None)
    items: list[Item] | UnsetType | None = UNSET


_body: msgspec.json.Decoder[Body] = msgspec.json.Decoder(Body)
_item: msgspec.json.Decoder[Item] = msgspec.json.Decoder(Item)
_text: msgspec.json.Decoder[str] = msgspec.json.Decoder(str)
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}
"""Of other types: as many as the code names."""
T = TypeVar("T")


def _decoded(decoder: msgspec.json.Decoder[T], raw: bytes) -> T | None:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Syntax and types; a needed text that is not UTF-8; nesting that exhausts the stack. The texts of these errors are
        # dropped: they can quote the body.
        return None


def decode_body(raw: bytes) -> Body | None:
    """The document, or None if any part of it cannot be read."""
    return _decoded(_body, raw)


def decode_item(raw: bytes) -> Item | None:
    """One event, or None if it cannot be read."""
    return _decoded(_item, raw)


def decode_text(raw: bytes) -> str | None:
    """One JSON string, or None if it is anything else."""
    return _decoded(_text, raw)


def decode_as(kind: type[T], raw: bytes) -> T | None:
    """A JSON value as this type, or None if it is none of it."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    return _decoded(decoder, raw)
