"""A small cluster in a cluster file's own terms, and the audit events of those who act in it: what tests of the whole are written in.

`small_cluster()` is one of everything that matters; `Acts` makes its requests. All ids come from one seed.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import msgspec

from actors.cluster.decode import decode_json
from actors.cluster.raw import Skipped, Snapshot
from actors.cluster.source import kind_of
from actors.evidence import Account
from actors.testing.cast import Cast
from actors.testing.events import (
    AuditEvent,
    Caller,
    Request,
    account_user,
    as_dict,
    encode_batch,
    events_of,
    legacy_caller,
    new_id,
    person_caller,
)

RBAC = "rbac.authorization.k8s.io"


class ClusterFile:
    """Objects as `kubectl get -o json` writes them. Names are `namespace/name`; uids and hashes come from the seed."""

    def __init__(self, seed: int = 1) -> None:
        self.items: list[dict[str, Any]] = []
        self._chance = random.Random(seed)
        self._nodes = 0

    def add(self, api_version: str, kind: str, name: str, meta: dict[str, Any] | None = None, **body: Any) -> Any:
        namespace, _, own = name.rpartition("/")
        metadata = {"name": own, "uid": new_id(self._chance), "creationTimestamp": "2025-11-01T08:00:00Z"}
        metadata |= ({"namespace": namespace} if namespace else {}) | (meta or {})
        self.items.append({"apiVersion": api_version, "kind": kind, "metadata": metadata} | body)
        return self.items[-1]

    def account(self, name: str) -> None:
        self.add("v1", "ServiceAccount", name)

    def deployment(self, name: str, account: str, *, replicas: int = 1, mounts: str = "", **spec: Any) -> None:
        """A Deployment, its ReplicaSet and pods, labelled `app: <name>`."""
        own = name.partition("/")[2]
        labels, more = {"app": own}, dict(spec)
        if mounts:
            more["volumes"] = [{"name": "keys", "secret": {"secretName": mounts}}]
        deployment = self.add("apps/v1", "Deployment", name, spec={"replicas": replicas})
        revision = f"{name}-{self._chance.getrandbits(32):08x}"
        replica_set = self.add("apps/v1", "ReplicaSet", revision, {"ownerReferences": [_controller(deployment)]})
        for _ in range(replicas):
            self._nodes += 1
            self.add(
                "v1",
                "Pod",
                f"{revision}-{self._chance.getrandbits(20):05x}",
                {"labels": labels, "ownerReferences": [_controller(replica_set)]},
                spec={
                    "serviceAccountName": account,
                    "nodeName": "node-1",
                    "containers": [{"name": own, "image": f"registry.invalid/{own}:1"}],
                }
                | more,
                status={
                    "phase": "Running",
                    "podIP": f"10.4.0.{self._nodes}",
                    "podIPs": [{"ip": f"10.4.0.{self._nodes}"}],
                    "hostIP": "192.0.2.1",
                },
            )

    def load_balancer(self, name: str) -> None:
        """What exposes the Deployment of that name to the internet."""
        spec = {"type": "LoadBalancer", "selector": {"app": name.partition("/")[2]}, "ports": [{"port": 443}]}
        self.add("v1", "Service", name, spec=spec, status={"loadBalancer": {"ingress": [{"ip": "203.0.113.80"}]}})

    def grant(self, name: str, to: str, verbs: str, names: tuple[str, ...] = ()) -> None:
        """A role about Secrets and its binding, both called `name`; cluster-wide where `name` has no namespace."""
        namespace, _, own = name.rpartition("/")
        kind = "Role" if namespace else "ClusterRole"
        rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": verbs.split(",")}
        rule |= {"resourceNames": list(names)} if names else {}
        account_namespace, _, account = to.partition("/")
        subject = {"kind": "ServiceAccount", "namespace": account_namespace, "name": account}
        ref = {"apiGroup": RBAC, "kind": kind, "name": own}
        self.add(f"{RBAC}/v1", kind, name, rules=[rule])
        self.add(f"{RBAC}/v1", f"{kind}Binding", name, subjects=[subject], roleRef=ref)

    def text(self) -> str:
        """The file."""
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": self.items})

    def snapshot(self, path: str = "cluster.json") -> Snapshot:
        """What loading the file gives."""
        decoded = [decode_json(json.dumps(item).encode()) for item in self.items]
        objects = tuple(each for each in decoded if not isinstance(each, Skipped))
        assert all(each.reason == "unknown" for each in decoded if isinstance(each, Skipped))
        return Snapshot(path, objects, dict(Counter(map(kind_of, objects))), {})


def _controller(owner: dict[str, Any]) -> dict[str, Any]:
    meta = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
    }


def small_cluster() -> ClusterFile:
    """An exposed reader of one name that also mounts it, a lister, a cluster-wide operator, a shared account, and one without pods."""
    c = ClusterFile()
    for namespace in ("app", "ops"):
        c.add("v1", "Namespace", namespace)
    for account in ("app/reader", "app/lister", "app/shared", "app/ghost", "app/plain", "ops/wide"):
        c.account(account)
    c.deployment("app/web", "reader", replicas=2, mounts="db-creds")
    c.load_balancer("app/web")
    c.deployment("app/audit", "lister")
    c.deployment("app/left", "shared")
    c.deployment("app/right", "shared")
    c.deployment("app/mounter", "plain", mounts="db-creds")
    c.deployment("ops/operator", "wide")
    c.grant("app/reader-get", "app/reader", "get", ("db-creds",))
    c.grant("app/lister-list", "app/lister", "list,watch")
    c.grant("app/lister-smtp", "app/lister", "get,list", ("smtp",))
    c.grant("app/shared-get", "app/shared", "get")
    c.grant("app/ghost-get", "app/ghost", "get")
    c.grant("wide-all", "ops/wide", "get,list,watch")
    return c


class Acts:
    """Makes the requests of a cluster's workloads and accounts, as the audit events that the API server writes of them."""

    def __init__(self, cluster: ClusterFile, seed: int = 1) -> None:
        self.cast = Cast(cluster.items)
        self._chance = random.Random(seed)

    def caller(self, who: str) -> tuple[Account | None, Caller]:
        """`Deployment/app/web` (or `…/web#1`): a pod with its token; `app/reader`: the account without a pod; else a person."""
        if who.count("/") == 2:
            return self.cast.caller(who)
        namespace, slash, name = who.partition("/")
        if not slash:
            return None, person_caller(who, ("system:masters",), certificate="00", ip="192.0.2.9", user_agent="kubectl")
        account = Account(namespace, name)
        caller = legacy_caller(account, uid=new_id(random.Random(who)), secret="t", ip="192.0.2.8", user_agent="curl/8")
        return account, caller

    def request(
        self, who: str, verb: str, secret: str, at: float, *, by: str = "", acting: str = "", **more: Any
    ) -> Any:
        """One request for `ns/name`, `ns/*` or `*`. `by`: the binding that the reason names; `acting`: as which account."""
        account, caller = self.caller(who)
        namespace, _, name = secret.partition("/")
        if acting:
            account = Account(*acting.split("/"))
            more["impersonated"] = account_user(account)
        if by:
            assert account is not None
            more["reason"] = self.cast.reason(by, account)
        return Request(
            caller=more.pop("caller", caller),
            verb=verb,
            namespace=None if namespace == "*" else namespace,
            name=None if name in ("", "*") else name,
            at=at,
            audit_id=new_id(self._chance),
            **more,
        )

    def read(self, who: str, verb: str, secret: str, at: float, **more: Any) -> AuditEvent:
        """The item of one request; of a watch the one of its start."""
        return events_of(self.request(who, verb, secret, at, **more), complete=verb != "watch")[0]

    def watch(self, who: str, secret: str, at: float, *, open_s: float, **more: Any) -> tuple[AuditEvent, AuditEvent]:
        """The start and the end of a watch that was open for `open_s`."""
        start, end = events_of(self.request(who, "watch", secret, at, took_s=open_s, **more))
        return start, end


def batch(*events: AuditEvent | dict[str, Any]) -> bytes:
    """The body of one POST with these items."""
    if all(isinstance(event, AuditEvent) for event in events):
        return encode_batch(events)  # type: ignore[arg-type]  # as was just looked at
    items = [as_dict(event) if isinstance(event, AuditEvent) else event for event in events]
    return json.dumps({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items}).encode()


def changed(event: AuditEvent, **fields: Any) -> dict[str, Any]:
    """The item with these fields of the wire (`verb`, `responseStatus`, …) replaced; None takes one out."""
    return {key: value for key, value in (as_dict(event) | fields).items() if value is not None}


def gone_pod(caller: Caller) -> Caller:
    """The same caller with the token of a pod that the cluster does not know."""
    extra = dict(caller.user.extra)
    extra["authentication.kubernetes.io/pod-name"] = ("web-gone",)
    extra["authentication.kubernetes.io/pod-uid"] = ("3b6f6d5e-0000-4000-8000-00000000dead",)
    return msgspec.structs.replace(caller, user=msgspec.structs.replace(caller.user, extra=extra))
