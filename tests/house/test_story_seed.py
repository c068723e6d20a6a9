"""The change that protector grew out of, told again end to end: from the body of a POST to chains. Virtual time, no sockets.

Each test of its audit feed that is not of a single part has its counterpart here under its own name; and the negatives: what a
read must never light.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
import trio
from pipeline_kit import House, play
from small_cluster import Acts, ClusterFile, batch, changed

SETTLE_S = 2.0
TTL_S = 300.0


@pytest.fixture
def cluster() -> ClusterFile:
    """One Deployment app/web of app/reader-sa; each test adds what it is about."""
    cluster = ClusterFile()
    cluster.account("app/reader-sa")
    cluster.deployment("app/web", "reader-sa")
    return cluster


class Play:
    """A house and those who act in it; `tell` posts events of now and lets them be heard."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.acts = Acts(house.cluster)

    def read(self, who: str, verb: str, secret: str, **more: Any) -> Any:
        return self.acts.read(who, verb, secret, self.house.now() - more.pop("ago_s", 1.0), **more)

    async def tell(self, *events: Any) -> Any:
        answer = await self.house.post(batch(*events))
        await trio.sleep(SETTLE_S)
        return answer

    async def lit(self) -> set[tuple[str, str | None, str]]:
        return await self.house.lit()


def told(cluster: ClusterFile, story: Callable[[Play], Awaitable[Any]]) -> Any:
    """What the story returns, told ten seconds after the start."""

    async def whole(house: House) -> Any:
        await trio.sleep(10)
        return await story(Play(house))

    return play(House(cluster), whole)


# --- the parser and the window ------------------------------------------------------------------------------------


def test_a_bare_single_event_is_also_accepted(cluster: ClusterFile) -> None:
    """Seed, audit 11, a_bare_single_event_is_also_accepted: one event as the body is one read, and lights its chain."""
    cluster.grant("app/read", "app/reader-sa", "get", ("db-creds",))

    async def story(p: Play) -> Any:
        event = changed(p.read("Deployment/app/web", "get", "app/db-creds"))
        answer = await p.house.post(msgspec.json.encode({"kind": "Event", "apiVersion": "audit.k8s.io/v1"} | event))
        await trio.sleep(SETTLE_S)
        return answer.reads, await p.lit()

    assert told(cluster, story) == (1, {("web", "read", "app/db-creds")})


def test_reads_expire_after_the_ttl(cluster: ClusterFile) -> None:
    """Seed, audit 12, reads_expire_after_the_ttl: lit at +60 s, dark at +301 s, and the flip log says so with no other event."""
    cluster.grant("app/read", "app/reader-sa", "get", ("db-creds",))

    async def story(p: Play) -> Any:
        await p.tell(p.read("Deployment/app/web", "get", "app/db-creds", ago_s=0))
        await trio.sleep(60 - SETTLE_S)
        early = len(await p.lit())
        await trio.sleep(241)
        said = [line["event"] for line in p.house.lines]
        return early, len(await p.lit()), said

    assert told(cluster, story) == (1, 0, ["chain.corroborated", "chain.expired"])


def test_repeat_read_is_not_a_change_but_refreshes_ttl(cluster: ClusterFile) -> None:
    """Seed, audit 13, repeat_read_is_not_a_change_but_refreshes_ttl: new, not new at +290 s, lit still at +400 s; a watch is new."""
    cluster.grant("app/read", "app/reader-sa", "get,watch")

    async def story(p: Play) -> Any:
        first = await p.tell(p.read("Deployment/app/web", "get", "app/db-creds", ago_s=0))
        await trio.sleep(290 - SETTLE_S)
        again = await p.tell(p.read("Deployment/app/web", "get", "app/db-creds", ago_s=0))
        await trio.sleep(110 - SETTLE_S)
        lit = len(await p.lit())
        watch = await p.tell(p.read("Deployment/app/web", "watch", "app/*", ago_s=0))
        said = [line["event"] for line in p.house.lines]
        return first.new, again.new, lit, watch.new, len(await p.house.evidence(live=True)), said

    assert told(cluster, story) == (1, 0, 1, 1, 2, ["chain.corroborated"])


