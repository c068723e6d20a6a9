"""What the fake API server says: collections by path, lists with their kinds, metadata alone, a Status. Pure; counterpart: kube.py."""

from __future__ import annotations

from typing import Any, Final

from actors.cluster.live.kinds import WATCHED

__all__ = ["RESOURCES", "collection_of", "key_of", "metadata_only", "status_of", "typed_list"]

RESOURCES: Final = {
    kind.path: (kind.kind, f"{kind.group}/{kind.version}" if kind.group else kind.version) for kind in WATCHED
}
"""Path of the collection -> kind and apiVersion of its items."""
_PATHS: Final = {(api_version, kind): path for path, (kind, api_version) in RESOURCES.items()}
_METADATA: Final = "meta.k8s.io/v1"


def collection_of(value: dict[str, Any]) -> str:
    """The path of the collection in every namespace that this object is in."""
    return _PATHS[value["apiVersion"], value["kind"]]


def key_of(value: dict[str, Any]) -> tuple[str, str]:
    """(namespace, name)."""
    meta = value["metadata"]
    return meta.get("namespace") or "", meta["name"]


def metadata_only(value: dict[str, Any], accept: str) -> dict[str, Any]:
    """The object as `accept` wants it: whole, or its metadata."""
    if "as=PartialObjectMetadata;" not in accept:
        return value
    return {"kind": "PartialObjectMetadata", "apiVersion": _METADATA, "metadata": value["metadata"]}


def typed_list(path: str, accept: str, meta: dict[str, str], items: list[dict[str, Any]]) -> dict[str, Any]:
    """A list as the API server writes it: its items do not say their kind."""
    if "as=PartialObjectMetadataList;" in accept:
        partial = [metadata_only(item, "as=PartialObjectMetadata;") for item in items]
        return {"kind": "PartialObjectMetadataList", "apiVersion": _METADATA, "metadata": meta, "items": partial}
    kind, api_version = RESOURCES[path]
    bare = [{name: part for name, part in item.items() if name not in ("kind", "apiVersion")} for item in items]
    return {"kind": f"{kind}List", "apiVersion": api_version, "metadata": meta, "items": bare or None}


def status_of(code: int, reason: str, message: str) -> dict[str, Any]:
    """A metav1.Status."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
