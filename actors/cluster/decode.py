"""Kubernetes objects to records, through views that hold only what is needed. Pure; counterparts: views.py, source.py.

Two rules: no input raises (an object that cannot be is Skipped, with a reason that is counted), and nothing survives
but the fields of records.py and raw.py. Kinds are told apart by API group: a Knative Service is no Service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from actors.cluster import views
from actors.cluster.mounts import hidden_of, mounts_of
from actors.cluster.raw import Decoded, Gateway, Owner, RawPod, RawRoute, Skipped
from actors.cluster.records import (
    Binding,
    KnownSecret,
    LabelRequirement,
    OwnerName,
    Pod,
    Role,
    Route,
    Rule,
    Service,
    ServiceAccount,
    Subject,
)
from actors.evidence import Account, ObjectName, Workload, is_namespace_name, is_object_name

KIND_MAX: Final = 63
"""Longest kind (a DNS label in CamelCase); longer ones are cut before they are counted."""
UID_MAX: Final = 128
"""Longest uid that is taken; Kubernetes writes 36 characters."""
IP_MAX: Final = 64
"""Longest address text that is taken."""
ADDRESS_MAX: Final = 253
"""So much of an address from outside is kept: the longest DNS name."""
HOST_PORTS_MAX: Final = 16
"""So many ports of its node are kept of a pod: one is enough to be exposed."""
PORTS_END: Final = 65536
"""After the last port."""
SECRET_TYPE_MAX: Final = 253
"""Longest type of a Secret that is kept; a longer one becomes Opaque."""
EXPOSURES: Final = frozenset({"internet", "cluster", "internal"})
"""Values of the annotation protector.dev/exposure that mean something; others are as if it were absent."""

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for text that is not what was asked for: wrong types, invalid UTF-8, nesting."""

_DEFAULT_NAMESPACE: Final = "default"


class _ImpossibleError(ValueError):
    """The object cannot be one of a cluster; becomes Skipped("malformed") in this module."""


# --- small parts ---------------------------------------------------------------------------------------------------


def _named(meta: views.Meta) -> str:
    if not is_object_name(meta.name):
        raise _ImpossibleError
    return meta.name


def _segment(name: str) -> str:
    """Names of roles and bindings are any path segment (ValidatePathSegmentName, k8s.io/apimachinery pkg/api/validation/path)."""
    if not name or name in (".", "..") or "/" in name or "%" in name:
        raise _ImpossibleError
    return name


def _namespace(meta: views.Meta) -> str:
    namespace = meta.namespace or _DEFAULT_NAMESPACE
    if not is_namespace_name(namespace):
        raise _ImpossibleError
    return namespace


def _pairs(labels: dict[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items())) if labels else ()


def _controller(meta: views.Meta) -> OwnerName | None:
    for ref in meta.owner_references or ():
        if (
            ref.controller
            and ref.kind.isalnum()
            and len(ref.kind) <= KIND_MAX
            and is_object_name(ref.name)
            and len(ref.uid) <= UID_MAX
        ):
            return OwnerName(ref.kind, ref.name, ref.uid)
    return None


def _exposure(meta: views.AnnotatedMeta) -> str | None:
    value = meta.annotations.exposure if meta.annotations is not None else None
    return value if value in EXPOSURES else None


def _ips(first: str | None, more: list[views.Ip] | None) -> tuple[str, ...]:
    found = dict.fromkeys([first, *(each.ip for each in more or ())])
    return tuple(ip for ip in found if ip and len(ip) <= IP_MAX)


def _balancer(status: views.BalancerStatus | None) -> tuple[str, ...]:
    if status is None or status.load_balancer is None:
        return ()
    found = (each.ip or each.hostname for each in status.load_balancer.ingress or ())
    return tuple(address[:ADDRESS_MAX] for address in found if address)


# --- one function a kind ---------------------------------------------------------------------------------------------


