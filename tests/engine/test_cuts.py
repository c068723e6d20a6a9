"""What to cut so that a chain ends, in words: the first line ends it, what follows says what else there is to know."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from actors.cluster.records import Subject
from actors.engine.cuts import OTHERS_NAMED_MAX, cut_of
from actors.evidence import ObjectName

GET_DB = ObjectName("RoleBinding", "app", "get-db")


@pytest.fixture
def web(world):
    """A pod of app/web, which runs as app/reader; the grant `get-db` of app/db-creds."""
    world.apply(world.pod("web-1", mounts=("tls",)))
    world.grant("get-db", names=("db-creds",))
    return world


def cut(world: Any, binding: str | None, workload: str = "web") -> list[str]:
    """What is said of the chain of that workload and binding (None: its mount)."""
    (chain,) = (
        chain
        for node in world.engine.graph.workloads.values()
        for chain in node.chains()
        if node.workload.name == workload and (chain.grant.binding.name if chain.grant else None) == binding
    )
    return cut_of(world.engine.graph, chain)


def test_a_grant_is_deleted_or_its_account_taken_out(web) -> None:
    """With one account, one workload and a named Secret there is no more to say."""
    assert cut(web, "get-db") == [f"Delete {GET_DB}, or take ServiceAccount app/reader out of its subjects."]


def test_a_mount_is_taken_out(web) -> None:
    """No binding ends it."""
    assert cut(web, None) == ["Take the mount of Secret app/tls out of Deployment/app/web."]


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("system:serviceaccounts", "a group of every ServiceAccount: deleting it concerns them all"),
        ("system:authenticated", "a group of every ServiceAccount: deleting it concerns them all"),
        ("system:serviceaccounts:app", "the group of every ServiceAccount of app: the cut concerns all of them"),
        ("system:serviceaccounts:ops", None),
    ],
)
def test_a_group_is_no_single_account(web, group: str, said: str | None) -> None:
    """Who else the cut concerns; a group of another namespace beside the account is not this account's matter."""
    also = Subject("ServiceAccount", "reader", "app")
    binding = web.binding("grouped", group, role="get-db")
    web.apply(replace(binding, subjects=(*binding.subjects, also)))
    lines = cut(web, "grouped")
    assert lines[0].startswith("Delete RoleBinding")
    found = [line for line in lines if "group of every ServiceAccount" in line]
    assert (len(found), said is None or said in found[0]) == (0 if said is None else 1, True)


def test_a_binding_of_several_accounts_says_how_many(web) -> None:
    """By number; they can be taken out one by one."""
    accounts = tuple(Subject("ServiceAccount", name, "app") for name in ("reader", "b", "c"))
    binding = web.binding("three", "app/reader", role="get-db")
    web.apply(replace(binding, subjects=accounts))
    assert "It names 3 accounts: deleting it concerns all of them." in cut(web, "three")


def test_a_wide_grant_may_be_narrowed(web) -> None:
    """With the command that says to what."""
    web.grant("all", verbs="list")
    (line,) = (line for line in cut(web, "all") if line.startswith("Or narrow"))
    assert "`protector access --narrowest --account app/reader`" in line
    assert not any(line.startswith("Or narrow") for line in cut(web, "get-db"))


def test_a_revoked_grant_leaves_nothing_to_cut(web) -> None:
    """Its chain lives on while what was read is lit; a binding that is back is to be cut again."""
    web.read("app/reader", "get", "app/db-creds", pod="web-1", named=web.named("get-db"))
    kept = web.binding("get-db", "app/reader")
    web.wait(10)
    web.apply(replace(kept, gone_at=web.now - 5))
    (line,) = cut(web, "get-db")
    assert line.startswith(f"{GET_DB} is gone or was changed: nothing is left to cut here.")
    web.apply(kept)
    assert cut(web, "get-db")[0].startswith("Delete ")


def test_other_bindings_that_remain_are_named(web) -> None:
    """Those that give the same account Secrets of the same scope, by whatever role; others are not."""
    web.grant("also", names=("db-creds", "x"))
    web.grant("wide", verbs="list", ns=None)
    web.grant("other-secret", names=("smtp",))
    web.grant("other-namespace", to="app/reader", ns="ops")
    web.grant("other-account", to="app/other")
    (line,) = (line for line in cut(web, "get-db") if line.startswith("That alone"))
    assert ("RoleBinding" in line, "also" in line, "wide" in line) == (True, True, True)
    assert not [name for name in ("other-secret", "other-namespace", "other-account") if name in line]
    web.apply(forgotten=(ObjectName("RoleBinding", "app", "also"), ObjectName("ClusterRoleBinding", None, "wide")))
    assert not [line for line in cut(web, "get-db") if line.startswith("That alone")]


def test_many_other_bindings_are_a_number(web) -> None:
    """So many are named, and how many more there are."""
    for number in range(OTHERS_NAMED_MAX + 3):
        web.grant(f"more-{number:02}")
    (line,) = (line for line in cut(web, "get-db") if line.startswith("That alone"))
    assert (line.count("more-"), "and 3 more" in line) == (OTHERS_NAMED_MAX, True)


def test_other_workloads_of_the_account_are_counted(web) -> None:
    """The cut concerns all of them."""
    web.apply(web.pod("job-1"), web.pod("cron-1"))
    assert "3 workloads run as app/reader: the cut concerns all of them." in cut(web, "get-db")
