"""All kinds watched from a fake API server into the cluster's actor: sync, staleness, what went, crashes, and the loop's peace."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from kube_objects import binding, controlled_by, pod, role
from live_kit import BY_KIND, LiveCluster, watch_all

from actors.cluster.feeds import CURRENT_AFTER_S
from actors.cluster.live.follow import SLICE
from actors.cluster.queries import ListEnded, ObjectsMoved
from actors.cluster.records import Binding, Pod, Role
from actors.evidence import Account, ObjectName
from actors.testing.kube import FakeKube

APPS = "apps/v1"


def small_kube() -> FakeKube:
    """A Deployment's pod, a role and a binding."""
    kube = FakeKube()
    meta = {"namespace": "app", "name": "web-1", "uid": "rs", "ownerReferences": controlled_by("Deployment", "web")}
    kube.put({"apiVersion": APPS, "kind": "ReplicaSet", "metadata": meta})
    kube.put(pod("web-1-a", owner=controlled_by("ReplicaSet", "web-1", "rs"), serviceAccountName="reader"))
    kube.put(role("r", [{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}]))
    kube.put(binding("b", "r", [{"kind": "ServiceAccount", "name": "reader", "namespace": "app"}]))
    return kube


def test_everything_is_read_and_in_sync() -> None:
    """Each kind says so, absent ones too; the pod is folded to its Deployment."""

    async def story(live: LiveCluster) -> None:
        status = await live.until(lambda s: live.model.synced and s.objects["Pod"].state == "watching")
        assert {kind: s.count for kind, s in status.objects.items() if s.count} == {
            "Pod": 1,
            "ReplicaSet": 1,
            "Role": 1,
            "RoleBinding": 1,
        }
        assert (status.objects["Gateway"].state, status.objects["Gateway"].is_settled) == ("absent", True)
        changes = await live.changes()
        assert changes.synced
        (found,) = [each for each in changes.records if isinstance(each, Pod)]
        assert (found.workload.kind, found.workload.name) == ("Deployment", "web")

    watch_all(story, small_kube())


def test_nobody_asks_for_secrets() -> None:
    """No request leads to Secrets."""
    kube = small_kube()

    async def story(live: LiveCluster) -> None:
        await live.until(lambda _: live.model.synced)

    watch_all(story, kube)
    assert not [request for request in kube.requests if "secrets" in request.path]


def test_what_may_not_be_read_holds_up_nothing() -> None:
    """A kind without permission is settled, and says what is missing."""
    kube = small_kube()
    kube.forbidden.add(("list", "ingresses"))

    async def story(live: LiveCluster) -> None:
        status = await live.until(lambda _: live.model.synced)
        ingress = status.objects["Ingress"]
        assert (ingress.synced, ingress.is_settled) == (False, True)
        assert ingress.why == "missing permission: list ingresses.networking.k8s.io in every namespace"

    watch_all(story, kube)


def test_not_in_sync_before_every_kind_was_read() -> None:
    """An outage of one kind alone: in sync as soon as it is over."""
    kube = small_kube()
    kube.fail(500, 5, where="/rolebindings")

    async def story(live: LiveCluster) -> None:
        status = await live.until(lambda s: s.objects["RoleBinding"].state == "failing" and s.objects["Pod"].synced)
        assert (status.objects["RoleBinding"].is_settled, live.model.synced) == (False, False)
        await live.until(lambda _: live.model.synced)

    watch_all(story, kube)


def test_no_read_is_judged_while_the_source_is_behind() -> None:
    """What the engine hears: in sync, not while a watch is away, and again when what was missed has had time to come."""

    async def story(live: LiveCluster) -> None:
        await live.until(lambda s: live.model.synced and s.objects["RoleBinding"].state == "watching")
        assert (await live.changes()).synced
        await live.kube.until(lambda: live.kube.watching("rolebindings") == 1)
        live.kube.forbidden.add(("watch", "rolebindings"))  # as an API server answers that has just started
        live.kube.cut_watches()
        await live.until(lambda s: s.objects["RoleBinding"].state == "forbidden")
        assert not (await live.changes()).synced
        live.kube.forbidden.clear()
        await live.until(lambda s: s.objects["RoleBinding"].state == "watching")
        assert not (await live.changes()).synced
        await trio.sleep(CURRENT_AFTER_S + 1.0)
        assert (await live.changes()).synced

    watch_all(story, small_kube(), tuple(BY_KIND[each] for each in ("Pod", "Role", "RoleBinding")))