def _pod(_kind: str, view: views.PodView) -> RawPod:
    meta, spec, status = view.metadata, view.spec or views.PodSpec(), view.status or views.PodStatus()
    name, namespace = _named(meta), _namespace(meta)
    account = spec.service_account_name or "default"
    if len(meta.uid or "") > UID_MAX or not is_object_name(account):
        raise _ImpossibleError
    projected = any(
        source.service_account_token is not None
        for volume in spec.volumes or ()
        if volume.projected is not None
        for source in volume.projected.sources or ()
    )
    pod = Pod(
        uid=meta.uid or f"{namespace}/{name}",  # a manifest has none; no token will ever claim this
        account=Account(namespace, account),
        name=name,
        workload=Workload("Pod", namespace, name),
        labels=_pairs(meta.labels),
        node=spec.node_name or None,
        ips=_ips(status.pod_ip, status.pod_ips),
        host_ips=_ips(status.host_ip, status.host_ips),
        host_network=bool(spec.host_network),
        finished=status.phase in ("Succeeded", "Failed"),
        bound_token=projected or spec.automount_service_account_token is not False,
        mounts=(mounts := mounts_of(spec)),
        hidden=hidden_of(spec, mounts),
        exposure=_exposure(meta),
        host_ports=_host_ports(spec),
    )
    return RawPod(pod, _controller(meta), spec.automount_service_account_token, projected)


def _host_ports(spec: views.PodSpec) -> tuple[int, ...]:
    """Ports of the node's own addresses. With hostNetwork the API server fills hostPort in; a manifest leaves it out."""
    found: set[int] = set()
    for container in [*(spec.containers or ()), *(spec.init_containers or ())]:
        for each in container.ports or ():
            port = each.host_port or (each.container_port if spec.host_network else 0)
            if 0 < port < PORTS_END and not _is_loopback(each.host_ip):
                found.add(port)
    return tuple(sorted(found)[:HOST_PORTS_MAX])


def _is_loopback(address: str | None) -> bool:
    return bool(address) and (str(address).startswith("127.") or address == "::1")


def _account(_kind: str, view: views.ServiceAccountView) -> ServiceAccount:
    pulls = tuple(ref.name for ref in view.image_pull_secrets or () if ref.name and is_object_name(ref.name))
    return ServiceAccount(
        Account(_namespace(view.metadata), _named(view.metadata)), view.automount_service_account_token, pulls
    )


def _role(kind: str, view: views.RoleView) -> Role:
    namespace = _namespace(view.metadata) if kind == "Role" else None
    selectors = (
        view.aggregation_rule.cluster_role_selectors or ()
        if view.aggregation_rule is not None and kind == "ClusterRole"
        else ()
    )
    rules = tuple(
        Rule(
            tuple(each.verbs or ()),
            tuple(each.api_groups or ()),
            tuple(each.resources or ()),
            tuple(each.resource_names or ()),
        )
        for each in view.rules or ()
    )
    return Role(
        name=ObjectName(kind, namespace, _segment(view.metadata.name)),
        rules=rules if rules or not selectors else None,
        labels=_pairs(view.metadata.labels),
        aggregation=tuple(_requirements(each) for each in selectors),
    )


def _requirements(selector: views.Selector) -> tuple[LabelRequirement, ...]:
    equal = [LabelRequirement(key, "In", (value,)) for key, value in sorted((selector.match_labels or {}).items())]
    return (
        *equal,
        *(LabelRequirement(e.key, e.operator, tuple(e.values or ())) for e in selector.match_expressions or ()),
    )


def _binding(kind: str, view: views.BindingView) -> Binding:
    namespace = _namespace(view.metadata) if kind == "RoleBinding" else None
    subjects = tuple(Subject(each.kind, each.name, each.namespace or None) for each in view.subjects or ())
    return Binding(
        ObjectName(kind, namespace, _segment(view.metadata.name)), view.role_ref.kind, view.role_ref.name, subjects
    )


def _service(_kind: str, view: views.ServiceView) -> Service:
    spec = view.spec or views.ServiceSpec()
    return Service(
        namespace=_namespace(view.metadata),
        name=_named(view.metadata),
        type=spec.type or "ClusterIP",
        selector=_pairs(spec.selector),
        external_ips=tuple(address[:ADDRESS_MAX] for address in spec.external_ips or ()),
        addresses=_balancer(view.status),
        exposure=_exposure(view.metadata),
    )


