"""Kubernetes' RBAC rules as far as they concern reading Secrets, one row each. The ids are those of the written cases: letter
by subject (A verb, B group, C resource, D resourceNames, E request, F binding, G subject, H URLs, I aggregation)."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from naive_rbac import aggregate, bind, labelled, naive_allowing, role, rule, sa

from actors.cluster.records import Binding, LabelRequirement, Role, Rule, Subject
from actors.evidence import Account
from actors.grants import Grants

ME = Account("app", "me")
OTHER = Account("other", "them")
MINE = bind("b", "r", sa("me"))
WIDE = bind("w", "r", sa("me"), namespace=None)
USER, GROUP = "User", "Group"
ALL = rule("*", ["*"], ["*"])
GET, LIST, WATCH = ("get", "app", "x"), ("list", "app", None), ("watch", "app", None)
EVERYWHERE = ("list", None, None)


def one(*rules: Rule) -> list[Role | Binding]:
    return [role("r", *rules), MINE]


def wide(*rules: Rule) -> list[Role | Binding]:
    return [role("r", *rules, namespace=None), WIDE]


def subject(*subjects: Subject, namespace: str | None = "app") -> list[Role | Binding]:
    return [role("r", ALL, namespace=None), bind("b", "r", *subjects, namespace=namespace, kind="ClusterRole")]


VIEW = role("v", rule("get"), namespace=None, labels=(("to-edit", "true"),))
EDIT = aggregate("e", labelled("to-edit", "true"), **{"to-admin": "true"})
ADMIN = aggregate("a", labelled("to-admin", "true"))

CASES: list[tuple[str, list[Role | Binding], tuple[str, str | None, str | None], bool]] = [
    # id, objects, request of app/me (verb, namespace, name), is it allowed?
    ("A1 any verb", one(rule("*")), LIST, True),
    ("A1 any verb, of no other resource", one(rule("*", resources=["configmaps"])), LIST, False),
    ("A2 verb listed", one(rule("create get")), GET, True),
    ("A2 verb not listed", one(rule("create get")), LIST, False),
    ("A3 case counts", one(rule("GET Get")), GET, False),
    ("A4 list alone reads", one(rule("list")), LIST, True),
    ("A4 list is not watch", one(rule("list")), WATCH, False),
    ("A4 watch alone reads", one(rule("watch")), WATCH, True),
    ("A4 watch is not get", one(rule("watch")), GET, False),
    ("A5 no verbs", one(rule("")), GET, False),
    ("A6 writing is not reading", one(rule("create update patch delete deletecollection")), GET, False),
    ("B1 any group", one(rule(groups=["*"])), GET, True),
    ("B2 the core group is empty", one(rule(groups=["v1", "core"])), GET, False),
    ("B3 no group", one(rule(groups=[])), GET, False),
    ("B4 any combination", one(rule("list get", ["apps", ""], ["pods", "secrets"])), GET, True),
    ("C1 any resource", one(rule(resources=["*"])), GET, True),
    ("C2 every entry counts", one(rule(resources=["pods", "*"])), GET, True),
    ("C3 a subresource is not the resource", one(rule(resources=["secrets/status"])), GET, False),
    ("C5 any resource's subresource", one(rule(resources=["*/status"])), GET, False),
    ("C7 odd entries", one(rule(resources=["", "/", "*/", "secrets/"])), GET, False),
    ("C8 */* is not special", one(rule(resources=["*/*"])), GET, False),
    ("C9 no globs", one(rule(resources=["secret*"])), GET, False),
    ("C10 plural only", one(rule(resources=["secret", "Secrets"])), GET, False),
    ("D1 no names: all names", one(rule()), GET, True),
    ("D2 the name", one(rule(names=["y", "x"])), GET, True),
    ("D2 another name", one(rule(names=["y"])), GET, False),
    ("D2 no globs in names", one(rule(names=["*"])), GET, False),
    ("D3 names never allow a collection", one(rule("list", names=["x"])), LIST, False),
    ("D3 the empty name allows the collection", one(rule("list", names=[""])), LIST, True),
    ("D3 the empty name allows no named one", one(rule("get list", names=[""])), GET, False),
    ("D4 a named list is usable", one(rule("list", names=["x"])), ("list", "app", "x"), True),
    ("D4 a named watch is usable, of that name only", one(rule("watch", names=["x"])), ("watch", "app", "y"), False),
    ("D8 names are not namespaced", wide(rule(names=["x"])), ("get", "elsewhere", "x"), True),
    ("D9 a Secret that is not there may be granted", one(rule(names=["not-yet"])), ("get", "app", "not-yet"), True),
    (
        "E1 rights are not combined over rules",
        one(rule("get", resources=["pods"]), rule("list"), rule("get", names=["y"])),
        GET,
        False,
    ),
    ("E2 rules add up, in any order", one(rule("list"), rule("get")), GET, True),
    ("E5 a missing role stops nothing", [bind("a", "missing", sa("me")), *one(rule())], GET, True),
    ("F1 only the binding's namespace", one(ALL), ("get", "other", "x"), False),
    ("F2 a RoleBinding never allows a cluster-wide list", one(ALL), EVERYWHERE, False),
    ("F2 a ClusterRoleBinding does", wide(rule("list")), EVERYWHERE, True),
    ("F2 and every namespace with it", wide(rule("list")), ("list", "any", None), True),
    ("F3 RoleBinding to ClusterRole, its namespace", subject(sa("me")), GET, True),
    ("F3 RoleBinding to ClusterRole, another", subject(sa("me")), ("get", "other", "x"), False),
    ("F4 the role is of the binding's namespace", [role("r", ALL, namespace="other"), MINE], GET, False),
    (
        "F5 ClusterRoleBinding to a Role",
        [role("r", ALL), bind("w", "r", sa("me"), namespace=None, kind="Role")],
        GET,
        False,
    ),
    ("F6 another kind of role", [role("r", ALL), bind("b", "r", sa("me"), kind="SuperRole")], GET, False),
    ("F7 a missing role grants nothing", [MINE], GET, False),
    (
        "F9 an account of another namespace",
        [role("r", ALL, namespace="other"), bind("b", "r", sa("me"), namespace="other")],
        ("get", "other", "x"),
        True,
    ),
    ("G1 User by name", subject(Subject(USER, "system:serviceaccount:app:me")), GET, True),
    ("G1 another user", subject(Subject(USER, "me")), GET, False),
    ("G2 any subject", subject(sa("them", "other"), sa("me")), GET, True),
    ("G2 no subject", subject(), GET, False),
    ("G3 a group's namespace is ignored", subject(Subject(GROUP, "system:serviceaccounts", "other")), GET, True),
    ("G4 User * is nobody", subject(Subject(USER, "*")), GET, False),
    ("G4 Group * is nobody", subject(Subject(GROUP, "*")), GET, False),
    ("G5 the account's own namespace", subject(sa("me", "other")), GET, False),
    ("G6 authenticated", subject(Subject(GROUP, "system:authenticated")), GET, True),
    ("G6 unauthenticated", subject(Subject(GROUP, "system:unauthenticated")), GET, False),
    ("G7 no namespace: the binding's", subject(sa("me", None)), GET, True),
    ("G8 no namespace in a ClusterRoleBinding: nobody", subject(sa("me", None), namespace=None), GET, False),
    (
        "G9 a User spelled as an account, everywhere",
        subject(Subject(USER, "system:serviceaccount:app:me"), namespace=None),
        EVERYWHERE,
        True,
    ),
    ("G10 all accounts", subject(Subject(GROUP, "system:serviceaccounts"), namespace=None), EVERYWHERE, True),
    (
        "G10 the accounts of a namespace",
        subject(Subject(GROUP, "system:serviceaccounts:app"), namespace=None),
        EVERYWHERE,
        True,
    ),
    ("G10 the accounts of another namespace", subject(Subject(GROUP, "system:serviceaccounts:other")), GET, False),
    ("G11 no such group", subject(Subject(GROUP, "system:serviceaccounts:app:me")), GET, False),
    ("G11 no such user", subject(Subject(USER, "system:serviceaccount:app")), GET, False),
    ("G12 kinds are exact", subject(Subject("serviceaccount", "me", "app"), Subject("Robot", "me", "app")), GET, False),
    ("G16 no name is nobody", subject(sa("")), GET, False),
    ("H5 URLs grant no Secret", one(rule("get", groups=[], resources=[])), GET, False),
    (
        "I1 filled rules are trusted",
        [Role(ADMIN.name, (rule(),), (), ADMIN.aggregation), bind("b", "a", sa("me"), kind="ClusterRole")],
        GET,
        True,
    ),
    ("I1 nothing selected, nothing granted", [ADMIN, bind("b", "a", sa("me"), kind="ClusterRole")], GET, False),
    (
        "I2 selectors are OR-ed",
        [
            VIEW,
            aggregate("a", labelled("no", "1"), labelled("to-edit", "true")),
            bind("b", "a", sa("me"), kind="ClusterRole"),
        ],
        GET,
        True,
    ),
    (
        "I2 requirements are AND-ed",
        [
            VIEW,
            aggregate("a", (LabelRequirement("to-edit", "In", ("true",)), LabelRequirement("no", "Exists"))),
            bind("b", "a", sa("me"), kind="ClusterRole"),
        ],
        GET,
        False,
    ),
    (
        "I2 NotIn is met without the label",
        [VIEW, aggregate("a", labelled("no", "1", operator="NotIn")), bind("b", "a", sa("me"), kind="ClusterRole")],
        GET,
        True,
    ),
    (
        "I2 DoesNotExist",
        [
            VIEW,
            aggregate("a", labelled("to-edit", operator="DoesNotExist")),
            bind("b", "a", sa("me"), kind="ClusterRole"),
        ],
        GET,
        False,
    ),
    ("I4 transitively", [VIEW, EDIT, ADMIN, bind("b", "a", sa("me"), kind="ClusterRole")], GET, True),
    (
        "I4 a Role is never selected",
        [role("v", ALL, labels=(("to-admin", "true"),)), ADMIN, bind("b", "a", sa("me"), kind="ClusterRole")],
        GET,
        False,
    ),
    (
        "I4 selectors in a circle end",
        [
            VIEW,
            aggregate("e", labelled("to-edit", "true"), labelled("x", "1"), x="1"),
            aggregate("a", labelled("x", "1"), x="1"),
            bind("b", "a", sa("me"), kind="ClusterRole"),
        ],
        GET,
        True,
    ),
]


def grants_of(objects: Iterable[Role | Binding]) -> Grants:
    grants = Grants()
    for each in objects:
        grants.put(each.name, [each])  # type: ignore[list-item] # of one kind
    return grants


@pytest.mark.parametrize(
    ("objects", "request_", "is_allowed"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_case(objects: list[Role | Binding], request_: tuple[str, str | None, str | None], is_allowed: bool) -> None:
    """As Kubernetes answers, whatever the order in which the objects came; the naive evaluator says the same."""
    for order in (objects, objects[::-1]):
        assert is_allowed == bool(grants_of(order).allowing(ME, *request_))
    roles = [each for each in objects if isinstance(each, Role)]
    bindings = [each for each in objects if isinstance(each, Binding)]
    assert is_allowed == bool(naive_allowing(roles, bindings, ME, *request_))


def test_f8_every_binding_that_grants_is_named() -> None:
    """Two bindings to one role are two grants (both must be cut); one that names the subject twice is one."""
    twice = bind("c", "r", sa("me"), Subject(GROUP, "system:serviceaccounts:app"), Subject(USER, ME.username))
    found = grants_of([*one(rule()), twice]).allowing(ME, *GET)
    assert [each.binding.name for each in found] == ["b", "c"]


def test_f7_becomes_live_when_the_role_appears() -> None:
    """A dangling reference is known as one, and grants the moment the role is there."""
    grants = grants_of([MINE])
    assert (MINE.name,) == grants.dangling()
    concerned = grants.upsert_role(role("r", rule()))
    assert (concerned.concerns(ME), concerned.concerns(OTHER)) == (True, False)
    assert (grants.dangling(), bool(grants.allowing(ME, *GET))) == ((), True)


def test_i5_a_new_role_with_the_label_widens_the_aggregate() -> None:
    """A ClusterRole labelled into an aggregate changes who is bound to it, and only them; the aggregate names its parts."""
    grants = grants_of(
        [
            EDIT,
            ADMIN,
            bind("b", "a", sa("me"), kind="ClusterRole"),
            bind("o", "other", sa("them", "other"), namespace=None),
        ]
    )
    concerned = grants.upsert_role(VIEW)
    assert (frozenset({ME}), frozenset(), False) == (concerned.accounts, concerned.namespaces, concerned.everyone)
    assert (VIEW.name,) == grants.contributors(ADMIN.name)
    assert grants.remove_role(VIEW.name).concerns(ME)
    assert grants.allowing(ME, *GET) == []


def test_e3_cluster_role_bindings_come_first() -> None:
    """In the order in which Kubernetes looks at them; its reason names the first."""
    found = grants_of([*one(rule()), *wide(rule())]).grants_of(ME)
    assert [each.binding.name for each in found] == ["w", "b"]


def test_i4_an_unfilled_aggregate_that_went_explains_what_was_read_before() -> None:
    """Its selectors count for the time in which it was there."""
    gone = Role(ADMIN.name, None, (), ADMIN.aggregation, gone_at=100.0)
    part = role("v", rule(), namespace=None, labels=(("to-admin", "true"),))
    grants = grants_of([gone, part, bind("b", "a", sa("me"), kind="ClusterRole")])
    assert [bool(grants.allowing(ME, *GET, at)) for at in (50.0, 200.0)] == [True, False]
