"""The model joins objects, remembers what went, and says exactly what changed."""

from __future__ import annotations

import math

import pytest
from kube_objects import binding, controlled_by, decoded, kube, pod, role, rule, snapshot

from actors.cluster import memory
from actors.cluster.memory import CHANGES_MAX
from actors.cluster.model import MEMORY_EXTRA_S, ClusterModel
from actors.cluster.records import Binding, Pod, Record, Role, Route
from actors.evidence import Account, ObjectName
from actors.messages import ClusterChanges

APP = Account("app", "default")
SUBJECT = [{"kind": "ServiceAccount", "name": "sa"}]
FORGOTTEN_S = 300.0 + MEMORY_EXTRA_S


def model_of(*values: dict, now: float = 0.0) -> ClusterModel:
    model = ClusterModel(ttl_s=300.0)
    for each in values:
        model.upsert(decoded(each), now)
    return model


def changes(model: ClusterModel, after: ClusterChanges | None = None) -> ClusterChanges:
    return model.changes_since(after.epoch, after.version) if after else model.changes_since(0, 0)


def times(records: tuple[Record, ...]) -> list[tuple[float, float | None]]:
    return [(each.valid_from, each.gone_at) for each in records if isinstance(each, (Role, Binding))]


# --- pods and their accounts -----------------------------------------------------------------------------------------


def test_a_pod_reports_its_account_only_when_it_changes() -> None:
    """The same pod again, with other fields that are not kept, is no change."""
    model = ClusterModel()
    assert {APP} == model.upsert(decoded(pod("p")), 1.0)
    assert set() == model.upsert(decoded(pod("p", annotations={"x": "y"})), 2.0)
    assert {APP} == model.upsert(decoded(pod("p", status={"phase": "Succeeded"})), 3.0)


@pytest.mark.parametrize("account_first", [True, False])
def test_automount_off_on_the_account_reaches_its_pods(account_first: bool) -> None:
    """G15: where the pod does not say, its ServiceAccount does, whichever comes first."""
    account = kube("v1", "ServiceAccount", "default", automountServiceAccountToken=False)
    said = pod("said", automountServiceAccountToken=True)
    model = model_of(*([account, pod("p"), said] if account_first else [pod("p"), said, account]))
    assert {each.name: each.bound_token for each in model.pods_of(APP)} == {"p": False, "said": True}


def test_an_account_that_turns_automount_off_changes_its_pods() -> None:
    """The change of the ServiceAccount names the account; a second time it does not."""
    model = model_of(pod("p"))
    account = decoded(kube("v1", "ServiceAccount", "default", automountServiceAccountToken=False))
    assert ({APP}, set()) == (model.upsert(account, 1.0), model.upsert(account, 2.0))


def test_a_deleted_pod_is_remembered_and_then_forgotten() -> None:
    """TTL + 300 s after it went, and not earlier; its account hears of both."""
    model = model_of(pod("p"))
    assert {APP} == model.remove(decoded(pod("p")), 100.0)
    assert [each.gone_at for each in model.pods_of(APP)] == [100.0]
    assert set() == model.expire(100.0 + FORGOTTEN_S - 0.1)
    assert {APP} == model.expire(100.0 + FORGOTTEN_S)
    assert model.pods_of(APP) == ()
    assert model.accounts() == ()


def test_a_pod_that_comes_back_is_live() -> None:
    """A tombstone that was premature does not outlive the pod."""
    model = model_of(pod("p"))
    model.remove(decoded(pod("p")), 100.0)
    model.upsert(decoded(pod("p")), 110.0)
    model.expire(1e9)
    assert [each.gone_at for each in model.pods_of(APP)] == [None]


def test_removing_what_is_unknown_or_gone_changes_nothing() -> None:
    """A second deletion does not move the time of the first."""
    model = model_of(pod("p"))
    model.remove(decoded(pod("p")), 100.0)
    assert set() == model.remove(decoded(pod("p")), 200.0) | model.remove(decoded(pod("other")), 200.0)
    assert [each.gone_at for each in model.pods_of(APP)] == [100.0]


def test_a_pod_of_another_account_under_the_same_uid() -> None:
    """Files are not trusted to be consistent: both accounts hear of it."""
    model = model_of(pod("p", uid="u"))
    other = Account("app", "other")
    assert {APP, other} == model.upsert(decoded(pod("p", uid="u", serviceAccountName="other")), 1.0)
    assert (model.pods_of(APP), len(model.pods_of(other))) == ((), 1)


# --- versions of roles and bindings --------------------------------------------------------------------------------------


def test_a_changed_role_keeps_its_old_version() -> None:
    """The replaced rules stay as a tombstone beside the live ones, under the same key."""
    model = model_of(role("r", [rule("get")]))
    first = changes(model)
    model.upsert(decoded(role("r", [rule("list")])), 50.0)
    found = changes(model, first).records
    assert times(found) == [(0.0, 50.0), (50.0, None)]
    assert [each.rules[0].verbs for each in found if isinstance(each, Role) and each.rules] == [("get",), ("list",)]


