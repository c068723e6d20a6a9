"""Who can act in a story: the pods, accounts and bindings of a cluster file, and the callers they become in audit events.

Reads the file on its own and only as far as a story needs, so that what is told does not depend on the code that is shown.
Counterparts: story.py, which names the actors, and events.py, which writes their requests.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from msgspec import Struct

from actors.evidence import Account, ObjectName
from actors.testing.events import Caller, PodIdentity, new_id, pod_caller
from actors.testing.reasons import allowed_by, missing_role

__all__ = ["Cast", "CastError", "load_cast"]

OWNERS_MAX: Final = 8
"""How many owners above a pod are followed at most: real ones are at most two."""
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class CastError(ValueError):
    """A name that the cluster file does not have, or a file that cannot be read as one. The text is one line."""


class _Bound(Struct, frozen=True):
    """A binding as the file has it."""

    name: ObjectName
    role_kind: str
    role_name: str
    subjects: tuple[tuple[str, str, str], ...]
    """(kind, namespace, name)."""


def _namespaced(kind: str, namespace: str | None, name: str) -> str:
    return f"{kind}/{namespace}/{name}" if namespace else f"{kind}/{name}"


class Cast:
    """What of a cluster can act. Names are "Kind/namespace/name", or "Kind/name" where cluster-scoped."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self._objects: dict[str, dict[str, Any]] = {}
        for item in items:
            meta = item.get("metadata") or {}
            self._objects[_namespaced(item["kind"], meta.get("namespace"), meta["name"])] = item
        self._pods: dict[str, list[dict[str, Any]]] = {}
        for item in items:
            if item["kind"] == "Pod":
                self._pods.setdefault(self._top_owner(item), []).append(item)

    def _top_owner(self, item: dict[str, Any]) -> str:
        for _ in range(OWNERS_MAX):
            meta = item["metadata"]
            owner = next((o for o in meta.get("ownerReferences", ()) if o.get("controller")), None)
            name = _namespaced(item["kind"], meta.get("namespace"), meta["name"])
            if owner is None:
                return name
            above = self._objects.get(_namespaced(owner["kind"], meta.get("namespace"), owner["name"]))
            if above is None:
                return _namespaced(owner["kind"], meta.get("namespace"), owner["name"])
            item = above
        raise CastError(f"the owners of {item['metadata']['name']} form a circle")

    @property
    def workloads(self) -> tuple[str, ...]:
        """Every workload that has a pod."""
        return tuple(self._pods)

    def check(self, name: str) -> None:
        """CastError unless the file has this object."""
        if name not in self._objects:
            raise CastError(f"the cluster file has no {name}")

    def account_uid(self, account: Account) -> str:
        """The uid of a ServiceAccount of the file."""
        name = f"ServiceAccount/{account.namespace}/{account.name}"
        self.check(name)
        return str(self._objects[name]["metadata"].get("uid", ""))

    def pod(self, who: str) -> tuple[Account, PodIdentity]:
        """The pod named "Kind/namespace/name" (the workload's first) or "Kind/namespace/name#1" (its second), and its account."""
        workload, _, index = who.partition("#")
        pods = self._pods.get(workload, [])
        if not pods:
            raise CastError(f"the cluster file has no pod of {workload}")
        if index and (not index.isdecimal() or int(index) >= len(pods)):
            raise CastError(f"{workload} has {len(pods)} pods, so there is no {who}")
        pod = pods[int(index or 0)]
        meta, spec = pod["metadata"], pod.get("spec", {})
        node = spec.get("nodeName", "")
        identity = PodIdentity(meta["name"], meta["uid"], node, _node_uid(node), pod.get("status", {}).get("podIP", ""))
        return Account(meta["namespace"], spec.get("serviceAccountName", "default")), identity

    def caller(self, who: str) -> tuple[Account, Caller]:
        """The pod named so as a caller with its bound token, the same one each time."""
        account, pod = self.pod(who)
        agent = f"{who.partition('#')[0].rpartition('/')[2]}/1.0 (linux/amd64) kubernetes/client"
        token = new_id(random.Random(pod.uid))  # noqa: S311 - an example's token id, the same in every run
        return account, pod_caller(account, pod, uid=self.account_uid(account), token_id=token, user_agent=agent)

    def nodes(self) -> tuple[str, ...]:
        """The nodes that pods run on."""
        return tuple(
            sorted({p.get("spec", {}).get("nodeName", "") for pods in self._pods.values() for p in pods} - {""})
        )

    def reason(self, binding: str, account: Account) -> str:
        """What the API server says when this binding allows the account; CastError where it cannot."""
        bound = self._binding(binding)
        role = self._role(bound)
        if role not in self._objects:
            raise CastError(f"{binding} is of {role}, which the cluster file does not have, so it allows nothing")
        for kind, namespace, name in bound.subjects:
            if kind == "ServiceAccount" and (namespace or bound.name.namespace, name) == (
                account.namespace,
                account.name,
            ):
                return self._allowed(bound, kind, f"{name}/{account.namespace}")
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{account.namespace}", "system:authenticated")
            if (kind == "Group" and name in groups) or (kind == "User" and name == account.username):
                return self._allowed(bound, kind, name)
        raise CastError(f"{binding} has no subject that is ServiceAccount/{account}")

    def complaint(self, binding: str) -> str:
        """What the API server says when this binding would have allowed, but its role is not there."""
        bound = self._binding(binding)
        if self._role(bound) in self._objects:
            raise CastError(f"the role of {binding} exists, so it is no reason for a denial")
        return missing_role(bound.role_kind, bound.role_name)

    def _allowed(self, bound: _Bound, kind: str, subject: str) -> str:
        namespace = bound.name.namespace if bound.role_kind == "Role" else None
        return allowed_by(bound.name, ObjectName(bound.role_kind, namespace, bound.role_name), kind, subject)

    def _role(self, bound: _Bound) -> str:
        return _namespaced(
            bound.role_kind, bound.name.namespace if bound.role_kind == "Role" else None, bound.role_name
        )

    def _binding(self, binding: str) -> _Bound:
        if binding.partition("/")[0] not in ("RoleBinding", "ClusterRoleBinding"):
            raise CastError(f"{binding} is no RoleBinding/namespace/name or ClusterRoleBinding/name")
        self.check(binding)
        item = self._objects[binding]
        meta, role = item["metadata"], item["roleRef"]
        subjects = tuple((s["kind"], s.get("namespace") or "", s["name"]) for s in item.get("subjects") or ())
        return _Bound(
            ObjectName(item["kind"], meta.get("namespace"), meta["name"]), role["kind"], role["name"], subjects
        )


def _node_uid(node: str) -> str:
    return new_id(random.Random(node)) if node else ""  # noqa: S311 - an example's uid, the same in every run


def load_cast(path: Path) -> Cast:
    """The cast of a cluster file as kubectl writes it (YAML or JSON, a List or many documents)."""
    try:
        documents = list(yaml.load_all(path.read_bytes(), Loader=_LOADER))
        return Cast([item for document in documents for item in _items(document)])
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise CastError(f"{path} is no cluster file as kubectl writes it ({type(error).__name__}: {reason})") from error


def _items(document: Any) -> Iterator[dict[str, Any]]:
    if document is None:
        return
    if str(document["kind"]).endswith("List"):
        yield from document["items"]
    else:
        yield document
