"""Behaviors through the whole pipeline: from a report to lit chains, through crashes, and against an agent that lies."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from pipeline_kit import Crashes, House, play
from small_cluster import Acts, ClusterFile, batch, small_cluster

CHAINS_OF_WEB = {("web", None, "app/db-creds"), ("web", "reader-get", "app/db-creds")}
MOUNT_OF_WEB = ("web", None, "app/db-creds")


def pods_of(cluster: ClusterFile, name: str) -> list[dict[str, Any]]:
    """The pods of the Deployment app/<name>."""
    return [
        item["metadata"]
        for item in cluster.items
        if item["kind"] == "Pod" and item["metadata"]["labels"] == {"app": name}
    ]


def mounting_cluster() -> ClusterFile:
    """The small cluster; the volumes of its pods are mounted at /etc/keys."""
    cluster = small_cluster()
    for item in cluster.items:
        if item["kind"] == "Pod" and "volumes" in item["spec"]:
            item["spec"]["containers"][0]["volumeMounts"] = [{"name": "keys", "mountPath": "/etc/keys"}]
    return cluster


def of(pod: dict[str, Any], kind: str, **fields: Any) -> dict[str, Any]:
    return {"pod_uid": pod["uid"], "behavior": {"kind": kind} | fields}


async def settled(house: House) -> set[Any]:
    """What is lit when everything that was said has been heard."""
    await trio.sleep(2)
    return await house.lit()


def test_a_file_read_lights_its_mount_and_an_alert_everything_of_its_workload():
    """The seed's chain end to end, once for each way; and back to dark by time alone."""
    cluster = mounting_cluster()
    web, _ = pods_of(cluster, "web")

    async def story(house: House) -> tuple[Any, ...]:
        answer = await house.report(
            of(web, "file_read", path="/etc/keys/password"), of(web, "file_read", path="/etc/passwd")
        )
        first = await settled(house)
        named = {"namespace": "app", "pod": web["name"], "behavior": {"kind": "alert", "rule": "Shell"}}
        await house.report(named)
        second = await settled(house)
        evidence = {(e.attribution, e.behavior.kind) for e in await house.evidence()}
        await trio.sleep(310)
        return answer, first, second, evidence, await house.lit()

    house = House(cluster)
    answer, first, second, evidence, last = play(house, story)
    assert (answer.events, answer.taken, answer.reads, answer.new, answer.dropped) == (2, 1, 1, 1, {"other_file": 1})
    assert {MOUNT_OF_WEB} == first
    assert second == CHAINS_OF_WEB
    assert {("exact", "secret_read"), ("named", "alert")} == evidence
    assert set() == last
    flips = [(line["event"], line["service_account"], line.get("corroborated_by")) for line in house.lines]
    assert flips[0] == ("chain.corroborated", None, ["mounted_read"])
    assert flips[1] == ("chain.corroborated", "app/reader", ["alert"])
    assert {"chain.expired"} == {event for event, _, _ in flips[2:]}


def test_api_reads_and_behaviors_are_told_apart_on_one_chain():
    """`corroborated_by` names each."""
    cluster = mounting_cluster()
    web, _ = pods_of(cluster, "web")

    async def story(house: House) -> list[Any]:
        acts = Acts(cluster)
        await house.post(
            batch(acts.read("Deployment/app/web", "get", "app/db-creds", house.now(), by="RoleBinding/app/reader-get"))
        )
        await house.report(of(web, "process_exec", path="/bin/bash"))
        await settled(house)
        return [
            (c.reach, c.corroboration, c.corroborated_by) for c in await house.chains(namespace="app") if c.corroborated
        ]

    assert play(House(cluster), story) == [
        ("rbac-granted", "proven", ["read", "exec"]),
        ("mounted", "possible", ["exec"]),
    ]