def test_staleness_of_each_kind() -> None:
    """While the API server is away the ages grow; what was known stays."""

    async def story(live: LiveCluster) -> None:
        await live.until(lambda s: live.model.synced and s.objects["Pod"].state == "watching")
        live.kube.down()
        status = await live.until(lambda s: s.objects["Pod"].age_s > 300)
        assert (status.objects["Pod"].state, status.objects["Pod"].count) == ("failing", 1)

    watch_all(story, small_kube(), (BY_KIND["Pod"],))


def test_what_goes_is_remembered() -> None:
    """Gone by a watch event and gone between two lists: tombstones either way, and then forgotten."""

    async def story(live: LiveCluster) -> None:
        await live.until(lambda s: live.model.synced and s.objects["RoleBinding"].state == "watching")
        live.kube.delete(binding("b", "r", []))
        await live.until(lambda s: s.objects["RoleBinding"].count == 0)
        await live.kube.until(lambda: live.kube.watching("pods") == 1 and live.kube.watching("roles") == 1)
        live.kube.cut_watches()
        live.kube.delete(pod("web-1-a"))
        live.kube.delete(role("r", []))
        live.kube.compact()
        await live.until(lambda s: s.objects["Pod"].count == 0 and s.objects["Role"].count == 0)
        held = {type(each): each for each in (await live.changes()).records}
        assert all(held[kind].gone_at is not None for kind in (Pod, Role, Binding))
        await trio.sleep(700)
        assert live.model.pods_of(Account("app", "reader")) == ()

    watch_all(story, small_kube(), tuple(BY_KIND[each] for each in ("Pod", "Role", "RoleBinding")))


def test_a_role_that_changed_unseen_is_valid_from_when_it_was_last_known() -> None:
    """Between two lists nobody saw when: the new version counts from the last word before it."""

    async def story(live: LiveCluster) -> None:
        await live.until(lambda s: live.model.synced and s.objects["Role"].state == "watching")
        known = trio.current_time()
        live.kube.down()
        await trio.sleep(120)
        live.kube.put(role("r", []))
        live.kube.compact()
        async with trio.open_nursery() as nursery:
            await nursery.start(live.kube.serve)
            await live.until(lambda _: len(live.model._memory.versions(ObjectName("Role", "app", "r"))) == 2)
            old, new = live.model._memory.versions(ObjectName("Role", "app", "r"))
            assert new.valid_from - live.system.clock.now() < -100
            assert old.gone_at > new.valid_from
            nursery.cancel_scope.cancel()
        assert trio.current_time() - known > 100

    watch_all(story, small_kube(), (BY_KIND["Role"],))


@pytest.mark.parametrize("lost", [ObjectsMoved, ListEnded])
def test_a_crash_of_the_clusters_actor_in_a_list_ends_in_a_new_list(lost: type) -> None:
    """What it was handed may be lost: the watcher lists again, and everything is there in the end."""
    crashed: list[Any] = []

    def intercept(path: str, message: Any) -> None:
        if path.endswith("/cluster") and isinstance(message, lost) and not crashed:
            crashed.append(message)
            raise RuntimeError("a crash that the test wants")

    async def story(live: LiveCluster) -> None:
        await live.until(lambda _: live.model.synced)
        assert len((await live.changes()).records) == 3

    watch_all(story, small_kube(), intercept=intercept)
    assert crashed


@pytest.mark.slow
def test_a_large_list_never_holds_the_loop() -> None:
    """2,000 pods with a kilobyte of other people's fields each, in pages of 500: others run after every slice of them."""
    kube = FakeKube()
    kube.put(*(pod(f"p{i}", annotations={"x": "y" * 1000}) for i in range(2000)))
    steps: list[int] = []

    async def story(live: LiveCluster) -> None:
        async def look() -> None:
            known = 0
            while True:
                await trio.lowlevel.checkpoint()
                steps.append(len(live.model) - known)
                known += steps[-1]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            while (await live.status()).objects["Pod"].count < 2000:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    watch_all(story, kube)
    assert len(steps) > 2000 // (2 * SLICE)
    assert max(steps) <= 2 * SLICE
