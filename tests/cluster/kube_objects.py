"""Kubernetes objects as `kubectl get -o json` writes them, in short, and decoding that must succeed."""

from __future__ import annotations

import json
from typing import Any

from actors.cluster.decode import decode_json
from actors.cluster.raw import Decoded, Skipped, Snapshot
from actors.cluster.source import kind_of

RBAC = "rbac.authorization.k8s.io/v1"


def kube(
    api_version: str, kind: str, name: str, namespace: str | None = "app", *, meta: dict | None = None, **body: Any
) -> dict:
    """Any object."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **(meta or {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


def controlled_by(kind: str, name: str, uid: str = "") -> list[dict]:
    """ownerReferences with one controller."""
    return [{"apiVersion": "v1", "kind": kind, "name": name, "uid": uid or f"uid-{name}", "controller": True}]


def pod(
    name: str = "web-1",
    *,
    uid: str | None = None,
    namespace: str = "app",
    labels: dict | None = None,
    owner: list[dict] | None = None,
    status: dict | None = None,
    annotations: dict | None = None,
    **spec: Any,
) -> dict:
    """A pod; keyword arguments are its spec."""
    meta: dict[str, Any] = {"uid": uid or f"uid-{name}"}
    meta |= {"labels": labels} if labels else {}
    meta |= {"ownerReferences": owner} if owner else {}
    meta |= {"annotations": annotations} if annotations else {}
    return kube(
        "v1", "Pod", name, namespace, meta=meta, spec={"containers": [], **spec}, status=status or {"phase": "Running"}
    )


def role(name: str, rules: list[dict] | None, namespace: str | None = "app", **more: Any) -> dict:
    """A Role, or a ClusterRole where there is no namespace."""
    return kube(RBAC, "Role" if namespace else "ClusterRole", name, namespace, rules=rules, **more)


def binding(
    name: str, role_name: str, subjects: list[dict], namespace: str | None = "app", role_kind: str | None = None
) -> dict:
    """A RoleBinding, or a ClusterRoleBinding where there is no namespace."""
    ref = {"kind": role_kind or ("Role" if namespace else "ClusterRole"), "name": role_name}
    return kube(
        RBAC, "RoleBinding" if namespace else "ClusterRoleBinding", name, namespace, subjects=subjects, roleRef=ref
    )


def rule(*verbs: str, names: list[str] | None = None) -> dict:
    """A rule about Secrets."""
    return {
        "verbs": list(verbs),
        "apiGroups": [""],
        "resources": ["secrets"],
        **({"resourceNames": names} if names else {}),
    }


def decoded(value: dict) -> Decoded:
    """The record of an object that must be decodable."""
    found = decode_json(json.dumps(value).encode())
    assert not isinstance(found, Skipped), found
    return found


def snapshot(*values: dict) -> Snapshot:
    """A snapshot of these objects."""
    objects = tuple(decoded(each) for each in values)
    counts: dict[str, int] = {}
    for each in objects:
        counts[kind_of(each)] = counts.get(kind_of(each), 0) + 1
    return Snapshot("test.json", objects, counts, {})
