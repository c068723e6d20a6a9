"""Answers to who may read what, and queries as JSON lines."""

from __future__ import annotations

import json

import pytest
from naive_rbac import bind, role, rule, sa

from actors.cluster.records import Subject
from actors.evidence import Account, Scope
from actors.grants import BadQuery, Grants, access_of, answer_queries, parse_account, readers_of

ME, YOU = Account("app", "me"), Account("app", "you")


def example() -> Grants:
    """me may get x and list everything in app; you may watch everywhere; a binding of me's that went does not count."""
    grants = Grants()
    for each in (
        role("named", rule("get", names=["x"])),
        role("list", rule("list")),
        role("wide", rule("watch"), namespace=None),
    ):
        grants.upsert_role(each)
    for each in (
        bind("a", "named", sa("me")),
        bind("b", "list", sa("me")),
        bind("c", "wide", sa("you"), namespace=None),
    ):
        grants.upsert_binding(each)
    grants.upsert_binding(bind("gone", "list", sa("you"), gone_at=5.0))
    return grants


def test_readers_of_a_secret() -> None:
    """Each account with its verbs and the grants that give them; what is revoked does not count."""
    found = readers_of(example(), "app", "x", [YOU, ME, Account("app", "nobody")])
    assert [(each.account, each.verbs, [grant.binding.name for grant in each.grants]) for each in found] == [
        (YOU, ("watch",), ["c"]),
        (ME, ("get", "list"), ["a", "b"]),
    ]


def test_access_of_an_account() -> None:
    """One entry a grant and scope."""
    found = [(each.grant.binding.name, each.scope, each.verbs) for each in access_of(example(), ME)]
    assert [("a", Scope("app", "x"), ("get",)), ("b", Scope("app", None), ("list",))] == found
    assert [each.grant.binding.name for each in access_of(example(), YOU)] == ["c"]


def query(account: str = "app/me", verb: str = "get", namespace: object = "app", name: object = "x") -> bytes:
    return json.dumps({"account": account, "verb": verb, "namespace": namespace, "name": name}).encode()


def test_queries_are_answered_in_order() -> None:
    """Allowed or not, with the grants as the contract writes them; empty lines are nothing."""
    lines = [query(), b"\n", query(verb="watch"), query("app/you", "watch", None, None)]
    named = {
        "binding": {"kind": "RoleBinding", "namespace": "app", "name": "a"},
        "role": {"kind": "Role", "namespace": "app", "name": "named"},
    }
    wide = {
        "binding": {"kind": "ClusterRoleBinding", "namespace": None, "name": "c"},
        "role": {"kind": "ClusterRole", "namespace": None, "name": "wide"},
    }
    expected = [
        {"allowed": True, "grants": [named]},
        {"allowed": False, "grants": []},
        {"allowed": True, "grants": [wide]},
    ]
    assert expected == [json.loads(line) for line in answer_queries(example(), lines)]


def test_a_binding_that_went_answers_no_query() -> None:
    """Access is about now."""
    assert list(answer_queries(example(), [query("app/you", "list", "app", None)])) == [
        b'{"allowed":false,"grants":[]}'
    ]


def test_odd_names_come_out_as_they_are() -> None:
    """Names of bindings may hold quotes, tabs and any letter."""
    grants = Grants()
    name = 'odd "ü"\t\\'
    grants.upsert_role(role(name, rule()))
    grants.upsert_binding(bind(name, name, Subject("Group", "system:authenticated")))
    (answer,) = answer_queries(grants, [query()])
    assert name == json.loads(answer)["grants"][0]["binding"]["name"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b'{"account":"\xff","verb":"get"}', "not valid JSON"),
        (b"[" * 9000, "Expected `object`"),
        (b"7", "Expected `object`"),
        (b'{"verb":"get"}', "missing required field `account`"),
        (b'{"account":"a/b","verb":"get","namepsace":"x"}', "unknown field `namepsace`"),
        (query(verb="delete"), "verb must be get, list or watch"),
        (query("me"), "account must be namespace/name"),
        (query("app/me/x"), "account must be namespace/name"),
        (query("APP/me"), "account must be namespace/name"),
        (query(namespace=7), "Expected `str | null`"),
        (b" " + query() + b" " * 70_000, "longer than 65536 bytes"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_bad_line_is_named(line: bytes, what: str) -> None:
    """The number of the line and what is wrong; what came before is answered."""
    answers = answer_queries(example(), [query(), b"", line])
    assert next(answers)[:15] == b'{"allowed":true'
    with pytest.raises(BadQuery, match=r"^line 3: ") as refused:
        next(answers)
    assert what in str(refused.value)


def test_parse_account() -> None:
    """namespace/name, both as Kubernetes allows them."""
    assert Account("kube-system", "app.v1") == parse_account("kube-system/app.v1")
