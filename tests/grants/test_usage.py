"""Rights against use: what is granted and idle, and the narrowest roles, which allow exactly what was used."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_rbac import bind, role, rule, sa

from actors.cluster.records import Binding, Role, Rule, Subject
from actors.evidence import Account, ObjectName, Scope
from actors.grants import READ_VERBS, Grants, Use, by_account, narrowest, unused
from web.rights import _yaml

ME = Account("app", "me")


def use(verb: str, namespace: str | None, name: str | None, last: float = 100.0) -> Use:
    return Use(ME, Scope(namespace, name), verb, 1.0, last, 1)


def grants_of(*records: Role | Binding) -> Grants:
    grants = Grants()
    for each in records:
        grants.upsert_role(each) if isinstance(each, Role) else grants.upsert_binding(each)
    return grants


def test_what_was_not_used_since() -> None:
    """By verb: used lately, used long ago, never; a grant that the API server may not have named counts as used too."""
    grants = grants_of(
        role("r", rule("get list watch")), role("s", rule("get")), bind("a", "r", sa("me")), bind("b", "s", sa("me"))
    )  # fmt: skip
    uses = by_account([use("get", "app", "x"), use("list", "app", None, last=10.0)])
    found = list(unused(grants, [ME], uses, before=50.0))
    assert [(each.grant.binding.name, each.verbs, each.last_seen) for each in found] == [("a", ("list", "watch"), 10.0)]
    assert list(unused(grants, [Account("app", "nobody")], uses, before=50.0)) == []


def test_a_role_that_nobody_else_has_is_narrowed_in_place() -> None:
    """The same name, so that kubectl diff shows what goes; a role that is shared, or lets more than reading, is left alone."""
    own = role("own", rule("get"))
    shared = bind("b", "own", sa("you"))
    writes = Role(own.name, (Rule(("get", "delete"), ("",), ("secrets",)),))
    binding = bind("a", "own", sa("me"))
    group = Binding(binding.name, "Role", "own", (Subject("Group", "system:serviceaccounts:app"),))
    used = [use("get", "app", "x")]
    for roles, bindings, kept in (
        ([own], [binding], True),
        ([own], [binding, shared], False),
        ([writes], [binding], False),
        ([own], [group], False),
        ([], [], False),
    ):
        (found,) = narrowest(ME, used, roles, bindings)
        assert kept is not found.is_new
        assert ("own" if kept else "me-reads-secrets") == found.name.name


VERBS = st.sampled_from(READ_VERBS)
REQUESTS = st.one_of(
    st.tuples(VERBS, st.sampled_from(["app", "other"]), st.sampled_from(["x", "y", "z"])),
    st.tuples(st.sampled_from(["list", "watch"]), st.sampled_from(["app", "other", None]), st.none()),
)


@settings(max_examples=200, deadline=None)
@given(st.sets(REQUESTS, min_size=1, max_size=8))
def test_the_narrowest_roles_allow_what_was_used_and_nothing_else(
    used: set[tuple[str, str | None, str | None]],
) -> None:
    """Written as YAML, read back and asked: each request, and every one that RBAC must allow with it."""
    found = narrowest(ME, [use(*each) for each in used], [], [])
    documents = [each for one in found for each in yaml.safe_load_all(_yaml(one))]
    grants = grants_of(*(_record(each) for each in documents))
    for verb in READ_VERBS:
        for namespace in ("app", "other", None):
            for name in ("x", "y", "z", "w", None):
                if namespace is None and name is not None:
                    continue
                wanted = {(verb, namespace, name), (verb, namespace, None), (verb, None, None)} & used
                assert bool(wanted) is bool(grants.allowing(ME, verb, namespace, name)), (verb, namespace, name)


def _record(document: dict[str, Any]) -> Role | Binding:
    meta = document["metadata"]
    name = ObjectName(document["kind"], meta.get("namespace"), meta["name"])
    if "rules" in document:
        return Role(name, tuple(
            Rule(tuple(r["verbs"]), tuple(r["apiGroups"]), tuple(r["resources"]), tuple(r.get("resourceNames", ())))
            for r in document["rules"]
        ))  # fmt: skip
    ref = document["roleRef"]
    subjects = tuple(Subject(s["kind"], s["name"], s["namespace"]) for s in document["subjects"])
    return Binding(name, ref["kind"], ref["name"], subjects)


def test_names_that_look_like_numbers_stay_names() -> None:
    """A Secret may be called 1 or 2024-01-01 or null."""
    (found,) = narrowest(ME, [use("get", "app", name) for name in ("1", "2024-01-01", "null")], [], [])
    document = next(yaml.safe_load_all(_yaml(found)))
    assert document["rules"][0]["resourceNames"] == ["1", "2024-01-01", "null"]
