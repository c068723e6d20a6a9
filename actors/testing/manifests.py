"""Objects out of what `kubectl`, `kustomize` and `helm template` print; and the pods that a manifest's controllers would make. Pure,
but for reading the file that is named.

Counterpart: objects.py. A manifest is not yet a cluster: its workloads have no pods, its Ingresses no address. `grown` adds the
former; an Ingress counts as having its address, for so it will be where it is applied.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from actors.testing.events import new_id

__all__ = ["API_VERSIONS", "controller_of", "grown", "objects_in"]

API_VERSIONS: Final = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
}
CLUSTER_SCOPED: Final = frozenset(
    {"Namespace", "Node", "ClusterRole", "ClusterRoleBinding", "PersistentVolume", "StorageClass", "PriorityClass"}
    | {"CustomResourceDefinition", "GatewayClass", "IngressClass", "APIService", "PodSecurityPolicy"}
    | {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "CSIDriver", "RuntimeClass"}
    | {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ClusterIssuer"}
)
FILES_MAX: Final = 10_000
REPLICAS_MAX: Final = 3
"""Pods that are made for one workload of a manifest: each further one would say the same."""
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def objects_in(source: str | Path, namespace: str = "default") -> list[dict[str, Any]]:
    """All objects in a file, a folder or a text. ValueError in one line when it is none of them; OSError from reading."""
    found = [item for name, text in _texts(source) for item in _objects(name, text)]
    if not found:
        raise ValueError(f"{_called(source)} holds no Kubernetes object")
    for item in found:
        meta = item["metadata"]
        if item["kind"] not in CLUSTER_SCOPED and not meta.get("namespace"):
            meta["namespace"] = namespace
        if item["kind"] == "Secret":
            for key in ("data", "stringData"):
                item.pop(key, None)
            meta.pop("annotations", None)
    return found


def _texts(source: str | Path) -> Iterator[tuple[str, str]]:
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith("{")):
        yield "the text", source
        return
    path = Path(source)
    if not path.is_dir():
        yield path.name, path.read_text(encoding="utf-8-sig")
        return
    files = sorted(each for each in path.rglob("*") if each.suffix in (".yaml", ".yml", ".json"))
    if len(files) > FILES_MAX:
        raise ValueError(f"{path.name} holds more than {FILES_MAX} files")
    for file in files:
        yield file.name, file.read_text(encoding="utf-8-sig")


def _called(source: str | Path) -> str:
    return "the text" if isinstance(source, str) and "\n" in source else Path(source).name


def _objects(name: str, text: str) -> Iterator[dict[str, Any]]:
    try:
        documents = list(yaml.load_all(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        raise ValueError(f"{name} is no YAML" + (f" (line {where.line + 1})" if where else "")) from None
    for document in documents:
        if not isinstance(document, dict):
            continue
        items = document.get("items") if str(document.get("kind", "")).endswith("List") else [document]
        for item in items or ():
            if not isinstance(item, dict) or not isinstance(item.get("metadata"), dict):
                continue
            if isinstance(item.get("kind"), str) and item["metadata"].get("name"):
                yield item


def controller_of(owner: dict[str, Any]) -> dict[str, Any]:
    """The ownerReference that names it as the controller."""
    meta = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
    }


def grown(objects: dict[str, dict[str, Any]], chance: random.Random) -> list[dict[str, Any]]:
    """The pods (and ReplicaSets and Jobs) that the controllers would make for workloads that own nothing yet."""
    items = list(objects.values())
    owning = {owner.get("uid") for item in items for owner in item["metadata"].get("ownerReferences", ())}
    made: list[dict[str, Any]] = []
    for item in items:
        if item["kind"] in API_VERSIONS and item["metadata"].get("uid") not in owning:
            made += _made_by(item, chance)
        elif item["kind"] == "Ingress" and not item.get("status", {}).get("loadBalancer"):
            item["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.81"}]}}
    return [*made, *_accounts([*items, *made], objects, chance)]


def _accounts(
    items: list[dict[str, Any]], objects: dict[str, dict[str, Any]], chance: random.Random
) -> Iterator[dict[str, Any]]:
    """The ServiceAccounts that pods run as and that no manifest holds: `default` is made by Kubernetes, others by another chart."""
    wanted = {
        (item["metadata"].get("namespace"), item.get("spec", {}).get("serviceAccountName") or "default"): None
        for item in items
        if item["kind"] == "Pod"
    }
    for namespace, name in wanted:
        if f"ServiceAccount/{namespace}/{name}" not in objects:
            meta = {"name": name, "namespace": namespace, "uid": new_id(chance)}
            yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}


def _made_by(workload: dict[str, Any], chance: random.Random) -> Iterable[dict[str, Any]]:
    spec = workload.get("spec") or {}
    kind = workload["kind"]
    if kind == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    template = spec.get("template") or {}
    owner = workload
    name, namespace = workload["metadata"]["name"], workload["metadata"].get("namespace")
    if kind in ("Deployment", "CronJob"):
        between = {"Deployment": ("apps/v1", "ReplicaSet", "rs"), "CronJob": ("batch/v1", "Job", "job")}[kind]
        api_version, between_kind, ending = between
        owner = {
            "apiVersion": api_version,
            "kind": between_kind,
            "metadata": _owned(f"{name}-{ending}", namespace, workload, chance),
        }
        yield owner
    replicas = spec.get("replicas", 1) if kind in ("Deployment", "StatefulSet") else 1
    for number in range(1, min(replicas, REPLICAS_MAX) + 1):
        meta = _owned(f"{name}-{number}", namespace, owner, chance)
        labels = (template.get("metadata") or {}).get("labels")
        annotations = (template.get("metadata") or {}).get("annotations")
        meta |= ({"labels": labels} if labels else {}) | ({"annotations": annotations} if annotations else {})
        ip = f"10.5.{chance.getrandbits(8)}.{chance.getrandbits(8)}"
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": meta,
            "spec": {"nodeName": "node-1", **(template.get("spec") or {})},
            "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "192.0.2.1"},
        }


def _owned(name: str, namespace: str | None, owner: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    meta = {"name": name, "uid": new_id(chance), "creationTimestamp": "2025-11-01T08:00:00Z"}
    return meta | ({"namespace": namespace} if namespace else {}) | {"ownerReferences": [controller_of(owner)]}