def _ingress(kind: str, view: views.IngressView) -> Route:
    namespace, spec = _namespace(view.metadata), view.spec or views.IngressSpec()
    backends = [spec.default_backend]
    backends += [path.backend for rule in spec.rules or () if rule.http is not None for path in rule.http.paths or ()]
    services = (each.service.name for each in backends if each is not None and each.service is not None)
    found = dict.fromkeys((namespace, name) for name in services if name)
    old_way = view.metadata.annotations.ingress_class if view.metadata.annotations is not None else None
    served_by = spec.ingress_class_name or old_way or ""
    through = f"class {served_by}" if is_object_name(served_by) else ""
    return Route(kind, namespace, _named(view.metadata), tuple(found), _balancer(view.status), through)


def _gateway_route(kind: str, view: views.RouteView) -> RawRoute:
    namespace, spec = _namespace(view.metadata), view.spec or views.RouteSpec()
    backends = dict.fromkeys(
        (ref.namespace or namespace, ref.name)
        for rule in spec.rules or ()
        for ref in rule.backend_refs or ()
        if ref.name and (ref.kind or "Service") == "Service" and not ref.group
    )
    refused = _refused(view.status, namespace)
    gateways = dict.fromkeys(
        place for ref in spec.parent_refs or () if (place := _gateway_of(ref, namespace)) and place not in refused
    )
    return RawRoute(Route(kind, namespace, _named(view.metadata), tuple(backends)), tuple(gateways))


def _gateway_of(ref: views.ObjectRef, namespace: str) -> tuple[str, str] | None:
    if not ref.name or (ref.kind or "Gateway") != "Gateway" or ref.group not in (None, _GATEWAY_GROUP):
        return None
    return (ref.namespace or namespace, ref.name)


def _refused(status: views.RouteStatus | None, namespace: str) -> set[tuple[str, str]]:
    """Gateways whose controller says that it does not take the route (condition Accepted, False), for none of their listeners."""
    said: dict[tuple[str, str], bool] = {}
    for parent in (status.parents or ()) if status is not None else ():
        place = _gateway_of(parent.parent_ref, namespace)
        if place is not None:
            is_refused = any(each.type == "Accepted" and each.status == "False" for each in parent.conditions or ())
            said[place] = is_refused and said.get(place, True)
    return {place for place, is_refused in said.items() if is_refused}


def _gateway(_kind: str, view: views.GatewayView) -> Gateway:
    addresses = tuple(
        each.value[:ADDRESS_MAX]
        for each in (view.status.addresses or () if view.status is not None else ())
        if each.value
    )
    return Gateway(_namespace(view.metadata), _named(view.metadata), addresses)


def _secret(_kind: str, view: views.SecretView) -> KnownSecret:
    secret_type = view.type or "Opaque"
    return KnownSecret(
        _namespace(view.metadata),
        _named(view.metadata),
        secret_type if len(secret_type) <= SECRET_TYPE_MAX else "Opaque",
    )


def _owner(kind: str, view: views.PlainView) -> Owner:
    uid = view.metadata.uid or ""
    if len(uid) > UID_MAX:
        raise _ImpossibleError
    namespace = None if kind in _CLUSTER_SCOPED else _namespace(view.metadata)
    return Owner(kind, namespace, _named(view.metadata), uid, _controller(view.metadata))


# --- the table of kinds ------------------------------------------------------------------------------------------------

_RBAC_GROUP: Final = "rbac.authorization.k8s.io"
_GATEWAY_GROUP: Final = "gateway.networking.k8s.io"
_CLUSTER_SCOPED: Final = frozenset({"Namespace", "Node"})

Make = Callable[[str, Any], Decoded]

