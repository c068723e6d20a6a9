"""The index of grants: scopes and verbs of a grant, versions in time, and changes that touch what depends on them."""

from __future__ import annotations

import math

import pytest
from naive_rbac import bind, role, rule, sa

from actors.cluster.records import Rule, Subject
from actors.evidence import Account, Scope
from actors.grants import TOLERANCE_S, Concerned, Grant, Grants

ME = Account("app", "me")
MINE = bind("b", "r", sa("me"))


def grant_of(*rules: Rule, wide: bool = False) -> Grant:
    grants = Grants()
    grants.upsert_role(role("r", *rules, namespace=None if wide else "app"))
    grants.upsert_binding(bind("b", "r", sa("me"), namespace=None if wide else "app"))
    (found,) = grants.grants_of(ME)
    return found


# --- scopes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "wide", "expected"),
    [
        pytest.param([rule("get list")], False, {("app", None): "get list"}, id="a namespace"),
        pytest.param([rule("*", ["*"], ["*"])], True, {(None, None): "get list watch"}, id="everywhere"),
        pytest.param([rule("get", names=["b", "a"])], False, {("app", "a"): "get", ("app", "b"): "get"}, id="names"),
        pytest.param([rule("get", names=["a"])], True, {(None, "a"): "get"}, id="a name in every namespace"),
        pytest.param(
            [rule("list"), rule("get", names=["a"])], False, {("app", None): "list", ("app", "a"): "get"}, id="both"
        ),
        pytest.param(
            [rule("get list", names=["", "a"])],
            False,
            {("app", None): "list", ("app", "a"): "get list"},
            id="the empty name",
        ),
        pytest.param([rule("get", names=[""])], False, {}, id="a get of no name is no request"),
        pytest.param(
            [rule("get", names=["a"]), rule("watch", names=["a"])],
            False,
            {("app", "a"): "get watch"},
            id="two rules, one name",
        ),
    ],
)
def test_scopes_and_their_verbs(rules: list[Rule], wide: bool, expected: dict) -> None:
    """A grant's objectives, each with the verbs of the rules behind it alone."""
    grant = grant_of(*rules, wide=wide)
    found = {(scope.namespace, scope.name): " ".join(grant.verbs_for(scope)) for scope in grant.scopes()}
    assert expected == found


MIXED = (rule("list"), rule("get", names=["a", "b"]), rule("watch", names=[""]))


@pytest.mark.parametrize(
    ("scope", "request_", "allows"),
    [
        ((("app", "a")), ("get", "app", "a"), True),
        ((("app", "a")), ("get", "app", "b"), False),
        ((("app", "a")), ("list", "app", None), False),
        ((("app", "a")), ("list", "app", "a"), False),
        ((("app", None)), ("list", "app", None), True),
        ((("app", None)), ("list", "app", "a"), True),
        ((("app", None)), ("get", "app", "a"), False),
        ((("app", None)), ("watch", "app", None), True),
        ((("app", None)), ("watch", "app", "a"), False),
        ((("app", None)), ("list", "other", None), False),
        ((("app", None)), ("list", None, None), False),
    ],
)
def test_a_scope_is_used_only_by_its_own_rules(scope: tuple, request_: tuple, allows: bool) -> None:
    """A list of the namespace never used the named rule, a named get never the wide one."""
    assert allows == grant_of(*MIXED).scope_allows(Scope(*scope), *request_)


def test_verbs_on_one_secret() -> None:
    """By name, and within a collection."""
    grant = grant_of(*MIXED)
    assert (
        grant.verbs_on("app", "a"),
        grant.verbs_on("app", "z"),
        grant.verbs_on("other", "a"),
    ) == (("get", "list", "watch"), ("list", "watch"), ())


# --- as of the event -----------------------------------------------------------------------------------------------------


def allowed_at(grants: Grants, verb: str, *times: float) -> list[bool]:
    return [bool(grants.allowing(ME, verb, "app", "x", at)) for at in times]


def test_a_binding_that_went_still_explains_what_was_read_before() -> None:
    """Bind, read, unbind: allowed within its time and the tolerance, not before or after, and marked as revoked."""
    grants = Grants()
    grants.upsert_role(role("r", rule()))
    grants.upsert_binding(bind("b", "r", sa("me"), valid_from=100.0))
    gone = bind("b", "r", sa("me"), valid_from=100.0, gone_at=200.0)
    assert grants.upsert_binding(gone).concerns(ME)
    edges = (100.0 - TOLERANCE_S - 0.1, 100.0 - TOLERANCE_S, 200.0 + TOLERANCE_S, 200.0 + TOLERANCE_S + 0.1)
    assert allowed_at(grants, "get", *edges) == [False, True, True, False]
    assert [each.revoked for each in grants.grants_of(ME)] == [True]
    assert list(grants.grants_of(ME, at=300.0)) == []


