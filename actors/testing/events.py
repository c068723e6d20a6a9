"""Audit events in the shape kube-apiserver writes them: who asks, for what, with which end, and the items that this makes.

Pure data: no clock, no socket, and every id is handed in or made from the caller's seeded randomness. `events_of` turns one
request into its stages, `encode_batch` turns items into the body of one POST. Field order, omitted fields and escaping are
those of the real server (k8s.io/apiserver pkg/apis/audit/v1/types.go; Go's encoding/json).
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from actors.evidence import Account
from actors.evidence.times import rfc3339
from actors.testing.reasons import go_quote

POD_NAME: Final = "authentication.kubernetes.io/pod-name"
POD_UID: Final = "authentication.kubernetes.io/pod-uid"
NODE_NAME: Final = "authentication.kubernetes.io/node-name"
NODE_UID: Final = "authentication.kubernetes.io/node-uid"
CREDENTIAL_ID: Final = "authentication.kubernetes.io/credential-id"
DECISION: Final = "authorization.k8s.io/decision"
REASON: Final = "authorization.k8s.io/reason"
LEGACY_TOKEN: Final = "authentication.k8s.io/legacy-token"  # noqa: S105 - the name of an annotation
LEGACY_TOKEN_SECRET: Final = "authentication.k8s.io/legacy-token-manual-secret"  # noqa: S105 - the name of an annotation

ANSWER_S: Final = 0.003
"""How long a request takes between its first and its last stage, where nothing else is said (seconds)."""


# --- the wire ----------------------------------------------------------------------------------------------------


class User(Struct, frozen=True, omit_defaults=True):
    """UserInfo of authentication/v1; empty for a request that could not be authenticated."""

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}


class ObjectRef(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What was asked for. The core group is written by leaving `apiGroup` out."""

    resource: str
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_group: str = ""
    api_version: str = ""
    resource_version: str = ""
    subresource: str = ""


class Status(Struct, frozen=True):
    """metav1.Status at Metadata level: a success is only its code."""

    metadata: dict[str, str] = {}
    status: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    details: dict[str, Any] | UnsetType = UNSET
    code: int | UnsetType = UNSET


class AuditEvent(Struct, frozen=True):
    """One item of an EventList (audit.k8s.io/v1 Event without kind and apiVersion, as inside a list)."""

    level: str
    audit_id: str = field(name="auditID")
    stage: str
    request_uri: str = field(name="requestURI")
    verb: str
    user: User
    impersonated_user: User | UnsetType = field(name="impersonatedUser", default=UNSET)
    source_ips: tuple[str, ...] = field(name="sourceIPs", default=())
    user_agent: str = field(name="userAgent", default="")
    object_ref: ObjectRef | UnsetType = field(name="objectRef", default=UNSET)
    response_status: Status | UnsetType = field(name="responseStatus", default=UNSET)
    received_at: str = field(name="requestReceivedTimestamp", default="")
    stage_at: str = field(name="stageTimestamp", default="")
    annotations: dict[str, str] | UnsetType = UNSET


_ENCODER: Final = msgspec.json.Encoder()


def encode_batch(events: Iterable[AuditEvent]) -> bytes:
    """The body of one POST: an EventList as Go writes it (`<`, `>` and `&` as escapes; they occur only inside strings)."""
    document = {
        "kind": "EventList",
        "apiVersion": "audit.k8s.io/v1",
        "metadata": {},
        "items": list(events),
    }
    body = _ENCODER.encode(document)
    return body.replace(b"&", b"\\u0026").replace(b"<", b"\\u003c").replace(b">", b"\\u003e")


# --- who asks -----------------------------------------------------------------------------------------------------


class Caller(Struct, frozen=True):
    """Who makes a request: what the API server authenticated, from where, with which agent.

    `annotations` are those that authentication writes (legacy tokens): in every stage, RequestReceived included.
    """

    user: User
    source_ips: tuple[str, ...] = ("127.0.0.1",)
    user_agent: str = "client/1.0 (linux/amd64)"
    annotations: dict[str, str] = {}