# --- who carries a read ---------------------------------------------------------------------------------------------


def test_api_read_attaches_to_the_workload_running_as_the_sa(cluster: ClusterFile) -> None:
    """Seed, adapter 1, api_read_attaches_to_the_workload_running_as_the_sa: exactly web carries exactly this read."""
    cluster.account("app/other-sa")
    cluster.deployment("app/bystander", "other-sa")

    async def story(p: Play) -> Any:
        await p.tell(p.read("app/reader-sa", "get", "app/db-creds"))
        return [
            ([w.name for w in piece.workloads], piece.behavior.kind, piece.behavior.secret, piece.behavior.source)
            for piece in await p.house.evidence()
        ]

    assert told(cluster, story) == [(["web"], "secret_read", "app/db-creds", "api")]


def test_api_read_corroborates_the_rbac_granted_chain_end_to_end(cluster: ClusterFile) -> None:
    """Seed, adapter 2, api_read_corroborates_the_rbac_granted_chain_end_to_end: web -> app/db-creds, T1552, corroborated."""
    cluster.grant("app/read", "app/reader-sa", "get", ("db-creds",))

    async def story(p: Play) -> Any:
        before = [chain.corroborated for chain in await p.house.chains()]
        await p.tell(p.read("app/reader-sa", "get", "app/db-creds"))
        (chain,) = await p.house.chains()
        objective = (chain.objective.namespace, chain.objective.name)
        return before, chain.entry.name, chain.reach, objective, chain.technique, chain.corroborated

    assert told(cluster, story) == ([False], "web", "rbac-granted", ("app", "db-creds"), "T1552", True)


def test_a_read_for_an_unmodeled_sa_corroborates_nothing(cluster: ClusterFile) -> None:
    """Seed, adapter 3, a_read_for_an_unmodeled_sa_corroborates_nothing: other-sa's read is shown, and web's chain stays dark."""
    cluster.grant("app/read", "app/reader-sa", "get", ("db-creds",))

    async def story(p: Play) -> Any:
        await p.tell(p.read("app/other-sa", "get", "app/db-creds"))
        return await p.lit(), [piece.attribution for piece in await p.house.evidence()]

    assert told(cluster, story) == (set(), ["podless"])


def test_an_sa_backing_many_pods_corroborates_all_of_them_not_one(cluster: ClusterFile) -> None:
    """Seed, adapter 4, an_sa_backing_many_pods_corroborates_all_of_them_not_one: a read that names no pod lights web and web-2."""
    cluster.deployment("app/web-2", "reader-sa")
    cluster.grant("app/read", "app/reader-sa", "get", ("db-creds",))

    async def story(p: Play) -> Any:
        await p.tell(p.read("app/reader-sa", "get", "app/db-creds"))
        return {name for name, _, _ in await p.lit()}

    assert told(cluster, story) == {"web", "web-2"}


# --- what it corroborates ---------------------------------------------------------------------------------------------


def test_secret_read_corroborates_credential_access(cluster: ClusterFile) -> None:
    """Seed, proof 1, secret_read_corroborates_credential_access, as far as the audit feed goes: by get, list and watch alike."""
    cluster.grant("app/read", "app/reader-sa", "get,list,watch")

    async def story(p: Play, verb: str, secret: str) -> Any:
        await p.tell(p.read("Deployment/app/web", verb, secret))
        return [(c.technique, c.corroborated, c.corroborated_by) for c in await p.house.chains()]

    for verb, secret in (("get", "app/db-creds"), ("list", "app/*"), ("watch", "app/*")):
        found = told(cluster, lambda p, verb=verb, secret=secret: story(p, verb, secret))
        assert found == [("T1552", True, ["read"])], verb


def test_behavior_does_not_corroborate_unrelated_objective(cluster: ClusterFile) -> None:
    """Seed, proof 2, behavior_does_not_corroborate_unrelated_objective: of a workload's chains only the one that was used."""
    for name in ("db-creds", "smtp"):
        cluster.grant(f"app/read-{name}", "app/reader-sa", "get", (name,))
    cluster.grant("app/list", "app/reader-sa", "list")

    async def story(p: Play) -> Any:
        await p.tell(p.read("Deployment/app/web", "get", "app/db-creds"))
        return len(await p.house.chains()), await p.lit()

    assert told(cluster, story) == (3, {("web", "read-db-creds", "app/db-creds")})


