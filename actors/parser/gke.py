"""A GKE audit entry as an event. Pure. Counterpart: Cloud Logging's LogEntry with a google.cloud.audit.AuditLog as `protoPayload`.

The entry is no audit.k8s.io event but Google's account of one, and says less: no pod, node or credential of the caller, no stage
and no stage time, no request URI, no list's field selector, no "closed early". The decision and its reason are in the entry's labels.
What it does not say is left unsaid here; nothing is guessed, but that an entry without a status was a success, as the API has it.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from actors.parser.rule import Drop
from actors.parser.scan import spans_without
from actors.parser.views import Annotations, Impersonated, Item, ObjectRef, Status, User, decode_as

ENTRY_BYTES_MAX: Final = 1024 * 1024
"""Longest entry that is read; Cloud Logging takes 256 KiB."""
BULKY: Final = frozenset({"request", "response", "metadata", "serviceData"})
"""Members of an AuditLog that are never needed, can be huge, and can hold a Secret's value."""

_SERVICE: Final = "k8s.io"
_PREFIX: Final = "io.k8s."
_SECRETS: Final = "io.k8s.core.v1.secrets."
_NOT_CORE: Final = "-"
"""The group of whatever is no core/v1 Secret: only that it is another one is looked at."""
_HTTP_OF: Final = {0: None, 5: 404, 7: 403, 16: 401}
"""What a google.rpc.Code is in HTTP; None: success. Others count as a failure."""


class _Labels(Struct, frozen=True, gc=False):
    decision: str | None = field(name="authorization.k8s.io/decision", default=None)
    reason: str | None = field(name="authorization.k8s.io/reason", default=None)


class _Operation(Struct, frozen=True, gc=False):
    id: str | None = None
    first: bool | None = None
    last: bool | None = None


class _Entry(Struct, frozen=True, gc=False, rename="camel"):
    insert_id: str | None = None
    labels: _Labels | None = None
    operation: _Operation | None = None
    timestamp: str | None = None


class _Authentication(Struct, frozen=True, gc=False, rename="camel"):
    principal_email: str | None = None
    authority_selector: str | None = None


class _Request(Struct, frozen=True, gc=False, rename="camel"):
    caller_ip: str | None = None
    caller_supplied_user_agent: str | None = None


class _Status(Struct, frozen=True, gc=False):
    code: int | None = None


class _AuditLog(Struct, frozen=True, gc=False, rename="camel"):
    service_name: str | None = None
    method_name: str | None = None
    resource_name: str | None = None
    authentication_info: _Authentication | None = None
    request_metadata: _Request | None = None
    status: _Status | None = None


def item_of_entry(body: bytes, start: int, end: int, payload_at: int, payload_end: int) -> Item | Drop:
    """The event of the entry from `start` to `end`, whose `protoPayload` is from `payload_at` to `payload_end`."""
    entry_json = _without(body, start, end, frozenset({"protoPayload"}))
    payload_json = _without(body, payload_at, payload_end, BULKY)
    if entry_json is None or payload_json is None:
        return Drop.MALFORMED
    if len(entry_json) + len(payload_json) > ENTRY_BYTES_MAX:
        return Drop.OVERSIZED
    entry, log = decode_as(_Entry, entry_json), decode_as(_AuditLog, payload_json)
    if entry is None or log is None:
        return Drop.MALFORMED
    if log.service_name != _SERVICE or log.method_name is None or not log.method_name.startswith(_PREFIX):
        return Drop.NOT_AUDIT  # Google's own API: clusters and node pools, not what is in them
    verb = log.method_name.rpartition(".")[2]
    ref = _ref_of(log.method_name, log.resource_name, verb)
    if ref is None:
        return Drop.MALFORMED
    return _item(entry, log, verb, ref)


def _without(body: bytes, start: int, end: int, keys: frozenset[str]) -> bytes | None:
    """The object from `start` to `end` without these members; None where it is none."""
    spans = spans_without(body, start, end, keys)
    return None if spans is None else b"{" + b",".join([body[at:stop] for at, stop in spans]) + b"}"


def _ref_of(method: str, resource: str | None, verb: str) -> ObjectRef | None:
    """What was asked for; None: it is about Secrets, and which ones cannot be told.

    `core/v1/namespaces/NS/secrets/NAME`, without the name for a list, `core/v1/secrets` for one of every namespace.
    """
    if method != _SECRETS + verb:
        return ObjectRef(resource="", api_group=_NOT_CORE)
    match (resource or "").split("/"):
        case ["core", "v1", "namespaces", namespace, "secrets"] if namespace:
            return ObjectRef(resource="secrets", namespace=namespace)
        case ["core", "v1", "namespaces", namespace, "secrets", name] if namespace and name:
            return ObjectRef(resource="secrets", namespace=namespace, name=name)
        case ["core", "v1", "secrets"]:
            return ObjectRef(resource="secrets")
    return None


def _item(entry: _Entry, log: _AuditLog, verb: str, ref: ObjectRef) -> Item:
    who, request, labels = log.authentication_info, log.request_metadata, entry.labels
    operation = entry.operation or _Operation()
    # Of a watch there can be two entries, one when it began and one when it ended, told apart by these flags.
    is_start = verb == "watch" and operation.first is True and operation.last is not True
    code = 0 if log.status is None else log.status.code or 0
    return Item(
        audit_id=operation.id or entry.insert_id,
        stage="ResponseStarted" if is_start else "ResponseComplete",
        verb=verb,
        user=None if who is None else User(who.principal_email),
        impersonated_user=Impersonated() if who is not None and who.authority_selector else None,
        source_ips=None if request is None or not request.caller_ip else (request.caller_ip,),
        user_agent=None if request is None else request.caller_supplied_user_agent,
        object_ref=ref,
        response_status=Status(None, _HTTP_OF.get(code, code if code >= 100 else 500)),
        received=entry.timestamp,
        staged=entry.timestamp,
        annotations=None if labels is None else Annotations(labels.decision, labels.reason),
    )
