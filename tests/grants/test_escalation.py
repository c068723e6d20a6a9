"""What leads to Secrets without being a read of one: each kind by itself, what is not enough, and the bounds."""

from __future__ import annotations

import pytest
from naive_rbac import bind, role, rule, sa

from actors.cluster.records import Binding, Role, Rule, Subject
from actors.evidence import Account
from actors.grants import EDGES, ESCALATIONS_MAX, Grants

ME = Account("app", "me")
RBAC, APPS, BATCH = "rbac.authorization.k8s.io", "apps", "batch"
HERE, EVERYWHERE = "app", None


def can(verbs: str, resource: str, *names: str, group: str = "") -> Rule:
    return rule(verbs, [group], [resource], names)


def one(*rules: Rule) -> list[Role | Binding]:
    return [role("r", *rules), bind("b", "r", sa("me"))]


def wide(*rules: Rule) -> list[Role | Binding]:
    return [role("w", *rules, namespace=None), bind("w", "w", sa("me"), namespace=None)]


def local(*rules: Rule) -> list[Role | Binding]:
    """A ClusterRole bound in one namespace."""
    return [role("l", *rules, namespace=None), bind("l", "l", sa("me"), kind="ClusterRole")]


def grants_of(objects: list[Role | Binding]) -> Grants:
    grants = Grants()
    for each in objects:
        grants.put(each.name, [each])  # type: ignore[list-item] # of one kind
    return grants


def told(objects: list[Role | Binding]) -> set[tuple[str, str | None]]:
    return {(each.edge.label, each.namespace) for each in grants_of(objects).escalations_of(ME)}


CASES: list[tuple[str, list[Role | Binding], set[tuple[str, str | None]]]] = [
    # pods, and what makes pods
    ("create pods", one(can("create", "pods")), {("create_pods", HERE)}),
    ("create pods everywhere", wide(can("create", "pods")), {("create_pods", EVERYWHERE)}),
    ("create pods by a ClusterRole here", local(can("create", "pods")), {("create_pods", HERE)}),
    ("a pod that is there mounts nothing new", one(can("get list update patch delete", "pods")), set()),
    ("names never allow a create", one(can("create", "pods", "x")), set()),
    ("but the empty name does", one(can("create", "pods", "")), {("create_pods", HERE)}),
    ("a Deployment makes pods", one(can("create", "deployments", group=APPS)), {("workloads", HERE)}),
    ("a named one can be changed", one(can("patch", "daemonsets", "x", group=APPS)), {("workloads", HERE)}),
    ("a named one cannot be created", one(can("create", "daemonsets", "x", group=APPS)), set()),
    ("a Job is not changed", one(can("patch", "jobs", group=BATCH)), set()),
    ("a CronJob is", one(can("patch", "cronjobs", group=BATCH)), {("workloads", HERE)}),
    ("in another group there is none", one(can("create", "deployments", group="extensions")), set()),
    # commands in pods
    ("exec", one(can("create", "pods/exec")), {("exec", HERE)}),
    ("exec by get", one(can("get", "pods/exec")), {("exec", HERE)}),
    ("exec into one pod", one(can("create", "pods/exec", "x")), {("exec", HERE)}),
    ("exec by */exec", one(can("create", "*/exec")), {("exec", HERE)}),
    ("pods is not pods/exec", one(can("get", "pods")), set()),
    ("*/* is neither", one(can("create", "*/*")), set()),
    ("ephemeral containers", one(can("patch", "pods/ephemeralcontainers")), {("ephemeral_containers", HERE)}),
    ("to see them is not to add them", one(can("get", "pods/ephemeralcontainers")), set()),
    ("the kubelet", wide(can("get", "nodes/proxy")), {("nodes_proxy", EVERYWHERE)}),
    ("nodes have no namespace", local(can("get", "nodes/proxy")), set()),
    # accounts
    ("tokens", one(can("create", "serviceaccounts/token")), {("create_tokens", HERE)}),
    ("the token of one account", one(can("create", "serviceaccounts/token", "x")), {("create_tokens", HERE)}),
    ("impersonate accounts", one(can("impersonate", "serviceaccounts")), {("impersonate", HERE)}),
    ("impersonate users", wide(can("impersonate", "users")), {("impersonate_users", EVERYWHERE)}),
    ("users have no namespace", local(can("impersonate", "users")), set()),
    ("groups alone are nobody", wide(can("impersonate", "groups")), set()),
    (
        "groups with an account",
        [*wide(can("impersonate", "groups")), *one(can("impersonate", "serviceaccounts"))],
        {("impersonate", HERE), ("impersonate_groups", EVERYWHERE)},
    ),
    ("a Secret that is filled with a token", one(can("create get", "secrets")), {("token_secrets", HERE)}),
    ("and cannot be read", one(can("create", "secrets")), set()),
    (
        "and is read elsewhere",
        [
            *one(can("create", "secrets")),
            role("o", rule(), namespace="other"),
            bind("o", "o", sa("me"), namespace="other"),
        ],
        set(),
    ),
    ("and is read everywhere", [*one(can("create", "secrets")), *wide(rule())], {("token_secrets", HERE)}),
    ("and is read here only", [*wide(can("create", "secrets")), *one(rule("list"))], {("token_secrets", HERE)}),
    # roles
    (
        "bind, with somewhere to put it",
        one(can("bind", "clusterroles", group=RBAC), can("create", "rolebindings", group=RBAC)),
        {("bind", HERE)},
    ),
    ("bind alone", one(can("bind", "clusterroles", group=RBAC)), set()),
    ("bindings alone give no more than one has", one(can("create update", "rolebindings", group=RBAC)), set()),
    (
        "bind everywhere, to be put here",
        [*wide(can("bind", "roles", group=RBAC)), *one(can("patch", "rolebindings", group=RBAC))],
        {("bind", HERE)},
    ),
    (
        "bind everywhere",
        wide(can("bind", "clusterroles", "admin", group=RBAC), can("create", "clusterrolebindings", group=RBAC)),
        {("bind", EVERYWHERE)},
    ),
    (
        "a Role is bound nowhere but in its namespace",
        wide(can("bind", "roles", group=RBAC), can("create", "clusterrolebindings", group=RBAC)),
        set(),
    ),
    ("escalate", one(can("escalate update", "roles", group=RBAC)), {("escalate", HERE)}),
    ("escalate what cannot be changed", one(can("escalate", "roles", group=RBAC)), set()),
    ("escalate what is another", one(can("escalate", "roles", "x", group=RBAC), can("patch", "roles", "y", group=RBAC)), set()),
    ("escalate cluster roles", wide(can("escalate patch", "clusterroles", group=RBAC)), {("escalate", EVERYWHERE)}),
    ("cluster roles have no namespace", local(can("escalate patch", "clusterroles", group=RBAC)), set()),
    # nothing
    ("reading is no escalation", one(rule("get list watch")), set()),
    ("a role that is missing", [bind("b", "r", sa("me"))], set()),
    ("a binding that went", [role("r", can("create", "pods")), bind("b", "r", sa("me"), gone_at=5.0)], set()),
]  # fmt: skip