def test_labels_are_no_new_version_of_a_role() -> None:
    """What grants nothing is replaced in place, and is a change all the same."""
    model = model_of(role("r", [rule("get")]))
    first = changes(model)
    model.upsert(decoded(role("r", [rule("get")], meta={"labels": {"a": "b"}})), 50.0)
    assert times(changes(model, first).records) == [(0.0, None)]


def test_a_binding_deleted_and_made_again() -> None:
    """Both lives are held, until the first is forgotten."""
    model = model_of(binding("b", "r", SUBJECT))
    model.remove(decoded(binding("b", "r", SUBJECT)), 10.0)
    model.upsert(decoded(binding("b", "r", SUBJECT)), 20.0)
    first = changes(model)
    assert times(first.records) == [(0.0, 10.0), (20.0, None)]
    model.expire(10.0 + FORGOTTEN_S)
    second = changes(model, first)
    assert (times(second.records), second.forgotten) == ([(20.0, None)], ())


def test_a_source_that_watches_says_since_when() -> None:
    """A binding seen to be made is valid from then on."""
    model = ClusterModel()
    model.upsert(decoded(binding("b", "r", SUBJECT)), 70.0, 69.0)
    assert times(changes(model).records) == [(69.0, None)]


def test_versions_of_one_role_are_bounded() -> None:
    """A role that changes all the time loses its oldest versions, counted."""
    model = model_of(*(role("r", [rule("get", names=[f"s{n}"])]) for n in range(memory.VERSIONS_MAX + 3)))
    assert len(changes(model).records) == memory.VERSIONS_MAX + 1
    assert model.statistics().versions_dropped == 2


def test_tombstones_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest is forgotten early, counted, and said."""
    monkeypatch.setattr(memory, "TOMBSTONES_MAX", 2)
    model = model_of(*(pod(f"p{n}") for n in range(3)))
    first = changes(model)
    for n in range(3):
        model.remove(decoded(pod(f"p{n}")), float(n))
    assert changes(model, first).forgotten == ("uid-p0",)
    assert (model.statistics().tombstones, model.statistics().tombstones_dropped, len(model.pods_of(APP))) == (2, 1, 2)


# --- routes ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gateway_first", [True, False])
def test_a_route_has_its_gateways_addresses(gateway_first: bool) -> None:
    """Whichever comes first; and it loses them with the Gateway."""
    gateway = kube(
        "gateway.networking.k8s.io/v1", "Gateway", "gw", "infra", status={"addresses": [{"value": "203.0.113.9"}]}
    )
    spec = {"parentRefs": [{"name": "gw", "namespace": "infra"}], "rules": [{"backendRefs": [{"name": "web"}]}]}
    route = kube("gateway.networking.k8s.io/v1", "HTTPRoute", "r", spec=spec)
    model = model_of(*([gateway, route] if gateway_first else [route, gateway]))
    assert (Route("HTTPRoute", "app", "r", (("app", "web"),), ("203.0.113.9",), "Gateway infra/gw"),) == changes(
        model
    ).records
    model.remove(decoded(gateway), 1.0)
    assert [each.addresses for each in changes(model).records if isinstance(each, Route)] == [()]
    model.remove(decoded(route), 2.0)
    model.expire(2.0 + FORGOTTEN_S)
    model.upsert(decoded(gateway), 1000.0)
    assert changes(model).records == ()


# --- what changed since --------------------------------------------------------------------------------------------------------


def test_everything_comes_first_and_then_what_changed() -> None:
    """(0, 0) and a foreign epoch get everything; later answers hold the changes alone."""
    model = model_of(pod("p"), pod("q"), role("r", []))
    first = changes(model)
    assert (first.full, len(first.records), first.more) == (True, 3, False)
    assert (changes(model, first).records, changes(model, first).full) == ((), False)
    model.upsert(decoded(pod("p", status={"phase": "Failed"})), 1.0)
    assert [each.name for each in changes(model, first).records if isinstance(each, Pod)] == ["p"]
    assert model.changes_since(first.epoch + 1, first.version).full
    assert model.changes_since(first.epoch, 10**9).full


def test_pages_end_between_keys() -> None:
    """A long answer comes in parts, oldest change first, and what changes meanwhile comes in a later part."""
    model = model_of(*(role(f"r{n}", [rule("get")]) for n in range(5)))
    model.upsert(decoded(role("r1", [rule("list")])), 9.0)
    part = model.changes_since(0, 0, limit=2)
    assert ([each.name.name for each in part.records], part.full, part.more) == (["r0", "r2"], True, True)  # type: ignore[union-attr] # roles
    model.upsert(decoded(role("r0", [rule("watch")])), 10.0)
    seen = []
    while part.more:
        part = model.changes_since(part.epoch, part.version, limit=2)
        seen.append([each.name.name for each in part.records])  # type: ignore[union-attr] # roles
        assert not part.full
    assert seen == [["r3", "r4"], ["r1", "r1"], ["r0", "r0"]]


def test_what_was_forgotten_is_said_once_asked() -> None:
    """Who asked before hears of it; who begins anew needs not."""
    model = model_of(role("r", []))
    first = changes(model)
    model.remove(decoded(role("r", [])), 1.0)
    model.expire(1e6)
    assert (ObjectName("Role", "app", "r"),) == changes(model, first).forgotten
    assert (changes(model).records, changes(model).forgotten) == ((), ())


def test_too_much_forgotten_begins_a_new_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound everybody begins anew, which ends, and nothing is lost."""
    monkeypatch.setattr("actors.cluster.changes.FORGOTTEN_MAX", 2)
    model = model_of(*(role(f"r{n}", []) for n in range(4)))
    first = changes(model)
    for n in range(3):
        model.remove(decoded(role(f"r{n}", [])), 1.0)
    model.expire(1e6)
    second = changes(model, first)
    assert (second.full, len(second.records), model.statistics().epochs_ended) == (True, 1, 1)
    assert not changes(model, second).full


