"""What a cluster can be made of: sentences, kubectl's files, kustomize's and helm's manifests; recorded logs; what Hypothesis draws."""

from __future__ import annotations

import gzip
import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.cluster.decode import decode_json
from actors.cluster.raw import Skipped
from actors.testing import Cluster, open_protector
from actors.testing.objects import ClusterError
from actors.testing.posting import disordered
from actors.testing.strategies import Drawn, worlds
from actors.testing.times import seconds

CHART = """
# Source: shop/templates/web.yaml
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: db}}
    spec: {serviceAccountName: db, containers: [{name: db, image: x}]}
---
# an empty document, as templates leave behind
---
apiVersion: v1
kind: Secret
metadata: {name: db-creds, annotations: {last-applied: CANARY}}
data: {password: CANARY}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: shop-db}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: db, namespace: shop}
subjects: [{kind: ServiceAccount, name: db, namespace: shop}]
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: shop-db}
"""


def test_manifests_become_the_cluster_that_they_make(protector):
    """Namespaces, pods and accounts that a template leaves to the cluster; and never a Secret's value."""
    cluster = protector.session.cluster.load(CHART, namespace="shop")
    assert cluster.pods_of("shop/db") == ["db-1", "db-2"]
    assert "CANARY" not in cluster.text()
    assert "ClusterRole/shop-db" in cluster.objects
    protector.chain("StatefulSet/shop/db", "shop/db-creds", binding="RoleBinding/shop/db").exists()


def test_what_the_cluster_prints_loads_again_as_it_was(tmp_path):
    """kubectl's List as JSON, from a folder; nothing is grown, for everything is there."""
    first = Cluster().deployment("app/web", account="reader-sa", replicas=2, mounts=("tls", "smtp"))
    first.workload("CronJob", "app/report", "report").workload("Pod", "app/bare")
    (tmp_path / "cluster.json").write_text(first.text())
    assert first.objects == Cluster(2).load(tmp_path).objects
    assert first.workloads() == ["Deployment/app/web", "CronJob/app/report", "Pod/app/bare"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("a: [\nb", "the text is no YAML"),
        ("a: 1\n", "holds no Kubernetes object"),
        ("missing.yaml", "No such file"),
    ],
)
def test_what_cannot_be_loaded_says_so_in_one_line(source, says):
    """Never with the file's contents."""
    with pytest.raises(ClusterError, match=says) as failure:
        Cluster().load(source)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("text", "value"), [("5m", 300.0), ("1h30m", 5400.0), ("20ms", 0.02), ("-4.5s", -4.5), (7, 7.0)]
)
def test_durations_are_read_as_written(text, value):
    """With units, or a number of seconds."""
    assert value == pytest.approx(seconds(text))


@pytest.mark.parametrize("packed", [False, True])
def test_a_recorded_log_is_posted_as_if_it_were_now(protector, cluster, audit, tmp_path, packed):
    """JSON lines, gzipped or not; its last event is now, and one of six minutes before is not live any more."""
    cluster.deployment("app/web", account="reader-sa").role("app/reader", "get *").bind("app/reader")
    session = protector.session
    long_ago = session.now() - 1e6
    old = audit.get("app/old").by("app/reader-sa").events(cluster, long_ago - 360, session.chance)
    new = audit.get("app/new").by("app/reader-sa").events(cluster, long_ago, session.chance)
    lines = b"".join(
        msgspec.json.encode({"kind": "Event"} | msgspec.to_builtins(each)) + b"\n" for each in (*old, *new)
    )
    log = tmp_path / "audit.log"
    log.write_bytes(gzip.compress(lines) if packed else lines)
    assert protector.replay(log) == 2
    assert [each.secret.name for each in protector.evidence(live=True)] == ["new"]
    protector.access("app/reader-sa").has_read("app/old")
    (tmp_path / "empty").write_text("nothing\n")
    with pytest.raises(ValueError, match="holds no audit events"):
        protector.replay(tmp_path / "empty")


def test_a_log_can_keep_its_own_time(protector, cluster, audit, clock, tmp_path):
    """The clock is set to the log's end instead."""
    cluster.deployment("app/web", account="reader-sa").role("app/reader", "get *").bind("app/reader")
    then = clock.now() - 1e6
    (event,) = audit.get("app/s").by("app/reader-sa").events(cluster, then, protector.session.chance)
    (tmp_path / "log").write_text(json.dumps({"kind": "Event"} | msgspec.to_builtins(event)) + "\n")
    protector.replay(tmp_path / "log", as_recorded=True)
    assert then == pytest.approx(clock.now(), abs=1.0)
    protector.chain("app/web", "app/s").is_lit()


def test_disorder_is_the_same_events_in_another_order_some_twice(cluster, audit, protector):
    """And loses nothing: the order in which events come decides nothing."""
    cluster.deployment("app/web", account="reader-sa").role("app/reader", "get *").bind("app/reader")
    session = protector.session
    events = [
        e
        for n in range(20)
        for e in audit.get(f"app/s{n}").by("app/reader-sa").events(cluster, session.now(), session.chance)
    ]
    found = disordered(events, session.chance, repeats=0.3)
    assert {e.audit_id for e in events} == {e.audit_id for e in found}
    assert len(found) > len(events)
    protector.post(*found)
    protector.assert_nothing_lost()


@given(worlds())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_drawn_loses_nothing(drawn: Drawn):
    """Any cluster of the strategies, and any requests in it, posted at once and then let expire."""
    with open_protector() as world:
        drawn.build(world.cluster)
        assert not [
            i
            for i in world.cluster.items
            if isinstance(decode_json(json.dumps(i).encode()), Skipped) and i["kind"] == "Pod"
        ]
        world.protector.post(*drawn.sentences)
        world.protector.assert_nothing_lost()
        world.clock.advance("20m")
        world.protector.assert_nothing_lost()
        world.protector.assert_mailboxes_bounded()


@given(st.data())
@settings(max_examples=5, deadline=None)
def test_a_drawn_request_says_what_it_is(data):
    """Its text is what a failure shows."""
    drawn = data.draw(worlds())
    assert all(sentence.verb in str(sentence) and sentence.secret in str(sentence) for sentence in drawn.sentences)
