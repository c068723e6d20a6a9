"""What is watched: a table. Never Secrets. Counterparts: follow.py asks for each row, web/manifests.py grants exactly these.

Kinds that are only counted, or that only fold pods to their workloads, are asked for as metadata alone: no pod template, and so
no environment of it, ever crosses the wire.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

RBAC: Final = "rbac.authorization.k8s.io"
GATEWAY: Final = "gateway.networking.k8s.io"


class WatchedKind(Struct, frozen=True):
    """One row: `resource` is the plural in paths and in RBAC."""

    kind: str
    group: str
    version: str
    resource: str
    metadata_only: bool = False
    optional: bool = False
    """A custom resource: a cluster without it is fine."""

    @property
    def path(self) -> str:
        """Of the collection in every namespace."""
        base = f"/apis/{self.group}" if self.group else "/api"
        return f"{base}/{self.version}/{self.resource}"

    @property
    def called(self) -> str:
        """As RBAC writes it: "pods", "deployments.apps"."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


WATCHED: Final = (
    # RBAC and accounts first: a read is explained by them
    WatchedKind("ClusterRole", RBAC, "v1", "clusterroles"),
    WatchedKind("ClusterRoleBinding", RBAC, "v1", "clusterrolebindings"),
    WatchedKind("Role", RBAC, "v1", "roles"),
    WatchedKind("RoleBinding", RBAC, "v1", "rolebindings"),
    WatchedKind("ServiceAccount", "", "v1", "serviceaccounts"),
    WatchedKind("Namespace", "", "v1", "namespaces", metadata_only=True),
    # owners before the pods that are folded with them
    WatchedKind("ReplicaSet", "apps", "v1", "replicasets", metadata_only=True),
    WatchedKind("Deployment", "apps", "v1", "deployments", metadata_only=True),
    WatchedKind("StatefulSet", "apps", "v1", "statefulsets", metadata_only=True),
    WatchedKind("DaemonSet", "apps", "v1", "daemonsets", metadata_only=True),
    WatchedKind("Job", "batch", "v1", "jobs", metadata_only=True),
    WatchedKind("CronJob", "batch", "v1", "cronjobs", metadata_only=True),
    WatchedKind("Pod", "", "v1", "pods"),
    # what decides about exposure
    WatchedKind("Service", "", "v1", "services"),
    WatchedKind("Ingress", "networking.k8s.io", "v1", "ingresses"),
    WatchedKind("Gateway", GATEWAY, "v1", "gateways", optional=True),
    WatchedKind("HTTPRoute", GATEWAY, "v1", "httproutes", optional=True),
)
