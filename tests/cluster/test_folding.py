"""Pods fold to their top owner, row by row."""

from __future__ import annotations

import pytest
from kube_objects import controlled_by, decoded, kube, pod

from actors.cluster.model import ClusterModel
from actors.evidence import Account, Workload

HASHED = {"pod-template-hash": "abc12"}


def owned(api_version: str, kind: str, name: str, owner: list[dict] | None = None) -> dict:
    meta = {"uid": f"uid-{name}", **({"ownerReferences": owner} if owner else {})}
    return kube(api_version, kind, name, meta=meta)


@pytest.mark.parametrize(
    ("pod_fields", "others", "expected"),
    [
        pytest.param({}, [], ("Pod", "p"), id="bare pod"),
        pytest.param(
            {"owner": controlled_by("ReplicaSet", "web-abc12")},
            [owned("apps/v1", "ReplicaSet", "web-abc12", controlled_by("Deployment", "web"))],
            ("Deployment", "web"),
            id="Deployment",
        ),
        pytest.param(
            {"owner": controlled_by("ReplicaSet", "web-abc12")},
            [owned("apps/v1", "ReplicaSet", "web-abc12", controlled_by("Rollout", "web"))],
            ("Rollout", "web"),
            id="another maker of ReplicaSets",
        ),
        pytest.param(
            {"owner": controlled_by("ReplicaSet", "rs")},
            [owned("apps/v1", "ReplicaSet", "rs")],
            ("ReplicaSet", "rs"),
            id="bare ReplicaSet",
        ),
        pytest.param(
            {"owner": controlled_by("Job", "nightly-29384756")},
            [owned("batch/v1", "Job", "nightly-29384756", controlled_by("CronJob", "nightly"))],
            ("CronJob", "nightly"),
            id="CronJob",
        ),
        pytest.param(
            {"owner": controlled_by("Job", "once")}, [owned("batch/v1", "Job", "once")], ("Job", "once"), id="Job"
        ),
        pytest.param(
            {"owner": controlled_by("Job", "backup-20240101")},
            [owned("batch/v1", "Job", "backup-20240101")],
            ("Job", "backup-20240101"),
            id="a Job that is there is believed, whatever its name",
        ),
        pytest.param(
            {"owner": controlled_by("StatefulSet", "db")},
            [owned("apps/v1", "StatefulSet", "db", controlled_by("Postgres", "pg"))],
            ("StatefulSet", "db"),
            id="StatefulSet, also where an operator owns it",
        ),
        pytest.param({"owner": controlled_by("DaemonSet", "agent")}, [], ("DaemonSet", "agent"), id="DaemonSet"),
        pytest.param(
            {"owner": controlled_by("ReplicationController", "rc")},
            [],
            ("ReplicationController", "rc"),
            id="ReplicationController",
        ),
        pytest.param({"owner": controlled_by("Node", "node-1")}, [], ("Pod", "p"), id="static pod"),
        # with the owner missing from the file
        pytest.param(
            {"owner": controlled_by("ReplicaSet", "web-abc12"), "labels": HASHED},
            [],
            ("Deployment", "web"),
            id="ReplicaSet missing",
        ),
        pytest.param(
            {"owner": controlled_by("ReplicaSet", "web-abc12")},
            [],
            ("ReplicaSet", "web-abc12"),
            id="ReplicaSet and hash missing",
        ),
        pytest.param(
            {"owner": controlled_by("ReplicaSet", "abc12"), "labels": HASHED},
            [],
            ("ReplicaSet", "abc12"),
            id="hash is no ending",
        ),
        pytest.param(
            {"owner": controlled_by("Job", "nightly-29384756")},
            [],
            ("CronJob", "nightly"),
            id="Job of a CronJob missing",
        ),
        pytest.param(
            {"owner": controlled_by("Job", "nightly-2938475")},
            [],
            ("Job", "nightly-2938475"),
            id="Job missing, seven digits",
        ),
    ],
)
def test_folding(pod_fields: dict, others: list[dict], expected: tuple[str, str]) -> None:
    """The workload is the same whether the owners are known before the pod or come after it."""
    workload = Workload(expected[0], "app", expected[1])
    objects = [decoded(pod("p", **pod_fields)), *map(decoded, others)]
    for order in (objects, objects[::-1]):
        model = ClusterModel()
        for each in order:
            model.upsert(each, now=1.0)
        assert [workload] == [each.workload for each in model.pods_of(Account("app", "default"))]


def test_an_owner_that_came_later_names_the_account() -> None:
    """Pods are emitted again when their ReplicaSet arrives, and not when it arrives a second time."""
    model = ClusterModel()
    model.upsert(decoded(pod("p", owner=controlled_by("ReplicaSet", "web-abc12"))), now=1.0)
    replica_set = decoded(owned("apps/v1", "ReplicaSet", "web-abc12", controlled_by("Deployment", "web")))
    assert {Account("app", "default")} == model.upsert(replica_set, now=2.0)
    assert set() == model.upsert(replica_set, now=3.0)


def test_an_owner_that_went_before_its_pod_is_not_forgotten_by_it() -> None:
    """A Job that is deleted while its pod still changes does not change whose pod it is."""
    model = ClusterModel()
    job = decoded(owned("batch/v1", "Job", "by-hand", controlled_by("CronJob", "nightly")))
    owner = controlled_by("Job", "by-hand")
    for each in (job, decoded(pod("p", owner=owner))):
        model.upsert(each, now=1.0)
    model.remove(job, now=2.0)
    model.upsert(decoded(pod("p", owner=owner, status={"phase": "Succeeded"})), now=3.0)
    (found,) = model.pods_of(Account("app", "default"))
    assert (found.workload, found.finished) == (Workload("CronJob", "app", "nightly"), True)