@pytest.mark.parametrize(("objects", "leads"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_case(objects: list[Role | Binding], leads: set[tuple[str, str | None]]) -> None:
    """The kinds of escalation with where they work, whatever the order in which the objects came."""
    assert (leads, leads) == (told(objects), told(objects[::-1]))


def test_everything_is_every_edge() -> None:
    """Who may do all may do each of them, everywhere."""
    assert {(edge, None) for edge in EDGES} == told(wide(rule("*", ["*"], ["*"])))


def test_all_in_one_namespace() -> None:
    """`*` in a RoleBinding does not reach users, groups, nodes and ClusterRoles."""
    found = told(local(rule("*", ["*"], ["*"])))
    assert set(EDGES) - {edge for edge, _ in found} == {"nodes_proxy", "impersonate_users", "impersonate_groups"}
    assert {where for _, where in found} == {HERE}


def test_both_grants_are_named() -> None:
    """Where it takes two, each can be cut."""
    objects = [
        role("r", can("bind", "clusterroles", "admin", group=RBAC)),
        bind("binder", "r", sa("me")),
        role("q", can("create", "rolebindings", group=RBAC)),
        bind("putter", "q", Subject("Group", "system:serviceaccounts:app")),
    ]
    (found,) = grants_of(objects).escalations_of(ME)
    assert found.besides is not None
    assert (found.grant.binding.name, found.besides.binding.name, found.names) == ("binder", "putter", ("admin",))


def test_an_escalation_is_no_grant_of_secrets() -> None:
    """It is not among what an account may read, allows no request for a Secret, and dangles like any other."""
    grants = grants_of(one(can("create", "pods")))
    assert (grants.grants_of(ME), grants.allowing(ME, "get", "app", "x"), grants.statistics().grants) == ((), [], 0)
    grants.remove_role(role("r").name)
    assert (len(grants.dangling()), grants.escalations_of(ME)) == (1, ())


def test_a_change_of_powers_concerns_those_who_hold_them() -> None:
    """A role that gains a power concerns who is bound to it."""
    grants = grants_of(one(rule()))
    assert grants.upsert_role(role("r", rule(), can("create", "pods"))).concerns(ME)


def test_the_number_is_bounded() -> None:
    """An account bound in very many namespaces has so many at most."""
    objects: list[Role | Binding] = [role("c", can("create", "pods"), can("create", "pods/exec"), namespace=None)]
    objects += [bind(f"b{n}", "c", sa("me"), namespace=f"ns-{n}", kind="ClusterRole") for n in range(ESCALATIONS_MAX)]
    assert len(grants_of(objects).escalations_of(ME)) == ESCALATIONS_MAX


def test_who_lies_behind_a_selector() -> None:
    """Groups first, as selectors; then the accounts that bindings name; nobody who may read nothing."""
    grants = grants_of(
        [
            *one(rule()),
            bind("gone", "r", sa("was"), gone_at=5.0),
            role("p", can("create", "pods")),
            bind("p", "p", sa("maker")),
            role("w", rule("list"), namespace=None),
            bind("w", "w", sa("far", "other"), Subject("Group", "system:serviceaccounts:app"), namespace=None),
            bind("all", "w", Subject("Group", "system:authenticated"), namespace="other", kind="ClusterRole"),
        ]
    )

    def names(*asked: object) -> list[tuple[str | None, str | None]]:
        return [row[:2] for row in grants.readers_within(*asked)]  # type: ignore[arg-type] # passed through

    groups: list[tuple[str | None, str | None]] = [(None, None), ("app", None)]
    assert [*groups, ("app", "me")] == names("app")
    assert [*groups, ("app", "me"), ("other", "far")] == names(None)
    assert names("other", ["far", "near"]) == [(None, None), ("other", "far")]
