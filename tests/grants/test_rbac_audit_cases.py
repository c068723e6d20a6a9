"""The written cases in which both halves must agree: what an audit event says was asked, and what RBAC says of that (D to L)."""

from __future__ import annotations

from typing import Any

import pytest
from audit_events import ALLOWED, RECEIVED_AT, event, event_list, extra, ref, user, watch
from naive_rbac import aggregate, bind, labelled, role, rule, sa

from actors.cluster.decode import decode_json
from actors.cluster.raw import RawPod
from actors.cluster.records import Binding, Role, Subject
from actors.evidence import Account, ObjectName, PodClaim, Read, Scope, observation_key
from actors.grants import Grants, escalations_of
from actors.grants.usage import Use, by_account, narrowest, unused
from actors.messages import ParsedBatch
from actors.parser import parse_body

ME = Account("app", "reader-sa")
ACCOUNT = Subject("ServiceAccount", ME.name, "app")
REASON = "authorization.k8s.io/reason"


def parsed(*items: Any) -> ParsedBatch:
    return parse_body(event_list(*items), RECEIVED_AT)


def the_read(item: Any) -> Read:
    (read,) = parsed(item).reads
    return read


def given(*objects: Role | Binding) -> Grants:
    grants = Grants()
    for each in objects:
        grants.upsert_role(each) if isinstance(each, Role) else grants.upsert_binding(each)
    return grants


def allowed(grants: Grants, read: Read) -> list[str]:
    """The bindings each of which allows this very request."""
    found = grants.allowing(read.account, read.verb, read.scope.namespace, read.scope.name)
    return [each.binding.name for each in found]


def says(reason: str) -> dict[str, str]:
    return ALLOWED | {REASON: reason}


# --- D: names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_d5_a_list_narrowed_to_a_name_is_of_that_secret(verb: str) -> None:
    """The field selector's name comes in objectRef.name: the read is of one Secret, and a rule with this name allows it."""
    item = event(verb=verb, requestURI="/api/v1/namespaces/app/secrets?fieldSelector=metadata.name%3Ddb-creds")
    grants = given(
        role("one", rule("list watch", names=["db-creds"])), bind("one", "one", ACCOUNT),
        role("two", rule("list watch", names=["other"])), bind("two", "two", ACCOUNT),
        role("all", rule("list watch")), bind("all", "all", ACCOUNT),
    )  # fmt: skip
    read = the_read(item)
    assert (read.verb, read.scope) == (verb, Scope("app", "db-creds"))
    assert allowed(grants, read) == ["all", "one"]


def test_d5_a_list_without_a_name_is_of_the_collection() -> None:
    """No rule with names allowed it."""
    read = the_read(event(verb="list", objectRef=ref(name=None)))
    grants = given(role("one", rule("list", names=["db-creds"])), bind("one", "one", ACCOUNT))
    assert (read.scope, allowed(grants, read)) == (Scope("app", None), [])


@pytest.mark.parametrize(
    ("resource", "leads"),
    [("pods/exec", True), ("serviceaccounts/token", True), ("pods", False), ("secrets", False)],
)
def test_d7_a_create_of_a_subresource_carries_a_name(resource: str, leads: bool) -> None:
    """Names limit it; a create of a resource of its own has no name yet, so a rule with names never allows it."""
    grants = given(role("r", rule("create", resources=[resource], names=["x"])), bind("b", "r", ACCOUNT))
    assert [each.names for each in escalations_of(grants.held_by(ME))] == ([("x",)] if leads else [])


# --- E: the server's reason --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whom", ['ServiceAccount "reader-sa/app"', 'Group "system:serviceaccounts:app"', 'User "x"'])
def test_e4_the_reason_has_the_name_before_the_namespace(whom: str) -> None:
    """`"NAME/NAMESPACE"`, whatever the kind of subject."""
    read = the_read(event(annotations=says(f'RBAC: allowed by RoleBinding "ns/app" of Role "r" to {whom}')))
    assert read.named is not None
    assert read.named.binding == ObjectName("RoleBinding", "app", "ns")


