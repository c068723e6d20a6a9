"""The roles that every cluster comes with, as far as they grant Secrets (the written cases J), and odd spellings (C to H)."""

from __future__ import annotations

import pytest
from naive_rbac import aggregate, bind, labelled, naive_allowing, role, rule, sa

from actors.cluster.records import Binding, Role, Rule, Subject
from actors.evidence import Account
from actors.grants import Grants

ME = Account("app", "me")
AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
DEFAULTS = (("kubernetes.io/bootstrapping", "rbac-defaults"),)
ALL = rule("*", ["*"], ["*"])
GET, LIST, EVERYWHERE = ("get", "app", "x"), ("list", "app", None), ("list", None, None)


def to(kind: str) -> tuple[tuple[str, str], ...]:
    """The label that puts a role into this aggregate."""
    return ((AGGREGATE + kind, "true"),)


CLUSTER_ADMIN = role("cluster-admin", ALL, namespace=None, labels=DEFAULTS)
MASTERS = bind("cluster-admin", "cluster-admin", Subject("Group", "system:masters"), namespace=None)
TO_EDIT = role(
    "system:aggregate-to-edit",
    rule("get list watch create update patch delete deletecollection"),
    rule("impersonate", resources=["serviceaccounts"]),
    rule("create", resources=["pods", "pods/exec", "serviceaccounts/token"]),
    namespace=None,
    labels=to("edit"),
)
TO_VIEW = role(
    "system:aggregate-to-view",
    rule("get list watch", resources=["pods", "configmaps"]),
    namespace=None,
    labels=to("view"),
)
VIEW = aggregate("view", labelled(AGGREGATE + "view", "true"), **{AGGREGATE + "edit": "true"})
EDIT = aggregate("edit", labelled(AGGREGATE + "edit", "true"), **{AGGREGATE + "admin": "true"})
ADMIN = aggregate("admin", labelled(AGGREGATE + "admin", "true"))
SHIPPED: list[Role | Binding] = [CLUSTER_ADMIN, MASTERS, TO_EDIT, TO_VIEW, VIEW, EDIT, ADMIN]
"""As in manifests: nobody filled the aggregates."""


def given(kind: str) -> list[Role | Binding]:
    """The defaults, and this one bound to me in my namespace."""
    return [*SHIPPED, bind("b", kind, sa("me"), kind="ClusterRole")]


def system(name: str, *rules: Rule, subject: Subject, namespace: str | None = None) -> list[Role | Binding]:
    return [role(name, *rules, namespace=namespace, labels=DEFAULTS), bind(name, name, subject, namespace=namespace)]


NODES = system("system:node", rule("get list watch"), subject=Subject("Group", "system:nodes"))
MANAGER = system(
    "system:kube-controller-manager",
    rule("list watch", ["*"], ["*"]),
    subject=Subject("User", "system:kube-controller-manager"),
)

