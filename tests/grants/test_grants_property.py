"""The index against the naive evaluator, over random roles, bindings, versions and requests.

PROTECTOR_TEST_EXAMPLES sets how many examples are tried (default 300).
"""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_rbac import naive_allowing

from actors.cluster.records import Binding, LabelRequirement, Role, Rule, Subject
from actors.evidence import Account, ObjectName
from actors.grants import Concerned, Grants

EXAMPLES = int(os.environ.get("PROTECTOR_TEST_EXAMPLES", "300"))
NAMESPACES, NAMES, SECRETS = ["n", "m"], ["a", "b"], ["x", "y"]
ACCOUNTS = [Account(namespace, name) for namespace in NAMESPACES for name in NAMES]
REQUESTS = [
    (verb, ns, name) for verb in ("get", "list", "watch") for ns in [*NAMESPACES, None] for name in [*SECRETS, None]
]
TIMES: list[float | None] = [None, 0.0, 14.0, 50.0, 206.0]


def some(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=2).map(tuple)


RULES = st.builds(
    Rule,
    verbs=some("get", "list", "watch", "*", "create", "GET"),
    api_groups=st.just(("",)) | some("", "*", "v1"),
    resources=st.just(("secrets",)) | some("secrets", "*", "*/*", "secrets/x"),
    resource_names=some("x", "y", "", "*"),
)
LABELS = st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["1", "2"]), max_size=2).map(
    lambda d: tuple(sorted(d.items()))
)
REQUIREMENTS = st.builds(
    LabelRequirement,
    st.sampled_from(["k", "l"]),
    st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
    some("1", "2"),
)
SELECTORS = st.lists(st.lists(REQUIREMENTS, max_size=2).map(tuple), min_size=1, max_size=2).map(tuple)
LIVES = st.sampled_from(
    [
        [(0.0, None)],
        [(0.0, None)],
        [(20.0, None)],
        [(0.0, 40.0)],
        [(0.0, 20.0), (20.0, None)],
        [(0.0, 20.0), (90.0, 200.0)],
    ]
)
"""Of the versions of one object: valid_from and gone_at."""

ROLE_NAMES = st.builds(ObjectName, st.just("Role"), st.sampled_from(NAMESPACES), st.sampled_from(NAMES)) | st.builds(
    ObjectName, st.just("ClusterRole"), st.none(), st.sampled_from([*NAMES, "c"])
)
BINDING_NAMES = st.builds(
    ObjectName, st.just("RoleBinding"), st.sampled_from(NAMESPACES), st.sampled_from(NAMES)
) | st.builds(ObjectName, st.just("ClusterRoleBinding"), st.none(), st.sampled_from(NAMES))
USERS = [account.username for account in ACCOUNTS] + ["*", "a", "system:serviceaccount:n"]
GROUPS = [
    "system:serviceaccounts",
    "system:serviceaccounts:n",
    "system:serviceaccounts:n:a",
    "system:authenticated",
    "system:masters",
]
SUBJECTS = st.one_of(
    st.builds(Subject, st.just("ServiceAccount"), st.sampled_from(NAMES), st.sampled_from([*NAMESPACES, None])),
    st.builds(Subject, st.just("User"), st.sampled_from(USERS)),
    st.builds(Subject, st.just("Group"), st.sampled_from(GROUPS), st.sampled_from(["n", None])),
    st.builds(Subject, st.just("Robot"), st.sampled_from(NAMES), st.just("n")),
)


@st.composite
def role_versions(draw: st.DrawFn) -> tuple[ObjectName, list[Role]]:
    name, lives = draw(ROLE_NAMES), draw(LIVES)
    versions = []
    for valid_from, gone_at in lives:
        rules: tuple[Rule, ...] | None = tuple(draw(st.lists(RULES, max_size=3)))
        aggregation: tuple[tuple[LabelRequirement, ...], ...] = ()
        if name.kind == "ClusterRole" and len(lives) == 1 and draw(st.booleans()):
            rules, aggregation = None, draw(SELECTORS)
        versions.append(Role(name, rules, draw(LABELS), aggregation, valid_from, gone_at))
    return name, versions


@st.composite
def binding_versions(draw: st.DrawFn) -> tuple[ObjectName, list[Binding]]:
    name = draw(BINDING_NAMES)
    kinds = st.sampled_from(["Role", "ClusterRole", "ClusterRole", "Cheese"])
    return name, [
        Binding(
            name,
            draw(kinds),
            draw(st.sampled_from([*NAMES, "c"])),
            tuple(draw(st.lists(SUBJECTS, max_size=3))),
            valid_from,
            gone_at,
        )
        for valid_from, gone_at in draw(LIVES)
    ]


STEPS = st.lists(
    st.one_of(role_versions(), binding_versions(), (ROLE_NAMES | BINDING_NAMES).map(lambda name: (name, []))),
    max_size=14,
)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=EXAMPLES)
@given(STEPS)
def test_the_index_says_what_the_naive_evaluator_says(steps: list[tuple[ObjectName, list]]) -> None:
    """After any changes, for every account, request and time: the same grants; and a change concerns all whose grants it changed."""
    grants = Grants()
    held: dict[ObjectName, list] = {}
    for key, versions in steps:
        before = {account: grants.grants_of(account) for account in ACCOUNTS}
        concerned = grants.put(key, versions)
        held[key] = versions
        changed = {account for account in ACCOUNTS if grants.grants_of(account) != before[account]}
        assert {account for account in changed if not concerned.concerns(account)} == set()
        assert isinstance(concerned, Concerned)
    roles = [each for versions in held.values() for each in versions if isinstance(each, Role)]
    bindings = [each for versions in held.values() for each in versions if isinstance(each, Binding)]
    for account in ACCOUNTS:
        for at in TIMES:
            for verb, namespace, name in REQUESTS:
                expected = naive_allowing(roles, bindings, account, verb, namespace, name, at)
                found = grants.allowing(account, verb, namespace, name, at)
                assert expected == {(each.binding, each.role) for each in found}
                assert all(each.allows(verb, namespace, name) for each in found)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=max(EXAMPLES // 3, 20))
@given(STEPS)
def test_incremental_equals_rebuilt(steps: list[tuple[ObjectName, list]]) -> None:
    """The index after many changes is the index of what is left, built in another order."""
    grants, rebuilt = Grants(), Grants()
    held: dict[ObjectName, list] = {}
    for key, versions in steps:
        grants.put(key, versions)
        held[key] = versions
    for key in sorted(held, key=str):
        rebuilt.put(key, held[key])
    assert [rebuilt.grants_of(account) for account in ACCOUNTS] == [grants.grants_of(account) for account in ACCOUNTS]
    assert rebuilt.statistics().grants == grants.statistics().grants


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=max(EXAMPLES // 3, 20))
@given(STEPS)
def test_scopes_cover_exactly_what_is_allowed(steps: list[tuple[ObjectName, list]]) -> None:
    """A request that can be made is allowed by a grant iff one of its scopes allows it."""
    grants = Grants()
    for key, versions in steps:
        grants.put(key, versions)
    for account in ACCOUNTS:
        for grant in grants.grants_of(account):
            for verb, namespace, name in REQUESTS:
                if verb != "get" or name is not None:  # a get has a name
                    by_scope = [scope for scope in grant.scopes() if grant.scope_allows(scope, verb, namespace, name)]
                    assert grant.allows(verb, namespace, name) == bool(by_scope)
                    assert all(verb in grant.verbs_for(scope) for scope in by_scope)
