"""Four minutes of real Helm installs (../shared/data, not part of this project): with the shipped examples nearly nothing is a finding.

The source kept no annotations, no addresses and no claims of pods. So the test adds the decision `allow`, and the pods of the cluster
that it rebuilds from the charts' own roles have no bound tokens: every read is attributed to its account's workload as `shared`.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_cluster import ClusterFile

from web.expected_file import load_expected
from web.replay import Replay, run_replay

PROJECT = Path(__file__).parents[2]
LOG = PROJECT.parent / "shared" / "data" / "benign-installs" / "secret-reads.jsonl"
EXAMPLES = PROJECT / "docs" / "examples" / "expected"
ALLOW = {"authorization.k8s.io/decision": "allow"}
needs_log = pytest.mark.skipif(not LOG.is_file(), reason="the recorded Helm installs are not beside this project")

WHY_OPEN = {
    (
        "gatekeeper-admin",
        "gatekeeper-system/*",
    ): "no example is shipped for Gatekeeper: its cert rotator lists its own namespace",
    ("my-kubernetes-dashboard", "kubernetes-dashboard/kubernetes-dashboard-csrf"): "none for the Kubernetes dashboard",
    (
        "my-kubernetes-dashboard",
        "kubernetes-dashboard/kubernetes-dashboard-key-holder",
    ): "none for the Kubernetes dashboard",
    ("argocd-server", "argo-cd/*"): "it got argocd-initial-admin-secret, which the example leaves out on purpose",
}
"""Every chain that stays open, and why."""


def cluster() -> ClusterFile:
    """The accounts of the log with what their charts bind to them."""
    c = ClusterFile()
    for name, own, verbs in (
        # argo-cd: each component its Role, the application controller the ClusterRole of everything
        ("argo-cd/argocd-server", "argo-cd/argocd-server", "get,list,watch"),
        ("argo-cd/argocd-applicationset-controller", "argo-cd/argocd-applicationset-controller", "get,list,watch"),
        ("argo-cd/argocd-dex-server", "argo-cd/argocd-dex-server", "get,list,watch"),
        ("argo-cd/argocd-notifications-controller", "argo-cd/argocd-notifications-controller", "get,list,watch"),
        ("argo-cd/argocd-application-controller", "argocd-application-controller", "*"),
        # cert-manager
        ("cert-manager/my-cert-manager", "my-cert-manager-certificates", "get,list,watch,create,update,delete,patch"),
        ("cert-manager/my-cert-manager-cainjector", "my-cert-manager-cainjector", "get,list,watch"),
        ("cert-manager/my-cert-manager-webhook", "cert-manager/my-cert-manager-webhook", "get,list,watch,update"),
        # the rest
        ("gatekeeper-system/gatekeeper-admin", "gatekeeper-system/gatekeeper-manager-role", "get,list,watch,update"),
        ("ingress-nginx/my-ingress-nginx", "my-ingress-nginx", "list,watch"),
        ("ingress-nginx/my-ingress-nginx-admission", "ingress-nginx/my-ingress-nginx-admission", "get,create"),
        ("kube-prometheus-stack/my-kube-prometheus-stack-admission", "kube-prometheus-stack/admission", "get,create"),
        ("kube-prometheus-stack/my-kube-prometheus-stack-grafana", "my-kube-prometheus-stack-grafana", "get,list,watch"),
        ("kube-prometheus-stack/my-kube-prometheus-stack-kube-state-metrics", "kps-kube-state-metrics", "list,watch"),
        ("kube-prometheus-stack/my-kube-prometheus-stack-operator", "kps-operator", "*"),
        ("prometheus/my-prometheus-kube-state-metrics", "my-prometheus-kube-state-metrics", "list,watch"),
    ):  # fmt: skip
        c.account(name)
        c.deployment(name, name.partition("/")[2], automountServiceAccountToken=False)
        c.grant(own, name, verbs)
    dashboard = "kubernetes-dashboard/my-kubernetes-dashboard"
    c.account(dashboard)
    c.deployment(dashboard, "my-kubernetes-dashboard", automountServiceAccountToken=False)
    own = ("kubernetes-dashboard-key-holder", "my-kubernetes-dashboard-certs", "kubernetes-dashboard-csrf")
    c.grant(dashboard, dashboard, "get,update,delete", own)
    c.grant("system:controller:namespace-controller", "kube-system/namespace-controller", "get,list,delete")
    return c


def recorded(days: int = 0) -> Iterator[dict[str, Any]]:
    """The items of the log, `days` later."""
    for line in LOG.read_text().splitlines():
        item = json.loads(line)
        at = dt.datetime.fromisoformat(item["requestReceivedTimestamp"]) + dt.timedelta(days=days)
        yield item | {"annotations": ALLOW, "requestReceivedTimestamp": at.isoformat().replace("+00:00", "Z")}


def read_of(account: str, secret: str, at: str, **changes: Any) -> dict[str, Any]:
    """An allowed get as the log would have it, with the address that the API server saw."""
    namespace, _, name = secret.partition("/")
    return {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": "ResponseComplete", "verb": "get",
        "auditID": f"{account}-{secret}", "requestURI": f"/api/v1/namespaces/{namespace}/secrets/{name}",
        "user": {"username": f"system:serviceaccount:{account.replace('/', ':')}"},
        "objectRef": {"resource": "secrets", "apiVersion": "v1", "namespace": namespace, "name": name},
        "requestReceivedTimestamp": at, "responseStatus": {"code": 200}, "annotations": ALLOW,
    } | changes  # fmt: skip


def attack(c: ClusterFile) -> list[dict[str, Any]]:
    """A stolen token of the operator's pod used from elsewhere, a first read across namespaces, and an enumeration."""
    pod = next(
        item["metadata"]
        for item in c.items
        if item["kind"] == "Pod" and item["spec"]["serviceAccountName"] == "my-kube-prometheus-stack-operator"
    )
    operator = "kube-prometheus-stack/my-kube-prometheus-stack-operator"
    claim = {
        "username": f"system:serviceaccount:{operator.replace('/', ':')}",
        "extra": {
            "authentication.kubernetes.io/pod-name": [pod["name"]],
            "authentication.kubernetes.io/pod-uid": [pod["uid"]],
        },
    }
    at = "2023-01-28T18:33:{:02d}.000000Z".format
    own = "kube-prometheus-stack/alertmanager-my-kube-prometheus-stack-alertmanager"
    return [
        read_of(operator, own, at(0), user=claim, sourceIPs=["203.0.113.66"]),
        read_of("cert-manager/my-cert-manager", "argo-cd/argocd-secret", at(1)),
        *(
            read_of("argo-cd/argocd-application-controller", f"team-{n % 3}/key-{n}", at(2 + n))
            for n in range(25)
        ),
    ]  # fmt: skip