def test_both_versions_of_a_role_are_held() -> None:
    """What the role said then counts for then, what it says now for now."""
    grants = Grants()
    grants.upsert_binding(MINE)
    then, now = role("r", rule("get"), gone_at=1000.0), role("r", rule("list"), valid_from=1000.0)
    grants.put(then.name, [then, now])
    assert allowed_at(grants, "get", 500.0, 1500.0) == [True, False]
    assert allowed_at(grants, "list", 500.0, 1500.0) == [False, True]
    assert [(each.valid_from, each.gone_at) for each in grants.grants_of(ME)] == [(0.0, 1000.0), (1000.0, None)]


def test_versions_that_never_met_grant_nothing() -> None:
    """A binding that came after the role went is no grant."""
    grants = Grants()
    grants.upsert_role(role("r", rule(), gone_at=10.0))
    grants.upsert_binding(bind("b", "r", sa("me"), valid_from=20.0))
    assert grants.grants_of(ME) == ()


def test_what_only_an_earlier_snapshot_has_counts_at_any_time() -> None:
    """Gone at no known time: in force whenever a read was made, and marked as gone."""
    grants = Grants()
    grants.upsert_role(role("r", rule(), gone_at=math.inf))
    grants.upsert_binding(MINE)
    assert allowed_at(grants, "get", 0.0, 1e12) == [True, True]
    assert [each.revoked for each in grants.grants_of(ME)] == [True]


# --- whom a change concerns ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (sa("me"), Concerned(frozenset({ME}))),
        (Subject("User", ME.username), Concerned(frozenset({ME}))),
        (Subject("Group", "system:serviceaccounts:app"), Concerned(namespaces=frozenset({"app"}))),
        (Subject("Group", "system:serviceaccounts"), Concerned(everyone=True)),
        (Subject("Group", "system:masters"), Concerned()),
    ],
)
def test_a_binding_says_whom_it_concerns(subject: Subject, expected: Concerned) -> None:
    """By account, by namespace or everyone; both when it comes and when it goes."""
    grants = Grants()
    grants.upsert_role(role("r", rule()))
    binding = bind("b", "r", subject)
    assert expected == grants.upsert_binding(binding)
    assert expected == grants.concerned_by(binding.name)
    assert expected == grants.remove_binding(binding.name)


def test_a_changed_binding_concerns_old_and_new_subjects() -> None:
    """Who lost and who got the grant must both be looked at again."""
    grants = Grants()
    grants.upsert_role(role("r", rule()))
    grants.upsert_binding(MINE)
    you = Account("app", "you")
    assert {ME, you} == set(grants.upsert_binding(bind("b", "r", sa("you"))).accounts)


@pytest.mark.parametrize(
    "change",
    [
        role("r", rule(), labels=(("a", "b"),)),
        role("r", rule(), rule("get", resources=["pods"])),
        role("other", rule("*", ["*"], ["*"])),
        bind("d", "discovery", Subject("Group", "system:authenticated"), namespace=None),
        MINE,
    ],
    ids=["labels", "other resources", "another role", "a binding without Secrets", "the same again"],
)
def test_what_changes_no_grant_concerns_nobody(change: object) -> None:
    """Most changes of RBAC have nothing to do with Secrets, and cost the engine nothing."""
    grants = Grants()
    for each in (role("r", rule()), role("discovery", rule(groups=["x"]), namespace=None)):
        grants.upsert_role(each)
    grants.upsert_binding(MINE)
    assert not grants.put(change.name, [change])  # type: ignore[attr-defined] # a role or a binding


def test_a_change_looks_at_nothing_else() -> None:
    """Of many bindings only those of the changed role are compiled again."""
    grants = Grants()
    for n in range(300):
        grants.upsert_role(role(f"r{n}", rule()))
        grants.upsert_binding(bind(f"b{n}", f"r{n}", sa(f"a{n}")))
    before = grants.statistics().recompiled
    grants.upsert_role(role("r7", rule("list")))
    assert grants.statistics().recompiled - before == 1


def test_nothing_stays_of_what_is_removed() -> None:
    """After everything went, no tier and no index holds a trace."""
    grants = Grants()
    objects = [
        role("r", rule()),
        MINE,
        bind("w", "r", Subject("Group", "system:serviceaccounts:app"), namespace=None, kind="ClusterRole"),
    ]
    for each in objects:
        grants.put(each.name, [each])  # type: ignore[list-item] # of one kind
    for each in objects:
        grants.put(each.name, [])
    assert not any(
        getattr(grants, name)
        for name in (
            "_roles",
            "_bindings",
            "_bindings_of_role",
            "_aggregates",
            "_placed",
            "_tiers",
            "_dangling",
            "_grants",
        )
    )


def test_named_accounts() -> None:
    """Accounts that bindings name one by one, whether they exist or not (G13: whoever makes the account has the right)."""
    grants = Grants()
    grants.upsert_role(role("r", rule()))
    grants.upsert_binding(bind("b", "r", sa("me"), sa("not-yet")))
    assert {"me", "not-yet"} == {each.name for each in grants.named_accounts()}