CASES: list[tuple[str, list[Role | Binding], tuple[str, str | None, str | None], bool]] = [
    ("J1 cluster-admin is for system:masters, no account", SHIPPED, GET, False),
    (
        "J1 cluster-admin bound to an account",
        [*SHIPPED, bind("b", "cluster-admin", sa("me"), namespace=None)],
        EVERYWHERE,
        True,
    ),
    ("J2 edit reads Secrets", given("edit"), GET, True),
    ("J2 edit lists them", given("edit"), LIST, True),
    ("J2 edit bound in a namespace reads no other", given("edit"), ("get", "other", "x"), False),
    ("J2 edit bound in a namespace lists not everywhere", given("edit"), EVERYWHERE, False),
    ("J2 admin has what edit has", given("admin"), GET, True),
    ("J2 view does not read Secrets", given("view"), GET, False),
    ("J2 view does not list them", given("view"), LIST, False),
    ("J3 the controller manager is a user, no account", MANAGER, EVERYWHERE, False),
    ("J6 kubelets are users of a group, no accounts", NODES, LIST, False),
    (
        "J6 a group of nodes that an account cannot be in",
        [*NODES, bind("n", "system:node", Subject("Group", "system:nodes:app"), namespace=None)],
        LIST,
        False,
    ),
    (
        "J7 the label of the defaults gives nothing by itself",
        [role("x", ALL, namespace=None, labels=DEFAULTS)],
        GET,
        False,
    ),
    (
        "C4 pods/status grants no Secrets",
        [role("r", rule(resources=["pods/status", "secrets/status"])), bind("b", "r", sa("me"))],
        GET,
        False,
    ),
    (
        "C6 an entry with two slashes",
        [role("r", rule(resources=["*/other/secrets", "secrets/"])), bind("b", "r", sa("me"))],
        GET,
        False,
    ),
    (
        "D6 the API accepts names with list",
        [role("r", rule("list watch", names=["x"])), bind("b", "r", sa("me"))],
        ("watch", "app", "x"),
        True,
    ),
    ("F8 a subject twice is one", [role("r", rule()), bind("b", "r", sa("me"), sa("me"))], GET, True),
    ("F10 a rule without resources in a Role", [role("r", Rule(("get",))), bind("b", "r", sa("me"))], GET, False),
    ("G13 an account that nobody made yet", [role("r", rule()), bind("b", "r", sa("me"), sa("not-yet"))], GET, True),
    (
        "H1 every URL is no Secret",
        [role("r", Rule(("*",)), namespace=None), bind("b", "r", sa("me"), namespace=None)],
        EVERYWHERE,
        False,
    ),
]


@pytest.mark.parametrize(
    ("objects", "request_", "is_allowed"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_case(objects: list[Role | Binding], request_: tuple[str, str | None, str | None], is_allowed: bool) -> None:
    """As Kubernetes answers for app/me, in either order of the objects; the naive evaluator says the same."""
    for order in (objects, objects[::-1]):
        grants = Grants()
        for each in order:
            grants.put(each.name, [each])  # type: ignore[list-item] # of one kind
        assert is_allowed == bool(grants.allowing(ME, *request_))
    roles = [each for each in objects if isinstance(each, Role)]
    bindings = [each for each in objects if isinstance(each, Binding)]
    assert is_allowed == bool(naive_allowing(roles, bindings, ME, *request_))


@pytest.mark.parametrize("name", ["generic-garbage-collector", "namespace-controller", "resourcequota-controller"])
def test_j4_controllers_are_accounts_without_pods(name: str) -> None:
    """They read everything, and bindings alone tell of them; so they are among those that readers are sought in."""
    grants = Grants()
    for each in system(
        f"system:controller:{name}", rule("get list watch", ["*"], ["*"]), subject=sa(name, "kube-system")
    ):
        grants.put(each.name, [each])  # type: ignore[list-item] # of one kind
    account = Account("kube-system", name)
    assert account in grants.named_accounts()
    assert grants.allowing(account, *EVERYWHERE)


@pytest.mark.parametrize("name", ["bootstrap-signer", "token-cleaner"])
def test_j5_roles_of_kube_system_reach_kube_system(name: str) -> None:
    """The Secrets of that namespace and of no other."""
    grants = Grants()
    objects = system(
        f"system:controller:{name}", rule("get list watch"), subject=sa(name, "kube-system"), namespace="kube-system"
    )
    for each in objects:
        grants.put(each.name, [each])  # type: ignore[list-item] # of one kind
    account = Account("kube-system", name)
    assert [bool(grants.allowing(account, "list", where, None)) for where in ("kube-system", "app", None)] == [
        True,
        False,
        False,
    ]


def test_j2_edit_is_an_escalation_too() -> None:
    """Who may edit may also create pods, run commands, make tokens and impersonate; who may view, none of it."""
    found = {}
    for kind in ("edit", "view"):
        grants = Grants()
        for each in given(kind):
            grants.put(each.name, [each])  # type: ignore[list-item] # of one kind
        found[kind] = {each.edge.label for each in grants.escalations_of(ME)}
    assert found == {"edit": {"create_pods", "exec", "create_tokens", "impersonate", "token_secrets"}, "view": set()}