def replayed(tmp_path: Path, *days: list[dict[str, Any]], with_examples: bool = True) -> Replay:
    c = cluster()
    snapshot = tmp_path / "cluster.json"
    snapshot.write_text(c.text())
    logs = []
    for number, items in enumerate(days):
        logs.append(tmp_path / f"day-{number}.jsonl")
        logs[-1].write_text("".join(json.dumps(item) + "\n" for item in items))
    return run_replay(logs, [snapshot], load_expected(EXAMPLES if with_examples else None))


def name_of(chain: Any) -> tuple[str, str]:
    return chain.entry.name, f"{chain.objective.namespace or '*'}/{chain.objective.name or '*'}"


@needs_log
def test_at_most_five_findings_stay_open_and_each_is_accounted_for(tmp_path: Path) -> None:
    """Of all the chains that the installs light, those without an entry, and one whose example leaves a read out."""
    result = replayed(tmp_path, list(recorded()))
    found = {name_of(chain) for chain in result.open}
    assert set(WHY_OPEN) == found
    assert len(result.open) + len(result.loose) <= 5
    assert result.loose == []
    without = replayed(tmp_path, list(recorded()), with_examples=False)
    assert len(without.open) == len(without.corroborated) == len(result.corroborated) > 3 * len(result.open)


@needs_log
def test_an_attack_in_the_same_log_comes_first(tmp_path: Path) -> None:
    """A day of history, the same again with three attacks in it: they are the first three findings, with what gives them away."""
    result = replayed(tmp_path, list(recorded()), [*recorded(days=1), *attack(cluster())])
    first = {chain.entry.name: {s for piece in chain.evidence for s in piece.signals} for chain in result.chains[:3]}
    assert {
        "my-kube-prometheus-stack-operator": {"foreign_source_ip"},
        "my-cert-manager": {"cross_namespace", "first_read"},
        "argocd-application-controller": {"burst", "cross_namespace", "first_read"},
    } == {name: first[name] & {"foreign_source_ip", "cross_namespace", "first_read", "burst"} - (
        {"cross_namespace"} if name.endswith("operator") else set()
    ) for name in first}  # fmt: skip
    assert {*WHY_OPEN, *(name_of(chain) for chain in result.chains[:3])} == {name_of(c) for c in result.open}
    assert result.loose == []


def test_every_shipped_example_is_a_file_that_loads() -> None:
    """All of them together, as a folder, and each by itself; the names that the charts give match."""
    together = load_expected(EXAMPLES).entries
    names = {path.stem for path in EXAMPLES.iterdir()}
    assert {"cert-manager", "external-secrets", "prometheus-operator", "argo-cd", "flux"} <= names
    built_in = len(load_expected(None).entries)
    assert len(together) - built_in == sum(len(load_expected(path).entries) - built_in for path in EXAMPLES.iterdir())
