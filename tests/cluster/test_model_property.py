"""A model kept up to date object by object equals one built from the objects that are left."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kube_objects import binding, controlled_by, decoded, kube, pod, role, rule

from actors.cluster.model import ClusterModel
from actors.cluster.raw import Decoded, Owner
from actors.cluster.records import Pod, Record, RecordKey
from actors.evidence import Account

NAMES = st.sampled_from(["a", "b", "c"])


def a_pod(name: str, account: str, owner: str | None, automount: bool | None, phase: str) -> dict:
    spec = {"serviceAccountName": account} | ({} if automount is None else {"automountServiceAccountToken": automount})
    return pod(name, owner=controlled_by("ReplicaSet", owner) if owner else None, status={"phase": phase}, **spec)


def a_replica_set(name: str, deployment: str | None) -> dict:
    owner = {"ownerReferences": controlled_by("Deployment", deployment)} if deployment else {}
    return kube("apps/v1", "ReplicaSet", name, meta={"uid": f"uid-{name}", **owner})


def an_account(name: str, automount: bool | None) -> dict:
    return kube("v1", "ServiceAccount", name, automountServiceAccountToken=automount)


VALUES = st.one_of(
    st.builds(
        a_pod, NAMES, NAMES, NAMES | st.none(), st.none() | st.booleans(), st.sampled_from(["Running", "Failed"])
    ),
    st.builds(a_replica_set, NAMES, NAMES | st.none()),
    st.builds(
        lambda name, auto: kube("v1", "ServiceAccount", name, automountServiceAccountToken=auto),
        NAMES,
        st.none() | st.booleans(),
    ),
    st.builds(lambda name, verb: role(name, [rule(verb)]), NAMES, st.sampled_from(["get", "list"])),
    st.builds(lambda name, to: binding(name, "r", [{"kind": "ServiceAccount", "name": to}]), NAMES, NAMES),
)
STEPS = st.lists(st.tuples(VALUES, st.booleans()), max_size=30)


def identity(value: Decoded) -> tuple[str, str]:
    return (type(value).__name__, str(value.key if isinstance(value, Owner) else getattr(value, "pod", value).key))


def live(records: dict[RecordKey, list[Record]]) -> dict[RecordKey, Record]:
    """The live record of each key, without the time it is valid from."""
    found = {key: versions[-1] for key, versions in records.items() if versions[-1].gone_at is None}
    return {
        key: msgspec.structs.replace(each, valid_from=0.0) if hasattr(each, "valid_from") else each
        for key, each in found.items()
    }


def follow(model: ClusterModel, known: dict[RecordKey, list[Record]], at: tuple[int, int]) -> tuple[int, int]:
    """What a receiver does with the changes: replace each key's records, forget the forgotten."""
    more = True
    while more:
        part = model.changes_since(*at, limit=3)
        at, more = (part.epoch, part.version), part.more
        fresh: dict[RecordKey, list[Record]] = {}
        for each in part.records:
            fresh.setdefault(each.key, []).append(each)
        known.update(fresh)
        for key in part.forgotten:
            known.pop(key, None)
    return at


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=150)
@given(STEPS)
def test_incremental_equals_rebuilt(steps: list[tuple[dict, bool]]) -> None:
    """After any upserts and removals: the same live records as a fresh model, pulled step by step or all at once."""
    model, left = ClusterModel(), dict[tuple[str, str], Decoded]()
    known: dict[RecordKey, list[Record]] = {}
    at = (0, 0)
    for now, (value, is_removed) in enumerate(steps, 1):
        each = decoded(value)
        if is_removed and not isinstance(each, Owner):  # an owner that went stays true for the pods it was seen with
            model.remove(each, float(now))
            left.pop(identity(each), None)
        else:
            model.upsert(each, float(now))
            left[identity(each)] = each
        at = follow(model, known, at)
    rebuilt = ClusterModel()
    for each in reversed(left.values()):
        rebuilt.upsert(each, 0.0)
    expected: dict[RecordKey, list[Record]] = {}
    follow(rebuilt, expected, (0, 0))
    assert _without_accounts(live(expected)) == _without_accounts(live(known))
    everything: dict[RecordKey, list[Record]] = {}
    follow(model, everything, (0, 0))
    assert everything == known


POD_KEYS = st.sets(st.sampled_from(["uid-a", "uid-b", "uid-c"]))
POD_STEPS = st.lists(
    st.one_of(st.tuples(VALUES, st.booleans()), POD_KEYS, st.floats(0, 700), st.just("restore"), st.just("renew")),
    max_size=25,
)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=150)
@given(steps=POD_STEPS, every=st.integers(1, 4))
def test_who_follows_an_accounts_pods_has_all_of_them(steps: list, every: int) -> None:
    """Asked now and then for what changed, whatever changed the pods: as if asked for everything."""
    model, now = ClusterModel(), 1.0
    accounts = [Account("app", name) for name in "abc"]
    known: dict[Account, dict[str, Pod]] = {each: {} for each in accounts}
    at = dict.fromkeys(accounts, (0, 0))
    for number, step in enumerate([*steps, "end"]):
        if isinstance(step, tuple):
            (model.remove if step[1] else model.upsert)(decoded(step[0]), now)
        elif isinstance(step, set):
            model.remove_unseen("Pod", step, now)
        elif isinstance(step, float):
            now += step
            model.expire(now)
        elif step == "restore":
            saved, model = list(model.records()), ClusterModel()
            model.restore(saved)
            at = dict.fromkeys(accounts, (0, 0))  # another process
        elif step == "renew":
            model.renew()
        for account in accounts if step == "end" or number % every == 0 else ():
            answer = model.pods_since(account, *at[account])
            if answer.full:
                known[account].clear()
            for uid in answer.forgotten:
                known[account].pop(uid, None)
            known[account].update({each.uid: each for each in answer.pods})
            at[account] = (answer.epoch, answer.version)
            assert known[account] == {each.uid: each for each in model.pods_of(account)}


def _without_accounts(records: dict[RecordKey, Record]) -> dict[RecordKey, Record]:
    """bound_token of a pod whose ServiceAccount went is as the account last said; a fresh model cannot know."""
    return {
        key: msgspec.structs.replace(each, bound_token=True) if hasattr(each, "bound_token") else each
        for key, each in records.items()
    }


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=50)
@given(STEPS)
def test_everything_is_forgotten_in_the_end(steps: list[tuple[dict, bool]]) -> None:
    """When all went and time passed, nothing is held: no index keeps a trace."""
    model = ClusterModel()
    for value, _ in steps:
        model.upsert(decoded(value), 1.0)
    for value, _ in steps:
        model.remove(decoded(value), 2.0)
    model.expire(1e9)
    assert (model.statistics().held, model.statistics().pods, model.statistics().tombstones) == (0, 0, 0)
    assert not list(model._pods_of_account)
    assert model._pods_of_owner | model._owners | model.objects(1e9) == {}