KINDS: Final[dict[tuple[str, str], tuple[type, Make]]] = {
    ("", "Pod"): (views.PodView, _pod),
    ("", "ServiceAccount"): (views.ServiceAccountView, _account),
    ("", "Service"): (views.ServiceView, _service),
    ("", "Secret"): (views.SecretView, _secret),
    ("", "Namespace"): (views.PlainView, _owner),
    ("", "Node"): (views.PlainView, _owner),
    ("", "ReplicationController"): (views.PlainView, _owner),
    ("apps", "Deployment"): (views.PlainView, _owner),
    ("apps", "ReplicaSet"): (views.PlainView, _owner),
    ("apps", "StatefulSet"): (views.PlainView, _owner),
    ("apps", "DaemonSet"): (views.PlainView, _owner),
    ("batch", "Job"): (views.PlainView, _owner),
    ("batch", "CronJob"): (views.PlainView, _owner),
    (_RBAC_GROUP, "Role"): (views.RoleView, _role),
    (_RBAC_GROUP, "ClusterRole"): (views.RoleView, _role),
    (_RBAC_GROUP, "RoleBinding"): (views.BindingView, _binding),
    (_RBAC_GROUP, "ClusterRoleBinding"): (views.BindingView, _binding),
    ("networking.k8s.io", "Ingress"): (views.IngressView, _ingress),
    (_GATEWAY_GROUP, "HTTPRoute"): (views.RouteView, _gateway_route),
    (_GATEWAY_GROUP, "GRPCRoute"): (views.RouteView, _gateway_route),
    (_GATEWAY_GROUP, "TLSRoute"): (views.RouteView, _gateway_route),
    (_GATEWAY_GROUP, "TCPRoute"): (views.RouteView, _gateway_route),
    (_GATEWAY_GROUP, "UDPRoute"): (views.RouteView, _gateway_route),
    (_GATEWAY_GROUP, "Gateway"): (views.GatewayView, _gateway),
}
"""(API group, kind) -> the view it is decoded into, and what makes a record of the view."""

_HEAD: Final = msgspec.json.Decoder(views.Head)
_DECODERS: Final[dict[tuple[str, str], msgspec.json.Decoder[Any]]] = {
    key: msgspec.json.Decoder(view) for key, (view, _) in KINDS.items()
}


def group_of(api_version: str) -> str:
    """The API group of an apiVersion: "" for the core's "v1"."""
    group, slash, _ = api_version.rpartition("/")
    return group if slash else ""


def decode_json(data: bytes | memoryview | msgspec.Raw, head: views.Head | None = None) -> Decoded | Skipped:
    """The record of one object as JSON. `head`: kind and apiVersion where the list says them for its items."""
    try:
        found = _HEAD.decode(data)
    except UNREADABLE:
        return Skipped("malformed", head.kind[:KIND_MAX] if head else "")
    key, kind = _key(found, head)
    entry = KINDS.get(key)
    if entry is None:
        return Skipped("unknown", kind)
    try:
        return entry[1](key[1], _DECODERS[key].decode(data))
    except (*UNREADABLE, _ImpossibleError):
        return Skipped("malformed", kind)


def decode_builtins(value: Any, head: views.Head | None = None) -> Decoded | Skipped:
    """The record of one object as dicts and lists (from YAML). `head` as in `decode_json`."""
    try:
        found = msgspec.convert(value, views.Head)
    except UNREADABLE:
        return Skipped("malformed", head.kind[:KIND_MAX] if head else "")
    key, kind = _key(found, head)
    entry = KINDS.get(key)
    if entry is None:
        return Skipped("unknown", kind)
    try:
        return entry[1](key[1], msgspec.convert(value, entry[0]))
    except (*UNREADABLE, _ImpossibleError):
        return Skipped("malformed", kind)


def decode_as(key: tuple[str, str], data: msgspec.Raw) -> Decoded | Skipped:
    """The record of one object whose (API group, kind) is known from where it came; what it says itself is not looked at."""
    try:
        return KINDS[key][1](key[1], _DECODERS[key].decode(data))
    except (*UNREADABLE, _ImpossibleError):
        return Skipped("malformed", key[1])


def _key(found: views.Head, head: views.Head | None) -> tuple[tuple[str, str], str]:
    kind, api_version = found.kind, found.api_version
    if not kind and head is not None:
        kind, api_version = head.kind, head.api_version
    return (group_of(api_version), kind), kind[:KIND_MAX]


def is_list_kind(kind: str) -> bool:
    """Whether a document of this kind holds objects: List, PodList, RoleBindingList, ..."""
    return kind.endswith("List")


def item_head(kind: str, api_version: str) -> views.Head | None:
    """What the items of a typed list are where they do not say it (`kubectl get --raw`); None for a plain List."""
    return None if kind == "List" else views.Head(kind.removesuffix("List"), api_version)
