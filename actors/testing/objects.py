"""A cluster in sentences: what a policy test says exists, as the objects that `kubectl get -o json` would print. Pure.

    cluster.deployment("app/web", account="reader-sa", exposed=True).role("app/reader", "get db-creds").bind("app/reader")

Names are `namespace/name`; uids come from the seed. Every method gives the cluster back, so that sentences can be chained; `bind`
without `to` means the account that was named last. Counterparts: manifests.py (files), sentences.py (who acts), session.py.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

from actors.cluster.decode import decode_builtins
from actors.cluster.raw import Decoded, Skipped, Snapshot
from actors.cluster.records import Binding, Role
from actors.grants import Grants
from actors.testing.events import new_id
from actors.testing.manifests import API_VERSIONS, controller_of, grown, objects_in

__all__ = ["Cluster", "ClusterError"]

RBAC: Final = "rbac.authorization.k8s.io"
PODS_MAX: Final = 1000
"""Replicas of one workload."""


class ClusterError(ValueError):
    """A sentence about the cluster that cannot be. One line."""


class Cluster:
    """Objects by `Kind/namespace/name` (`Kind/name` where cluster-scoped). `version` rises with each change."""

    def __init__(self, seed: int = 1) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 0
        self._chance = random.Random(seed)  # noqa: S311 - uids of a test
        self._pods = 0
        self._account = ""
        self._grants: tuple[int, Grants] | None = None

    # --- what exists --------------------------------------------------------------------------------------------------

    def add(self, api_version: str, kind: str, name: str, meta: dict[str, Any] | None = None, **body: Any) -> Any:
        """Any object, as given; what has the name already is replaced. Returns the object itself."""
        namespace, _, own = name.rpartition("/")
        metadata = {"name": own, "uid": new_id(self._chance), "creationTimestamp": "2025-11-01T08:00:00Z"}
        metadata |= ({"namespace": namespace} if namespace else {}) | (meta or {})
        return self.put({"apiVersion": api_version, "kind": kind, "metadata": metadata} | body)

    def put(self, item: dict[str, Any]) -> dict[str, Any]:
        """An object as Kubernetes writes it; a uid is given where it has none."""
        meta = item["metadata"]
        if "uid" not in meta:
            meta["uid"] = new_id(self._chance)
        self.objects[_key(item)] = item
        self.version += 1
        return item

    def account(self, name: str) -> Self:
        """A ServiceAccount, which is also whom the next `bind` means."""
        self._named(name, "an account")
        if f"ServiceAccount/{name}" not in self.objects:
            self.add("v1", "ServiceAccount", name)
        self._account = name
        return self

    def deployment(
        self,
        name: str,
        *,
        account: str = "default",
        exposed: bool = False,
        replicas: int = 1,
        mounts: str | tuple[str, ...] = (),
        **spec: Any,
    ) -> Self:
        """A Deployment, its ReplicaSet and its pods `<name>-1`, `<name>-2`, ...; the account too, unless it is there.

        `mounts`: Secrets mounted as volumes; `exposed`: a LoadBalancer leads to it; `spec`: more of the pod's spec.
        """
        return self.workload("Deployment", name, account, exposed=exposed, replicas=replicas, mounts=mounts, **spec)

    def workload(
        self,
        kind: str,
        name: str,
        account: str = "default",
        *,
        exposed: bool = False,
        replicas: int = 1,
        mounts: str | tuple[str, ...] = (),
        **spec: Any,
    ) -> Self:
        """The same for a StatefulSet, a DaemonSet, a Job, a CronJob, or a bare Pod."""
        namespace, own = self._named(name, "a workload")
        if kind not in ("Pod", *API_VERSIONS):
            raise ClusterError(f"{kind} is none of the workloads: Pod, {', '.join(sorted(API_VERSIONS))}")
        if not 0 <= replicas <= PODS_MAX:
            raise ClusterError(f"{name}: {replicas} replicas; 0 to {PODS_MAX} can be")
        self.account(account if "/" in account else f"{namespace}/{account}")
        secrets = (mounts,) if isinstance(mounts, str) else mounts
        volumes = [{"name": f"secret-{n}", "secret": {"secretName": each}} for n, each in enumerate(secrets)]
        pod = {"serviceAccountName": self._account.partition("/")[2], "containers": [_container(own)], **spec}
        if volumes:
            pod["volumes"] = volumes
        owner: Any = None
        if kind != "Pod":
            owner = self.add(API_VERSIONS[kind], kind, name, spec={"replicas": replicas})
        if kind == "Deployment":
            owner = self.add("apps/v1", "ReplicaSet", f"{name}-rs", {"ownerReferences": [controller_of(owner)]})
        if kind == "CronJob":
            owner = self.add("batch/v1", "Job", f"{name}-job", {"ownerReferences": [controller_of(owner)]})
        for number in range(1, replicas + 1):
            meta: dict[str, Any] = {"labels": {"app": own}}
            if owner is not None:
                meta["ownerReferences"] = [controller_of(owner)]
            self._pod(name if owner is None else f"{name}-{number}", meta, pod)
        if exposed:
            self.expose(name)
        return self

    def _pod(self, name: str, meta: dict[str, Any], spec: dict[str, Any]) -> None:
        self._pods += 1
        ip = f"10.4.{self._pods >> 8 & 255}.{self._pods & 255}"
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "192.0.2.1"}
        self.add("v1", "Pod", name, meta, spec={"nodeName": "node-1", **spec}, status=status)

    def expose(self, name: str) -> Self:
        """A LoadBalancer for the workload of that name: it can be reached from the internet."""
        _, own = self._named(name, "a workload")
        spec = {"type": "LoadBalancer", "selector": {"app": own}, "ports": [{"port": 443}]}
        self.add("v1", "Service", name, spec=spec, status={"loadBalancer": {"ingress": [{"ip": "203.0.113.80"}]}})
        return self

    # --- who may what -------------------------------------------------------------------------------------------------

    def role(self, name: str, *rules: str) -> Self:
        """A Role (`app/reader`) or ClusterRole (`reader`). A rule about Secrets: `get db-creds`, `get,list *`, `watch a,b`."""
        namespace, _, own = name.rpartition("/")
        found = [_rule(name, rule) for rule in rules]
        self.add(
            f"{RBAC}/v1",
            "Role" if namespace else "ClusterRole",
            f"{namespace}/{own}" if namespace else own,
            rules=found,
        )
        return self

    def bind(self, role: str, to: str = "", *, name: str = "", within: str = "") -> Self:
        """Binds a role to an account (`app/reader-sa`), a group (`group:system:authenticated`) or a user (`user:alice`).

        `to` left out: the account named last. A ClusterRole is bound everywhere, or `within` one namespace. ClusterError for a
        role that is not there: what Kubernetes would keep and wait for is a typing error in a test; `add` makes it all the same.
        """
        namespace, _, own = role.rpartition("/")
        kind = "Role" if namespace else "ClusterRole"
        if f"{kind}/{role}" not in self.objects:
            raise ClusterError(f"there is no {kind} {role} to bind (roles: {self._names('Role', 'ClusterRole')})")
        where = namespace or within
        binding = f"{where}/{name or own}" if where else (name or own)
        ref = {"apiGroup": RBAC, "kind": kind, "name": own}
        self.add(
            f"{RBAC}/v1",
            "RoleBinding" if where else "ClusterRoleBinding",
            binding,
            subjects=[self._subject(to or self._account)],
            roleRef=ref,
        )
        return self

    def _subject(self, text: str) -> dict[str, Any]:
        what, colon, rest = text.partition(":")
        if colon and what in ("group", "user"):
            return {"kind": what.capitalize(), "apiGroup": RBAC, "name": rest}
        if not text:
            raise ClusterError("bind to whom? name an account with `to`, or a workload before")
        namespace, own = self._named(text, "an account")
        return {"kind": "ServiceAccount", "namespace": namespace, "name": own}

    # --- what goes, and what comes from files --------------------------------------------------------------------------

    def remove(self, name: str) -> Self:
        """Takes `Kind/namespace/name` away, with everything that it owns."""
        item = self.objects.pop(name, None)
        if item is None:
            raise ClusterError(f"there is no {name} to remove")
        self.version += 1
        uid = item["metadata"].get("uid")
        for key, each in list(self.objects.items()):
            if any(owner.get("uid") == uid for owner in each["metadata"].get("ownerReferences", ())):
                self.remove(key)
        return self

    def load(self, source: str | Path, *, namespace: str = "default") -> Self:
        """Objects from a file, a folder of them, or text: `kubectl get -o yaml|json`, `kubectl kustomize`, `helm template`.

        Manifests have no pods yet: workloads without any get those that their controller would make. `namespace`: of objects
        that name none, as `helm template --namespace` and `kubectl -n` have it. ClusterError when nothing of it can be read.
        """
        try:
            found = objects_in(source, namespace)
        except (OSError, ValueError) as error:
            raise ClusterError(" ".join(str(error).split())) from None
        for item in found:
            self.put(item)
        for item in grown(self.objects, self._chance):
            self.put(item)
        return self

    # --- looking ------------------------------------------------------------------------------------------------------

    @property
    def items(self) -> list[dict[str, Any]]:
        """All objects."""
        return list(self.objects.values())

    def pods_of(self, account: str) -> list[str]:
        """Names of the pods (without namespace) that run as the account `namespace/name`, in the order in which they came."""
        namespace, _, own = account.partition("/")
        return [
            str(item["metadata"]["name"])
            for item in self._of_kind("Pod")
            if item["metadata"].get("namespace") == namespace
            and item.get("spec", {}).get("serviceAccountName", "default") == own
        ]

    def workloads(self) -> list[str]:
        """`Kind/namespace/name` of everything that has pods."""
        from actors.testing.cast import Cast  # noqa: PLC0415 - a look at what is written here, for messages

        return list(Cast(self.items).workloads)

    def text(self) -> str:
        """A cluster file with all of it."""
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": self.items})

    def decoded(self) -> dict[str, Decoded]:
        """What the product makes of each object. ClusterError for one that it finds malformed."""
        found: dict[str, Decoded] = {}
        for key, item in self.objects.items():
            record = decode_builtins(item)
            if not isinstance(record, Skipped):
                found[key] = record
            elif record.reason == "malformed":
                raise ClusterError(f"{key} is no object as Kubernetes writes it")
        return found

    def snapshot(self) -> Snapshot:
        """What loading it as a file would give."""
        from actors.cluster.source import kind_of  # noqa: PLC0415 - only where a whole snapshot is wanted

        objects = tuple(self.decoded().values())
        counts: dict[str, int] = {}
        for record in objects:
            counts[kind_of(record)] = counts.get(kind_of(record), 0) + 1
        return Snapshot("cluster", objects, counts, {})

    def grants(self) -> Grants:
        """What the product makes of the roles and bindings, as they are now."""
        if self._grants is None or self._grants[0] != self.version:
            grants = Grants()
            for record in self.decoded().values():
                if isinstance(record, Role):
                    grants.upsert_role(record)
                elif isinstance(record, Binding):
                    grants.upsert_binding(record)
            self._grants = (self.version, grants)
        return self._grants[1]

    def _of_kind(self, kind: str) -> Iterator[dict[str, Any]]:
        return (item for item in self.objects.values() if item["kind"] == kind)

    def _names(self, *kinds: str) -> str:
        return ", ".join(key for key in self.objects if key.partition("/")[0] in kinds) or "none"

    def _named(self, name: str, what: str) -> tuple[str, str]:
        namespace, slash, own = name.partition("/")
        if not slash or not namespace or not own or "/" in own:
            raise ClusterError(f"{name!r} is no name of {what}: write namespace/name")
        return namespace, own


def _key(item: dict[str, Any]) -> str:
    meta = item["metadata"]
    namespace = meta.get("namespace")
    return f"{item['kind']}/{namespace}/{meta['name']}" if namespace else f"{item['kind']}/{meta['name']}"


def _container(name: str) -> dict[str, Any]:
    return {"name": name, "image": f"registry.invalid/{name}:1"}


def _rule(role: str, text: str) -> dict[str, Any]:
    verbs, _, names = text.strip().partition(" ")
    names = names.strip().removeprefix("secrets").lstrip("/ ")
    if not verbs:
        raise ClusterError(f"{role}: {text!r} is no rule: write `get db-creds` or `get,list *`")
    rule: dict[str, Any] = {"apiGroups": [""], "resources": ["secrets"], "verbs": verbs.split(",")}
    if names not in ("", "*"):
        rule["resourceNames"] = [name.strip() for name in names.split(",")]
    return rule
