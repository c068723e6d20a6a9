"""What `kubectl apply` needs to run protector in the cluster that it watches. Pure: objects in, YAML out.

The ClusterRole grants list and watch of exactly the kinds that are watched (actors/cluster/live/kinds.py) and nothing on Secrets; the
ingest and viewer tokens come from a Secret that the operator makes, mounted as files. Counterpart: tests/web/test_manifests.py.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from actors.cluster.live.kinds import WATCHED
from actors.evidence import is_namespace_name

__all__ = ["ManifestError", "manifests"]

NAME: Final = "protector"
TOKENS: Final = "protector-tokens"
"""The Secret with the keys `ingest` and `viewer`, one token a line each."""
AUDIT_PORT: Final = 9443
DASHBOARD_PORT: Final = 8443
STATE_DIR: Final = "/var/lib/protector"
TOKEN_DIR: Final = "/etc/protector/tokens"  # noqa: S105 - a folder
GRACE_S: Final = 35
"""`serve` ends within 30 s of SIGTERM."""
USER: Final = 65532
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,500}")
_SIZE: Final = re.compile(r"[1-9][0-9]{0,5}(Ki|Mi|Gi|Ti)")

Object = dict[str, Any]


class ManifestError(Exception):
    """An option that cannot be used. The text is one line."""


def manifests(image: str, *, namespace: str = NAME, storage: str = "1Gi") -> str:
    """The objects as YAML documents, in the order in which they can be applied. Raises ManifestError.

    `image`: a container image whose entry point is the protector command. `storage`: size of the volume for the state.
    """
    if not _IMAGE.fullmatch(image):
        raise ManifestError(f"{image[:80]!r} is no image reference")
    if not is_namespace_name(namespace):
        raise ManifestError(f"{namespace[:80]!r} is no namespace name")
    if not _SIZE.fullmatch(storage):
        raise ManifestError(f"{storage[:80]!r} is no size such as 1Gi")
    objects = (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        _named("v1", "ServiceAccount", namespace),
        cluster_role(),
        _cluster_role_binding(namespace),
        _service(namespace),
        _network_policy(namespace),
        _stateful_set(image, namespace, storage),
    )
    head = (
        "# protector in the cluster that it watches. It may list and watch what is named below; it has no permission on Secrets.\n"
        "# Before it can start, make its tokens (one for the API server's webhook, one for who may look):\n"
        f"#   kubectl create namespace {namespace}\n"
        f"#   kubectl --namespace {namespace} create secret generic {TOKENS} \\\n"
        "#     --from-file=ingest=ingest.token --from-file=viewer=viewer.token\n"
    )
    return head + yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True, width=120)


def cluster_role() -> Object:
    """list and watch of what is watched, one rule for each API group."""
    groups: dict[str, list[str]] = {}
    for kind in WATCHED:
        groups.setdefault(kind.group, []).append(kind.resource)
    rules = [
        {"apiGroups": [group], "resources": sorted(resources), "verbs": ["list", "watch"]}
        for group, resources in sorted(groups.items())
    ]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NAME, "labels": _labels()},
        "rules": rules,
    }


def _labels() -> dict[str, str]:
    return {"app.kubernetes.io/name": NAME}


def _named(api_version: str, kind: str, namespace: str, **body: Any) -> Object:
    meta = {"name": NAME, "namespace": namespace, "labels": _labels()}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **body}


def _cluster_role_binding(namespace: str) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NAME, "labels": _labels()},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
    }


def _service(namespace: str) -> Object:
    """Not-ready addresses too: the API server's batches must arrive while the cluster is still being read."""
    ports = [
        {"name": "audit", "port": AUDIT_PORT, "targetPort": "audit"},
        {"name": "dashboard", "port": DASHBOARD_PORT, "targetPort": "dashboard"},
    ]
    spec = {"type": "ClusterIP", "publishNotReadyAddresses": True, "selector": _labels(), "ports": ports}
    return _named("v1", "Service", namespace, spec=spec)


def _network_policy(namespace: str) -> Object:
    """In: the webhook from anywhere (API servers are on the host's network), dashboards from this namespace. Out: TCP 443 and 6443."""
    spec = {
        "podSelector": {"matchLabels": _labels()},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"ports": [{"port": AUDIT_PORT, "protocol": "TCP"}]},
            {"ports": [{"port": DASHBOARD_PORT, "protocol": "TCP"}], "from": [{"podSelector": {}}]},
        ],
        "egress": [{"ports": [{"port": port, "protocol": "TCP"} for port in (443, 6443)]}],
    }
    return _named("networking.k8s.io/v1", "NetworkPolicy", namespace, spec=spec)


def _stateful_set(image: str, namespace: str, storage: str) -> Object:
    pod = {
        "serviceAccountName": NAME,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(image, namespace)],
        "volumes": [{"name": "tokens", "secret": {"secretName": TOKENS, "defaultMode": 0o440}}],
    }
    claim = {
        "metadata": {"name": "state"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}},
    }
    spec = {
        "serviceName": NAME,
        "replicas": 1,
        "selector": {"matchLabels": _labels()},
        "template": {"metadata": {"labels": _labels()}, "spec": pod},
        "volumeClaimTemplates": [claim],
    }
    return _named("apps/v1", "StatefulSet", namespace, spec=spec)


def _container(image: str, namespace: str) -> Object:
    settings = {
        "PROTECTOR_CLUSTER": "kubernetes",
        "PROTECTOR_AUDIT_ADDR": f"0.0.0.0:{AUDIT_PORT}",
        "PROTECTOR_DASHBOARD_ADDR": f"0.0.0.0:{DASHBOARD_PORT}",
        "PROTECTOR_INGEST_TOKEN_FILE": f"{TOKEN_DIR}/ingest",
        "PROTECTOR_VIEWER_TOKEN_FILE": f"{TOKEN_DIR}/viewer",
        "PROTECTOR_STATE_DIR": STATE_DIR,
        "PROTECTOR_TLS_NAMES": f"{NAME}.{namespace}.svc,{NAME}.{namespace}.svc.cluster.local",
        "PROTECTOR_LOG": "json",
    }

    def probe(path: str, **more: int) -> Object:
        return {"httpGet": {"path": path, "port": "dashboard", "scheme": "HTTPS"}, **more}

    return {
        "name": NAME,
        "image": image,
        "args": ["serve"],
        "env": [{"name": name, "value": value} for name, value in settings.items()],
        "ports": [
            {"name": "audit", "containerPort": AUDIT_PORT},
            {"name": "dashboard", "containerPort": DASHBOARD_PORT},
        ],
        "livenessProbe": probe("/healthz", periodSeconds=10, failureThreshold=6),
        "readinessProbe": probe("/readyz", periodSeconds=5),
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "state", "mountPath": STATE_DIR},
            {"name": "tokens", "mountPath": TOKEN_DIR, "readOnly": True},
        ],
    }