def test_an_answer_costs_what_changed() -> None:
    """Of many objects only the changed one is looked at."""
    model = model_of(*(role(f"r{n}", []) for n in range(200)))
    first = changes(model)
    model.upsert(decoded(role("r7", [rule("get")])), 1.0)
    assert len(list(model._memory.log.since(first.version))) == 1


def test_a_large_cluster_comes_in_parts() -> None:
    """No answer holds more than CHANGES_MAX records, so that no part holds up the loop for long; together they are everything."""
    model = model_of(*(role(f"r{n}", []) for n in range(2 * CHANGES_MAX + 3)))
    answers = [changes(model)]
    while answers[-1].more:
        answers.append(changes(model, answers[-1]))
    assert [len(each.records) for each in answers] == [CHANGES_MAX, CHANGES_MAX, 3]
    assert len({record.key for each in answers for record in each.records}) == 2 * CHANGES_MAX + 3


# --- snapshots ------------------------------------------------------------------------------------------------------------------


def test_a_snapshot_is_valid_from_the_beginning() -> None:
    """Nobody knows since when a file's objects are there: valid_from is 0.0."""
    model = ClusterModel()
    assert {APP} == model.load([snapshot(pod("p"), role("r", []))], 1000.0)
    assert times(changes(model).records) == [(0.0, None)]
    assert (model.synced, model.current_at) == (True, 1000.0)


def test_of_several_snapshots_the_later_wins() -> None:
    """An object in both is as the later has it, without a remembered version."""
    model = ClusterModel()
    model.load([snapshot(role("r", [rule("get")])), snapshot(role("r", [rule("list")]))], 1.0)
    (found,) = changes(model).records
    assert isinstance(found, Role)
    assert found.rules
    assert (found.rules[0].verbs, found.valid_from, found.gone_at) == (("list",), 0.0, None)


def test_what_only_an_earlier_snapshot_has_is_remembered_for_ever() -> None:
    """It is marked as gone at no time that ends; what came back in a third is live."""
    model = ClusterModel()
    model.load(
        [snapshot(pod("a"), pod("b"), role("r", [])), snapshot(pod("c"), role("s", [])), snapshot(pod("b"))], 1.0
    )
    model.expire(1e12)
    assert {"a": math.inf, "b": None, "c": math.inf} == {each.name: each.gone_at for each in model.pods_of(APP)}
    assert {"r": math.inf, "s": None} == {
        each.name.name: each.gone_at for each in changes(model).records if isinstance(each, Role)
    }


def test_owners_of_an_earlier_snapshot_still_fold() -> None:
    """A pod and its ReplicaSet that the later snapshot lacks keep their Deployment."""
    replica_set = kube(
        "apps/v1", "ReplicaSet", "rs", meta={"uid": "uid-rs", "ownerReferences": controlled_by("Deployment", "web")}
    )
    model = ClusterModel()
    model.load([snapshot(pod("p", owner=controlled_by("ReplicaSet", "rs")), replica_set), snapshot(pod("q"))], 1.0)
    assert {each.name: str(each.workload) for each in model.pods_of(APP)} == {
        "p": "Deployment/app/web",
        "q": "Pod/app/q",
    }


def test_no_snapshot_is_no_sync() -> None:
    """With nothing read, nothing is known, and nobody may say that a read is unexplained."""
    model = ClusterModel()
    model.load([], 1.0)
    assert not changes(model).synced


def test_loading_again_changes_nothing() -> None:
    """A load that was broken off can be done again."""
    model = ClusterModel()
    shots = [snapshot(pod("p"), role("r", [rule("get")]))]
    model.load(shots, 1.0)
    first = changes(model)
    assert set() == model.load(shots, 2.0)
    assert changes(model, first).records == ()


def test_objects_counts_what_is_live() -> None:
    """Owners and Gateways are counted too, and what went is not."""
    model = model_of(
        pod("p"), pod("q"), kube("apps/v1", "Deployment", "d"), kube("v1", "Namespace", "app", None), role("r", [])
    )
    model.remove(decoded(pod("q")), 1.0)
    model.remove(decoded(kube("v1", "Namespace", "app", None)), 1.0)
    assert {kind: status.count for kind, status in model.objects(1.0).items()} == {"Pod": 1, "Deployment": 1, "Role": 1}
