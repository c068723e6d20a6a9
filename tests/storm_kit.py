"""A rollout as a watch tells it: every pod of a fleet replaced by a new one, in deltas; and the reads of old and new pods meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from actors.cluster.queries import ObjectsMoved
from actors.cluster.raw import Owner, RawPod, Snapshot
from actors.cluster.records import Binding, OwnerName, Pod, Role, Rule, Subject
from actors.evidence import Account, ObjectName, Workload

NAMESPACE = "fleet"
FLEET = Account(NAMESPACE, "sa-0")
KEY = "authentication.kubernetes.io/"


def stamp(at: float) -> str:
    """RFC 3339 with microseconds, as the API server writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Rollout:
    """A Deployment of `size` pods under one account that may get every Secret of its namespace, and its change to a new revision."""

    def __init__(self, size: int) -> None:
        self.size = size
        deployment = OwnerName("Deployment", "fleet", "deployment-fleet")
        self.sets = [Owner("ReplicaSet", NAMESPACE, f"fleet-{n}", f"set-{n}", deployment) for n in range(2)]
        self.deployment = Owner("Deployment", NAMESPACE, "fleet", "deployment-fleet")
        role = Role(ObjectName("Role", NAMESPACE, "r-0"), (Rule(("get",), ("",), ("secrets",)),))
        binding = Binding(
            ObjectName("RoleBinding", NAMESPACE, "b-0"),
            "Role",
            "r-0",
            (Subject("ServiceAccount", FLEET.name, NAMESPACE),),
        )
        self.rbac = (role, binding)

    def pod(self, revision: int, number: int, *, running: bool = True) -> RawPod:
        """One pod; before it runs it has no address."""
        name = f"fleet-{revision}-{number}"
        address = f"10.{8 + revision}.{number // 250}.{number % 250}"
        pod = Pod(
            f"uid-{name}", FLEET, name, Workload("Pod", NAMESPACE, name), (("app", "fleet"),),
            node="node-1" if running else None, ips=(address,) if running else (), host_ips=("10.0.0.1",) if running else (),
        )  # fmt: skip
        return RawPod(pod, OwnerName("ReplicaSet", f"fleet-{revision}", f"set-{revision}"))

    def snapshot(self, *more: Any) -> Snapshot:
        """The cluster before it: the old revision runs."""
        pods = [self.pod(0, number) for number in range(self.size)]
        objects = (self.deployment, self.sets[0], *pods, *self.rbac, *more)
        return Snapshot("cluster", objects, {"Pod": self.size}, {})

    def deltas(self, step: int = 50) -> Iterator[ObjectsMoved]:
        """What a watch says: of every new pod that it is there, is placed, and runs; of every old one that it stops, and is gone."""
        yield ObjectsMoved((self.sets[1],))
        for begin in range(0, self.size, step):
            numbers = range(begin, min(begin + step, self.size))
            yield ObjectsMoved(tuple(self.pod(1, n, running=False) for n in numbers))
            placed = (self.pod(1, n, running=False) for n in numbers)
            yield ObjectsMoved(tuple(replace(raw, pod=replace(raw.pod, node="node-1")) for raw in placed))
            yield ObjectsMoved(tuple(self.pod(1, n) for n in numbers))
            stopping = (self.pod(0, n) for n in numbers)
            yield ObjectsMoved(tuple(replace(raw, pod=replace(raw.pod, labels=())) for raw in stopping))
            yield ObjectsMoved((), tuple(self.pod(0, n) for n in numbers))

    def read(self, revision: int, number: int, at: str, secret: str, tag: str) -> dict[str, Any]:
        """The audit event of one get by that pod with its bound token; `at`: RFC 3339."""
        pod = self.pod(revision, number).pod
        return {
            "level": "Metadata", "auditID": f"{tag}-{pod.name}-{secret}", "stage": "ResponseComplete",
            "requestURI": f"/api/v1/namespaces/{NAMESPACE}/secrets/{secret}", "verb": "get",
            "user": {
                "username": FLEET.username, "uid": "u",
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}", "system:authenticated"],
                "extra": {f"{KEY}pod-name": [pod.name], f"{KEY}pod-uid": [pod.uid]},
            },
            "sourceIPs": [pod.ips[0]], "userAgent": "fleet/1",
            "objectRef": {"resource": "secrets", "namespace": NAMESPACE, "name": secret, "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 200},
            "requestReceivedTimestamp": at, "stageTimestamp": at,
            "annotations": {
                "authorization.k8s.io/decision": "allow",
                "authorization.k8s.io/reason": f'RBAC: allowed by RoleBinding "b-0/{NAMESPACE}" of Role "r-0" to ServiceAccount '
                f'"{FLEET.name}/{NAMESPACE}"',
            },
        }  # fmt: skip


def body(events: list[dict[str, Any]]) -> bytes:
    """One POST with these items."""
    fields = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": events}
    return json.dumps(fields, separators=(",", ":")).encode()