def test_e6_what_another_authorizer_allowed_names_no_grant() -> None:
    """The read counts; that RBAC allows nothing is not that the cluster denies."""
    read = the_read(event(annotations=says("allowed by a webhook")))
    assert (read.named, allowed(given(), read)) == (None, [])


def test_l8_the_binding_that_the_reason_names_is_among_those_that_allow_it() -> None:
    """Of several that do the server names the first; the model has all."""
    grants = given(role("r", rule()), bind("b", "r", ACCOUNT), bind("a", "r", Subject("Group", "system:authenticated")))
    read = the_read(event())
    assert read.named is not None
    assert read.named.binding.name in allowed(grants, read) == ["a", "b"]


# --- G: whose pod ------------------------------------------------------------------------------------------------------


def test_g14_a_pod_without_an_account_has_the_grants_of_default() -> None:
    """The account of its own namespace."""
    raw = decode_json(
        b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"app"},"spec":{"containers":[]}}'
    )
    assert isinstance(raw, RawPod)
    grants = given(role("r", rule()), bind("b", "r", sa("default")))
    assert [each.binding.name for each in grants.allowing(raw.pod.account, "get", "app", "x")] == ["b"]


# --- I: aggregation ----------------------------------------------------------------------------------------------------


def test_i3_selected_roles_come_by_name_and_their_rules_once() -> None:
    """Two roles with one and the same rule are one right; both are named as contributors."""
    parts = [role(name, rule(), namespace=None, labels=(("to", "true"),)) for name in ("z", "a")]
    whole = aggregate("w", labelled("to", "true"))
    grants = given(*parts, whole, bind("b", "w", ACCOUNT, kind="ClusterRole"))
    (grant,) = grants.grants_of(ME)
    assert len(grant.rules) == 1
    assert [each.name for each in grants.contributors(whole.name)] == ["a", "z"]


# --- K: what covers what, as far as it is claimed: rights held against rights used -------------------------------------


def use(verb: str, name: str | None) -> Use:
    return Use(ME, Scope("app", name), verb, 1.0, 100.0, 1)


def idle(granted: list[Role | Binding], *uses: Use) -> list[tuple[str | None, tuple[str, ...]]]:
    found = unused(given(*granted), [ME], by_account(uses), before=50.0)
    return [(each.scope.name, each.verbs) for each in found]


def test_k2_several_rules_together_cover_what_was_used() -> None:
    """One verb in one rule, one in another."""
    both = [role("r", rule("get"), rule("list")), bind("b", "r", ACCOUNT)]
    assert idle(both, use("get", "x"), use("list", None)) == []


def test_k4_what_is_not_covered_is_named_exactly() -> None:
    """The one verb, of the one name."""
    two = [role("r", rule("get watch", names=["x", "y"])), bind("b", "r", ACCOUNT)]
    assert idle(two, use("get", "x"), use("watch", "x"), use("get", "y")) == [("y", ("watch",))]


def test_k5_a_star_covers_every_verb_that_reads() -> None:
    """What of it was not used is an enumeration."""
    star = [role("r", rule("*", ["*"], ["*"])), bind("b", "r", ACCOUNT)]
    assert idle(star, use("get", "x")) == [(None, ("list", "watch"))]


def test_k6_no_names_cover_a_name_and_a_name_covers_no_collection() -> None:
    """A read of one Secret uses the grant of all; a list of all does not use the grant of one."""
    assert idle([role("r", rule("list")), bind("b", "r", ACCOUNT)], use("list", "x")) == []
    assert idle([role("r", rule("list", names=["x"])), bind("b", "r", ACCOUNT)], use("list", None)) == [
        ("x", ("list",))
    ]


def test_k6_the_narrowest_role_of_a_collection_has_no_names() -> None:
    """A name beside it would be covered already."""
    (found,) = narrowest(ME, [use("list", None), use("list", "x")], [], [])
    assert [(each.verbs, each.names) for each in found.rules] == [(("list",), ())]