# --- the negatives -------------------------------------------------------------------------------------------------------


def test_reading_secret_a_never_lights_secret_b(cluster: ClusterFile) -> None:
    """Neither another name's chain, nor B inside the wildcard chain that the read of A lights."""
    cluster.grant("app/all", "app/reader-sa", "get")
    cluster.grant("app/only-b", "app/reader-sa", "get", ("b",))
    for name in ("a", "b"):
        cluster.add("v1", "Secret", f"app/{name}", type="Opaque")

    async def story(p: Play) -> Any:
        await p.tell(p.read("Deployment/app/web", "get", "app/a"))
        (wide,) = [chain for chain in await p.house.chains() if chain.objective.name is None]
        return await p.lit(), {secret.name: secret.corroborated for secret in wide.secrets}

    assert told(cluster, story) == ({("web", "all", "app/*")}, {"a": True, "b": False})


def test_an_api_read_never_lights_a_mount_chain() -> None:
    """The workload mounts the Secret that it also reads through the API: only the granted chain is lit."""
    cluster = ClusterFile()
    cluster.account("app/reader-sa")
    cluster.deployment("app/web", "reader-sa", mounts="db-creds")
    cluster.grant("app/read", "app/reader-sa", "get", ("db-creds",))

    async def story(p: Play) -> Any:
        await p.tell(p.read("Deployment/app/web", "get", "app/db-creds"))
        return {chain.reach: chain.corroborated for chain in await p.house.chains()}

    assert told(cluster, story) == {"rbac-granted": True, "mounted": False}


def test_an_event_naming_pod_1_never_lights_pod_2(cluster: ClusterFile) -> None:
    """Two workloads of one account: the read with the first's token lights the first alone."""
    cluster.deployment("app/web-2", "reader-sa")
    cluster.grant("app/read", "app/reader-sa", "get")

    async def story(p: Play) -> Any:
        await p.tell(p.read("Deployment/app/web-2", "get", "app/db-creds"))
        return {name for name, _, _ in await p.lit()}, [piece.attribution for piece in await p.house.evidence()]

    assert told(cluster, story) == ({"web-2"}, ["exact"])


def test_a_namespace_list_never_lights_a_resource_names_grant(cluster: ClusterFile) -> None:
    """A list of the whole namespace used the grant of the collection, neither that of one name nor that of get."""
    cluster.grant("app/list", "app/reader-sa", "list")
    cluster.grant("app/named", "app/reader-sa", "get,list", ("db-creds",))
    cluster.grant("app/get", "app/reader-sa", "get")

    async def story(p: Play) -> Any:
        await p.tell(p.read("Deployment/app/web", "list", "app/*"))
        return await p.lit()

    assert told(cluster, story) == {("web", "list", "app/*")}


def test_a_cluster_wide_list_never_lights_a_role_binding(cluster: ClusterFile) -> None:
    """A request for every namespace used the ClusterRoleBinding."""
    cluster.grant("app/list", "app/reader-sa", "list")
    cluster.grant("everywhere", "app/reader-sa", "list")

    async def story(p: Play) -> Any:
        await p.tell(p.read("Deployment/app/web", "list", "*"))
        return await p.lit()

    assert told(cluster, story) == {("web", "everywhere", "*/*")}


@pytest.mark.parametrize(
    "how",
    [{"code": 403}, {"code": 404}, {"code": 500}, {"acting": "app/reader-sa"}],
    ids=["denied", "not found", "failed", "impersonated"],
)
def test_what_gave_nothing_or_was_anothers_right_lights_nothing(cluster: ClusterFile, how: dict[str, Any]) -> None:
    """Denied, failed and borrowed requests of a workload that may read."""
    cluster.grant("app/read", "app/reader-sa", "get")

    async def story(p: Play) -> Any:
        answer = await p.tell(p.read("Deployment/app/web", "get", "app/db-creds", **how))
        return answer.reads, sum(answer.dropped.values()), await p.lit()

    assert told(cluster, story) == (0, 1, set())
