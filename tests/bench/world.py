"""A generated cluster and batches of its workloads' reads, for the benches over real sockets."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

STAMP = "2001-01-01T00:00:00.000000Z"
RUN = "RUNRUNRU"


def cluster(accounts: int) -> str:
    """A List: for each account a pod, a Role and a RoleBinding that lets it get and list every Secret of its namespace."""
    items: list[dict[str, Any]] = []
    group = "rbac.authorization.k8s.io"
    for i in range(accounts):
        meta = {"namespace": f"ns-{i % 20}"}
        items.append({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": meta | {"name": f"app-{i}-0", "uid": f"uid-{i}"},
            "spec": {"serviceAccountName": f"sa-{i}", "nodeName": "node-1", "containers": [{"name": "c"}]},
            "status": {"phase": "Running", "podIP": f"10.1.{i // 250}.{i % 250}", "hostIP": "10.0.0.1"},
        })  # fmt: skip
        rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}
        items.append(
            {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta | {"name": f"r-{i}"}, "rules": [rule]}
        )
        subject = {"kind": "ServiceAccount", "namespace": meta["namespace"], "name": f"sa-{i}"}
        ref = {"apiGroup": group, "kind": "Role", "name": f"r-{i}"}
        binding = {"metadata": meta | {"name": f"b-{i}"}, "subjects": [subject], "roleRef": ref}
        items.append({"apiVersion": f"{group}/v1", "kind": "RoleBinding"} | binding)
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def template(accounts: int, reads: int = 400, *, fresh: bool = False) -> bytes:
    """A batch as the API server writes it, with RUN where a batch differs from the next and STAMP for its time.

    `fresh`: the names of the Secrets hold RUN, so that every read of every batch is a new observation.
    """
    key = "authentication.kubernetes.io/"
    items = []
    for n in range(reads):
        i = n % accounts
        ns = f"ns-{i % 20}"
        name = f"secret-{RUN.lower() if fresh else 'x'}-{n}"
        items.append({
            "level": "Metadata", "auditID": f"{RUN}-0000-4000-8000-{n:012d}", "stage": "ResponseComplete",
            "requestURI": f"/api/v1/namespaces/{ns}/secrets/{name}", "verb": "get",
            "user": {
                "username": f"system:serviceaccount:{ns}:sa-{i}", "uid": f"0b5f0e4e-0000-4000-8000-{i:012d}",
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{ns}", "system:authenticated"],
                "extra": {
                    f"{key}credential-id": [f"JTI=0b5f0e4e-0000-4000-8000-{i:012d}"], f"{key}node-name": ["node-1"],
                    f"{key}node-uid": ["0b5f0e4e-1111-4000-8000-000000000001"],
                    f"{key}pod-name": [f"app-{i}-0"], f"{key}pod-uid": [f"uid-{i}"],
                },
            },
            "sourceIPs": [f"10.1.{i // 250}.{i % 250}"], "userAgent": "app/v1.4.0 (linux/amd64) kubernetes/$Format",
            "objectRef": {"resource": "secrets", "namespace": ns, "name": name, "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 200},
            "requestReceivedTimestamp": STAMP, "stageTimestamp": STAMP,
            "annotations": {
                "authorization.k8s.io/decision": "allow",
                "authorization.k8s.io/reason": f'RBAC: allowed by RoleBinding "b-{i}/{ns}" of Role "r-{i}" '
                f'to ServiceAccount "sa-{i}/{ns}"',
            },
        })  # fmt: skip
    body = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": items}
    return json.dumps(body, separators=(",", ":")).encode()


def filled(batch: bytes, number: int) -> bytes:
    """The batch made now; `number` tells it from every other."""
    at = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    run = f"{number:08x}"
    return (
        batch.replace(STAMP.encode(), at.encode())
        .replace(RUN.encode(), run.encode())
        .replace(RUN.lower().encode(), run.encode())
    )