@pytest.mark.parametrize("victim", ["behaviors", "engine", "cluster", "announcer"])
def test_a_crash_of_any_part_converges_to_the_same(victim):
    """Whoever fails, at its first messages or later: the chains are lit, and each flip is said once."""
    cluster = mounting_cluster()
    web, other = pods_of(cluster, "web")
    for at in range(1, 4):
        house = House(cluster, crashes=Crashes({victim: (at, at + 3)}))

        async def story(house: House) -> set[Any]:
            await house.report(of(web, "secret_read", secret="db-creds"))
            await trio.sleep(5)
            await house.report(of(other, "alert", rule="Shell"))
            await trio.sleep(30)
            return await house.lit()

        assert play(house, story) == CHAINS_OF_WEB, f"{victim} fails at {at}"
        assert house.crashes.done, f"{victim} never failed at {at}"
        assert 2 == len({line["chain"] for line in house.lines}) == len(house.lines)


def test_a_lying_agent_forges_no_api_read_and_touches_no_other_pods_mounts():
    """What it may say is of the pod that it names: what that pod mounts, and nothing that the API server alone can say."""
    cluster = mounting_cluster()
    (audit,) = pods_of(cluster, "audit")  # mounts nothing
    web, _ = pods_of(cluster, "web")
    lies = [
        of(web, "secret_read", secret="app/db-creds", source="api"),
        of(audit, "secret_read", secret="app/db-creds"),
        of(audit, "secret_read", secret="db-creds"),
        of(audit, "file_read", path="/etc/keys/password"),
        of(web, "secret_read", secret="ops/db-creds"),
        of(web, "file_read", path="/etc/keys/../keysx/password"),
        {"pod_uid": "made-up", "behavior": {"kind": "alert", "rule": "x"}},
        {"namespace": "ops", "pod": web["name"], "behavior": {"kind": "alert", "rule": "x"}},
        {"pod_uid": "made-up", "namespace": "app", "pod": web["name"], "behavior": {"kind": "alert", "rule": "x"}},
    ]  # fmt: skip

    async def story(house: House) -> tuple[Any, ...]:
        answer = await house.report(*lies)
        return answer, await settled(house), await house.evidence()

    answer, lit, evidence = play(House(cluster), story)
    assert (9, 0, set(), []) == (answer.events, answer.taken, lit, evidence)
    assert answer.dropped == {"api_source": 1, "not_mounted": 3, "other_file": 2, "unknown_pod": 3}


def test_a_flood_of_one_pod_costs_the_others_nothing():
    """The pod's own bound is reached, counted; what another pod did stays lit."""
    cluster = mounting_cluster()
    web, other = pods_of(cluster, "web")

    async def story(house: House) -> Any:
        await house.report(of(web, "secret_read", secret="db-creds"))
        for _ in range(3):
            await house.report(*[of(other, "library_loaded", name=f"{n}.so") for n in range(3000)])
        return await settled(house)

    house = House(cluster)
    assert MOUNT_OF_WEB in play(house, story)
    counts = house.acts.statistics()
    assert (counts.acts, counts.taken) == (65, 9001)
    assert counts.evicted == 9000 - 64


def test_falco_alerts_come_in_by_priority():
    """Critical lights the workload's chains, a warning nothing; both are answered."""
    cluster = mounting_cluster()
    web, _ = pods_of(cluster, "web")
    fields = {"k8s.ns.name": "app", "k8s.pod.name": web["name"]}

    async def story(house: House) -> tuple[Any, ...]:
        warning = await house.report({"rule": "a", "priority": "Warning", "output_fields": fields}, falco=True)
        before = await settled(house)
        critical = await house.report({"rule": "a", "priority": "Critical", "output_fields": fields}, falco=True)
        return warning.dropped, before, critical.taken, await settled(house)

    assert ({"priority": 1}, set(), 1, CHAINS_OF_WEB) == play(House(cluster), story)


def test_a_late_report_lights_nothing_and_a_future_one_no_longer_than_others():
    """Times are the sensor's; they are clamped to now, and what is past its TTL is counted late."""
    cluster = mounting_cluster()
    web, _ = pods_of(cluster, "web")

    async def story(house: House) -> tuple[Any, ...]:
        now_ms = int(house.now() * 1000)
        late = await house.report(of(web, "alert", rule="x") | {"observed_at_ms": now_ms - 400_000})
        await house.report(of(web, "alert", rule="y") | {"observed_at_ms": now_ms + 10**12})
        lit = await settled(house)
        await trio.sleep(310)
        return late.dropped, lit, await house.lit()

    assert ({"late": 1}, CHAINS_OF_WEB, set()) == play(House(cluster), story)