# --- L: the audit side -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"stage": "RequestReceived", "annotations": None, "responseStatus": None}, "stage"),
        ({"annotations": {REASON: "internal error"}}, "denied"),
        ({"annotations": {"authorization.k8s.io/decision": "forbid", REASON: ""}}, "denied"),
        ({"annotations": None}, "denied"),
    ],
)
def test_l1_only_an_allowed_request_is_a_read(changes: dict[str, Any], why: str) -> None:
    """The decision is written after authorization: before, and on an authorizer's error, there is none."""
    assert (parsed(event(**changes)).reads, parsed(event(**changes)).dropped) == ((), {why: 1})


@pytest.mark.parametrize(("code", "why"), [(404, "not_found"), (403, "failed"), (410, "failed"), (500, "failed")])
def test_l2_allowed_and_not_answered_is_no_read(code: int, why: str) -> None:
    """No byte of the Secret was given."""
    batch = parsed(event(responseStatus={"metadata": {}, "code": code}))
    assert (batch.reads, batch.dropped) == ((), {why: 1})


@pytest.mark.parametrize(
    ("item", "scope", "covered"),
    [
        (event(), Scope("app", "db-creds"), {"app/db-creds"}),
        (event(verb="list", objectRef=ref(name=None)), Scope("app", None), {"app/db-creds", "app/b"}),
        (
            event(verb="list", objectRef=ref(name=None, namespace=None)),
            Scope(None, None),
            {"app/db-creds", "app/b", "o/c"},
        ),
        (watch(), Scope("app", None), {"app/db-creds", "app/b"}),
        (watch(objectRef=ref()), Scope("app", "db-creds"), {"app/db-creds"}),
    ],
    ids=["get", "list in a namespace", "list everywhere", "watch in a namespace", "watch of one"],
)
def test_l3_a_request_covers_the_secrets_of_its_scope(item: Any, scope: Scope, covered: set[str]) -> None:
    """A collection stands for every Secret that is there."""
    read = the_read(item)
    there = [("app", "db-creds"), ("app", "b"), ("o", "c")]
    assert read.scope == scope
    assert {f"{namespace}/{name}" for namespace, name in there if scope.covers(namespace, name)} == covered


def test_l4_both_stages_of_a_watch_are_one_observation() -> None:
    """From ResponseStarted on, until ResponseComplete under the same audit id."""
    query = "watch=true&timeoutSeconds=1800"
    start, end = the_read(watch(query)), the_read(watch(query, stage="ResponseComplete"))
    assert (observation_key(start), start.audit_id, start.complete) == (observation_key(end), end.audit_id, False)
    assert (end.complete, start.open_s) == (True, 1800.0)


def test_l5_what_was_done_as_somebody_else_is_borrowed() -> None:
    """It is of the real caller, and by none of his rights."""
    batch = parsed(event(impersonatedUser={"username": "system:serviceaccount:app:admin"}))
    assert [(each.account, each.borrowed) for each in batch.reads] == [(ME, True)]
    assert batch.dropped == {"impersonated": 1}


def test_l6_a_bound_token_names_its_pod_and_a_legacy_one_names_none() -> None:
    """Pod, node and credential, as the API server authenticated them."""
    bound, legacy = the_read(event()), the_read(event(user=user(extra=None)))
    assert (bound.claim, bound.node, bound.credential_id) == (PodClaim("web-1", "uid-1"), "node-1", "JTI=575b347b")
    assert (legacy.claim, legacy.node, legacy.credential_id) == (None, None, None)
    assert the_read(event(user=user(extra=extra(pod="web-2", uid="u2")))).claim == PodClaim("web-2", "u2")


def test_l7_a_read_of_metadata_only_looks_like_any_other() -> None:
    """The Accept header is not in the event: such a list counts as one, an upper bound."""
    item = event(verb="list", objectRef=ref(name=None), userAgent="metadata-informer/v1 PartialObjectMetadataList")
    assert the_read(item).scope == Scope("app", None)