class PodIdentity(Struct, frozen=True):
    """The pod that a token is bound to."""

    name: str
    uid: str
    node: str = "node-1"
    node_uid: str = ""
    ip: str = "10.0.0.1"


def account_user(account: Account, uid: str = "", extra: dict[str, tuple[str, ...]] | None = None) -> User:
    """The UserInfo of a ServiceAccount."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{account.namespace}", "system:authenticated")
    return User(account.username, uid, groups, extra or {})


def pod_caller(account: Account, pod: PodIdentity, *, uid: str, token_id: str, user_agent: str) -> Caller:
    """A pod with its projected token: `uid` is the account's, `token_id` the token's JTI."""
    extra: dict[str, tuple[str, ...]] = {
        CREDENTIAL_ID: (f"JTI={token_id}",),
        NODE_NAME: (pod.node,),
        NODE_UID: (pod.node_uid,),
        POD_NAME: (pod.name,),
        POD_UID: (pod.uid,),
    }
    if not pod.node_uid:
        del extra[NODE_UID]
    return Caller(account_user(account, uid, extra), (pod.ip,), user_agent)


def unbound_caller(account: Account, *, uid: str, token_id: str, ip: str, user_agent: str) -> Caller:
    """Somebody with a token from `kubectl create token`: a credential id and no pod."""
    return Caller(account_user(account, uid, {CREDENTIAL_ID: (f"JTI={token_id}",)}), (ip,), user_agent)


def legacy_caller(account: Account, *, uid: str, secret: str, ip: str, user_agent: str) -> Caller:
    """Somebody with the everlasting token of a Secret: no extras at all, two annotations instead."""
    annotations = {LEGACY_TOKEN: account.username, LEGACY_TOKEN_SECRET: secret}
    return Caller(account_user(account, uid), (ip,), user_agent, annotations)


def person_caller(name: str, groups: Iterable[str], *, certificate: str, ip: str, user_agent: str) -> Caller:
    """A person or component with a client certificate; `certificate` is its SHA-256 in hex."""
    extra: dict[str, tuple[str, ...]] = {CREDENTIAL_ID: (f"X509SHA256={certificate}",)}
    return Caller(User(name, "", tuple(groups), extra), (ip,), user_agent)


# --- requests and the items they make -------------------------------------------------------------------------------


class Request(Struct, frozen=True, kw_only=True):
    """One request and how it ended. `at`: epoch seconds. `namespace` None: every namespace; `name` None: a collection."""

    caller: Caller
    verb: str
    namespace: str | None
    name: str | None
    at: float
    audit_id: str
    code: int = 200
    reason: str = ""
    """`authorization.k8s.io/reason`; for a denial what RBAC had to complain of."""
    impersonated: User | None = None
    decided: bool = True
    """False where authorization was never asked: impersonation that was denied, which leaves no annotation (code 403)."""
    resource: str = "secrets"
    api_group: str = ""
    subresource: str = ""
    api_version: str = "v1"
    query: dict[str, str] = {}
    watch_s: int | None = None
    """`timeoutSeconds` of a watch."""
    took_s: float = ANSWER_S
    """From its receipt to its end; for a watch, how long it was open."""


def request_uri(request: Request) -> str:
    """The path and query as a client writes them; a collection request for one name selects it by field."""
    group = f"/apis/{request.api_group}/{request.api_version}" if request.api_group else f"/api/{request.api_version}"
    path = group + (f"/namespaces/{quote(request.namespace, safe='')}" if request.namespace else "")
    path += f"/{request.resource}"
    query = dict(request.query)
    if request.name is not None and request.verb in ("list", "watch"):
        query["fieldSelector"] = f"metadata.name={request.name}"
    elif request.name is not None and request.verb != "create":
        path += f"/{quote(request.name, safe='')}" + (f"/{request.subresource}" if request.subresource else "")
    if request.verb == "watch":
        if request.watch_s is not None:
            query["timeoutSeconds"] = str(request.watch_s)
        query["watch"] = "true"
    return path + (f"?{urlencode(sorted(query.items()))}" if query else "")


def events_of(request: Request, *, received: bool = False, complete: bool = True) -> tuple[AuditEvent, ...]:
    """The items of one request in the order of their stages.

    `received`: with the RequestReceived stage (policies that do not omit it). A watch has ResponseStarted, and
    ResponseComplete unless it is still open (`complete` false). A 401 is one ResponseStarted item with an empty user.
    """
    if request.code == 401:
        return (_stage(request, "ResponseStarted", request.at + ANSWER_S),)
    events = [_stage(request, "RequestReceived", request.at)] if received else []
    if request.verb == "watch":
        events.append(_stage(request, "ResponseStarted", request.at + ANSWER_S))
    if request.verb != "watch" or complete:
        events.append(_stage(request, "ResponseComplete", request.at + max(request.took_s, ANSWER_S)))
    return tuple(events)


def _stage(request: Request, stage: str, at: float) -> AuditEvent:
    answered = stage != "RequestReceived"
    unauthenticated = request.code == 401
    caller = request.caller
    annotations = dict(caller.annotations)
    if answered and request.decided and not unauthenticated:
        annotations[DECISION] = "forbid" if request.code == 403 else "allow"
        annotations[REASON] = request.reason
    return AuditEvent(
        level="Metadata",
        audit_id=request.audit_id,
        stage=stage,
        request_uri=request_uri(request),
        verb=request.verb,
        user=User() if unauthenticated else caller.user,
        # Impersonation is decided after RequestReceived was written (k8s.io/apiserver pkg/server/config.go).
        impersonated_user=request.impersonated if answered and request.decided and request.impersonated else UNSET,
        source_ips=caller.source_ips,
        user_agent=caller.user_agent,
        object_ref=ObjectRef(
            request.resource,
            request.namespace or "",
            request.name or "",
            "",
            request.api_group,
            request.api_version,
            "",
            request.subresource,
        ),
        response_status=_status(request) if answered else UNSET,
        received_at=rfc3339(request.at),
        stage_at=rfc3339(at),
        annotations=annotations or UNSET,
    )


def _status(request: Request) -> Status:
    code = request.code
    if code < 400:
        return Status(code=code)
    if code == 401:
        return Status(status="Failure", message="Unauthorized", reason="Unauthorized", code=code)
    details = {"name": request.name} if request.name else {}
    details["kind"] = request.resource
    what = f"{request.resource} {go_quote(request.name)}" if request.name else request.resource
    if code == 403:
        user = request.impersonated or request.caller.user
        where = f"in the namespace {go_quote(request.namespace)}" if request.namespace else "at the cluster scope"
        message = (
            f"{what} is forbidden: User {go_quote(user.username)} cannot {request.verb} resource "
            f"{go_quote(request.resource)} in API group {go_quote(request.api_group)} {where}"
        ) + (f": {request.reason}" if request.reason else "")
        return Status(status="Failure", message=message, reason="Forbidden", details=details, code=code)
    if code == 404:
        return Status(status="Failure", message=f"{what} not found", reason="NotFound", details=details, code=code)
    return Status(status="Failure", message="the request failed", reason="InternalError", details=details, code=code)


def new_id(source: random.Random) -> str:
    """A version 4 UUID from seeded randomness, as auditID, uid or JTI."""
    return str(uuid.UUID(int=source.getrandbits(128), version=4))


def as_dict(event: AuditEvent) -> dict[str, Any]:
    """The item as plain builtins, with the names of the wire: for tests that change a field or make it worse."""
    found: dict[str, Any] = msgspec.json.decode(_ENCODER.encode(event))
    return found
