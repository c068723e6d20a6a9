"""What counts as a read, and under which reason every other item is dropped."""

from __future__ import annotations

from typing import Any

import pytest
from audit_events import ALLOWED, RECEIVED_AT, event, event_list, ref, user, watch

from actors.evidence import Account, Scope
from actors.messages import ParsedBatch
from actors.parser import Drop, parse_body
from actors.parser.rule import RULES


def parsed(*items: Any) -> ParsedBatch:
    """What a list of these items gives."""
    return parse_body(event_list(*items), RECEIVED_AT)


def status(code: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {}, "code": code} | more


FORBID = {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""}
AS = {"username": "system:serviceaccount:app:other"}

# reason, item
DROPPED: list[tuple[str, Any]] = [
    # no object, or fields of the wrong type
    ("malformed", "a string"),
    ("malformed", 7),
    ("malformed", None),
    ("malformed", []),
    ("malformed", event(verb=7)),
    ("malformed", event(objectRef="secrets")),
    ("malformed", event(user=[])),
    ("malformed", event(annotations={"authorization.k8s.io/decision": True})),
    ("malformed", event(sourceIPs="10.0.0.1")),
    ("malformed", event(impersonatedUser="x")),
    ("malformed", event(responseStatus={"code": "200"})),
    # no verb: no event
    ("malformed", {}),
    ("malformed", event(verb=None)),
    # names that Kubernetes does not allow, of what asks for Secrets
    ("malformed", event(objectRef=ref(name="n" * 254))),
    ("malformed", event(objectRef=ref(name="n" * 10_000))),
    ("malformed", event(objectRef=ref(name="<script>"))),
    ("malformed", event(objectRef=ref(namespace="n" * 64))),
    ("malformed", event(objectRef=ref(namespace="a/b"))),
    ("malformed", event(user=user(username="system:serviceaccount:app:" + "n" * 254))),
    ("malformed", event(user=user(username=f"system:serviceaccount:{'n' * 64}:sa"))),
    ("malformed", event(objectRef=ref(name="a\x07b"))),
    ("malformed", event(user=user(extra={"authentication.kubernetes.io/pod-name": ["p" * 254]}))),
    ("malformed", event(user=user(extra={"authentication.kubernetes.io/pod-uid": ["u" * 129]}))),
    ("malformed", event(user=user(extra={"authentication.kubernetes.io/pod-name": "p"}))),
    # the doctor's own, also where nothing else of it is as it should be
    ("probe", event(verb="protector-probe", objectRef=ref(name="n" * 300))),
    # verbs that are no reads, whatever the names
    *(
        ("not_a_read", event(verb=verb))
        for verb in ("create", "update", "patch", "delete", "deletecollection", "GET", "")
    ),
    ("not_a_read", event(verb="update", objectRef=ref(name="n" * 300))),
    # other things than core Secrets
    ("not_a_secret", event(objectRef=None)),
    ("not_a_secret", event(objectRef=ref(resource=None))),
    ("not_a_secret", event(objectRef=ref(resource="configmaps"))),
    ("not_a_secret", event(objectRef=ref(resource="configmaps", name="N" * 300))),
    ("not_a_secret", event(objectRef=ref(apiGroup="example.com"))),
    ("not_a_secret", event(objectRef=ref(subresource="status"))),
    # stages at which nothing is known yet, or nothing was given
    ("stage", event(stage="RequestReceived")),
    ("stage", event(stage="Panic")),
    ("stage", event(stage="ResponseStarted")),
    ("stage", event(stage="ResponseStarted", verb="list")),
    ("stage", event(stage="Later")),
    ("stage", watch(stage="RequestReceived")),
    # a 401: one item at ResponseStarted, without a user
    ("stage", event(stage="ResponseStarted", user={}, annotations=None, responseStatus=status(401))),
    # as somebody else
    ("impersonated", event(impersonatedUser=AS)),
    ("impersonated", event(impersonatedUser={})),
    ("impersonated", event(user={"username": "kubernetes-admin"}, impersonatedUser=AS)),
    # callers that are no account
    ("not_a_service_account", event(user=None)),
    ("not_a_service_account", event(user={})),
    ("not_a_service_account", event(user=user(username="alice@example.com"))),
    ("not_a_service_account", event(user=user(username="system:serviceaccount:app"))),
    ("not_a_service_account", event(user=user(username="system:serviceaccount:app:"))),
    ("not_a_service_account", event(user=user(username="system:serviceaccount::sa"))),
    ("not_a_service_account", event(user=user(username="system:serviceaccount:ns:rea:der"))),
    ("not_a_service_account", event(user=user(username="system:serviceaccounts:app:sa"))),
    ("not_a_service_account", event(user=user(username="system:serviceaccount:a:B"))),
    ("not_a_service_account", event(user=user(username="system:serviceaccount:App:sa"))),
    ("not_a_service_account", event(user=user(username="system:serviceaccount:app:a\x07"))),
    ("not_a_service_account", event(user=user(username="x" * 10_000))),
    # no positive decision
    ("denied", event(annotations=FORBID, responseStatus=status(403, status="Failure"))),
    ("denied", event(annotations={})),
    ("denied", event(annotations=None)),
    ("denied", event(annotations={"authorization.k8s.io/reason": "internal error"})),
    # allowed, and nothing was read
    ("not_found", event(responseStatus=status(404, status="Failure", reason="NotFound"))),
    ("failed", event(responseStatus=status(500))),
    ("failed", event(responseStatus=status(101))),
    ("failed", event(responseStatus=status(304))),
    ("failed", event(responseStatus=status(504))),
    ("failed", event(responseStatus=status(0))),
    ("closed_early", event(responseStatus=status(200, message="Connection closed early"))),
]


@pytest.mark.parametrize(("why", "item"), DROPPED)
def test_what_is_no_read_is_dropped_under_its_reason(why: str, item: Any) -> None:
    """Alone it gives no read, and is counted once, under this reason."""
    batch = parsed(item)
    reads = tuple(read for read in batch.reads if not (read.borrowed or read.ends_only))
    assert (1, (), {why: 1}, None) == (batch.events, reads, batch.dropped, batch.error)


@pytest.mark.parametrize(
    "item",
    [
        # as the API server writes it, and as hand-made events are
        event(),
        event(stage=None, responseStatus=None),
        event(
            stage=None,
            sourceIPs=None,
            userAgent=None,
            auditID=None,
            requestURI=None,
            requestReceivedTimestamp=None,
            stageTimestamp=None,
        ),
        event(user={"username": "system:serviceaccount:app:reader-sa"}),
        # absent, null and "" are the same
        event(objectRef=ref() | {"apiGroup": "", "subresource": ""}, stage=""),
        event() | {"impersonatedUser": None, "responseStatus": None, "stage": None},
        # every success
        event(responseStatus=status(200, message="fine")),
        event(responseStatus=status(206)),
        event(responseStatus=status(299)),
        event(responseStatus={"metadata": {}}),
        # all verbs, a watch at its start and at its end
        event(verb="list", objectRef=ref(name=None)),
        watch(),
        watch(stage="ResponseComplete"),
        # fields that nobody knows, also of odd types
        event(x={"y": [1, 2.5, None, True]}, level=7),
    ],
)
def test_an_allowed_read_by_an_account_counts(item: Any) -> None:
    """One item, one read, nothing dropped."""
    batch = parsed(item)
    assert (batch.events, len(batch.reads), batch.dropped, batch.error) == (1, 1, {}, None)


def test_the_first_reason_that_applies_is_the_one() -> None:
    """An item with every fault is mended from the front, fault by fault: the reasons appear in the order of Drop."""
    faults = {
        "verb": ("update", "get"),
        "objectRef": (ref(resource="pods"), ref()),
        "stage": ("Panic", "ResponseComplete"),
        "impersonatedUser": (AS, None),
        "user": ({"username": "alice"}, user()),
        "annotations": (FORBID, ALLOWED),
    }
    ends = [status(404, message="Connection closed early"), status(500, message="Connection closed early")]
    ends.append(status(200, message="Connection closed early"))
    fields: dict[str, Any] = {key: bad for key, (bad, _) in faults.items()} | {"responseStatus": ends[0]}
    seen = [*parsed(event(**fields)).dropped]
    for key, (_, good) in faults.items():
        fields[key] = good
        seen += parsed(event(**fields)).dropped
    for end in ends[1:]:
        seen += parsed(event(**fields | {"responseStatus": end})).dropped
    assert [drop.value for drop in Drop if drop is not Drop.NOT_AUDIT][3:] == seen


def test_the_rows_of_the_table_stand_in_the_order_of_the_reasons() -> None:
    """But for malformed names, which are looked for only where a Secret is asked for, and oversized, which has no row."""
    order = [drop for drop, _ in RULES if drop is not Drop.MALFORMED]
    assert [drop for drop in Drop if drop not in (Drop.MALFORMED, Drop.OVERSIZED, Drop.NOT_AUDIT)] == order


# --- impersonation -------------------------------------------------------------------------------------------------


def test_what_an_account_reads_as_somebody_else_is_borrowed() -> None:
    """It counts as dropped and is kept: of the account that asked, for the Secret that was asked for."""
    batch = parsed(event(impersonatedUser=AS | {"extra": {"authentication.kubernetes.io/pod-name": ["forged"]}}))
    (read,) = batch.reads
    expected = (1, {"impersonated": 1}, True, Account("app", "reader-sa"), Scope("app", "db-creds"), "web-1")
    claim = read.claim.name if read.claim is not None else None
    assert expected == (batch.events, batch.dropped, read.borrowed, read.account, read.scope, claim)


@pytest.mark.parametrize(
    "changes",
    [
        {"user": {"username": "kubernetes-admin"}},
        {"annotations": FORBID},
        {"responseStatus": status(404)},
        {"responseStatus": status(500)},
        {"responseStatus": status(200, message="Connection closed early")},
    ],
)
def test_only_what_would_be_a_read_is_borrowed(changes: dict[str, Any]) -> None:
    """Others who impersonate, and requests that gave nothing, leave no read at all."""
    batch = parsed(event(impersonatedUser=AS, **changes))
    assert (batch.reads, batch.dropped) == ((), {"impersonated": 1})


# --- the seed's thirteen ---------------------------------------------------------------------------------------------
# Expiry and repeats (its tests 12 and 13) are the store's.


def test_allowed_get_secret_by_sa_parses() -> None:
    """Seed 1: account, Secret, verb, and how the Secret is shown."""
    (read,) = parsed(event()).reads
    assert (str(read.account), str(read.scope), read.verb) == ("app/reader-sa", "app/db-creds", "get")


def test_list_and_watch_are_covered() -> None:
    """Seed 2: without a name every Secret of the namespace is meant."""
    batch = parsed(event(verb="list", objectRef=ref(name=None)), watch())
    assert [(read.verb, str(read.scope)) for read in batch.reads] == [("list", "app/*"), ("watch", "app/*")]


def test_cluster_wide_list_has_no_namespace() -> None:
    """Seed 3: neither name nor namespace."""
    (read,) = parsed(event(verb="list", objectRef=ref(name=None, namespace=None))).reads
    assert (Scope(None, None), "*") == (read.scope, str(read.scope))


@pytest.mark.parametrize("annotations", [FORBID, {}])
def test_denied_request_is_not_a_read(annotations: dict[str, str]) -> None:
    """Seed 4: forbidden, or no decision at all."""
    assert parsed(event(annotations=annotations)).reads == ()


@pytest.mark.parametrize("verb", ["create", "update", "patch", "delete", "deletecollection"])
def test_non_read_verbs_are_ignored(verb: str) -> None:
    """Seed 5: only get, list and watch read."""
    assert parsed(event(verb=verb)).reads == ()


@pytest.mark.parametrize("objectref", [ref(resource="configmaps"), ref(apiGroup="example.com")])
def test_non_secret_resources_are_ignored(objectref: dict[str, str]) -> None:
    """Seed 6: other resources, and other groups' secrets."""
    assert parsed(event(objectRef=objectref)).reads == ()


@pytest.mark.parametrize("username", ["alice@example.com", "system:serviceaccount:app"])
def test_non_service_account_users_are_ignored(username: str) -> None:
    """Seed 7: people, and names that are none of an account."""
    assert parsed(event(user=user(username=username))).reads == ()


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"verb":"get"}',
        b'{"verb":5}',
        b'{"verb":"get","objectRef":"secrets"}',
        b'{"verb":"get","objectRef":{"resource":"secrets"}}',
        b'{"verb":"get","objectRef":{"resource":"secrets"},"user":{},"annotations":{"authorization.k8s.io/decision":"allow"}}',
        b"null",
        b'"just a string"',
        b"[1,2,3]",
    ],
)
def test_malformed_payloads_are_rejected_without_panic(body: bytes) -> None:
    """Seed 8: nine bodies that hold no read."""
    assert parse_body(body, RECEIVED_AT).reads == ()


def test_untrusted_fields_are_size_bounded() -> None:
    """Seed 9, stricter: a name that long is no name; free text is cut at 512 characters."""
    batch = parsed(event(objectRef=ref(name="x" * 10_000)), event(userAgent="x" * 10_000))
    assert (batch.dropped, [read.user_agent for read in batch.reads]) == ({"malformed": 1}, ["x" * 512])


def test_event_list_batch_parses_only_the_secret_reads() -> None:
    """Seed 10: two of four, in their order."""
    pods = event(verb="list", objectRef=ref(resource="pods", name=None))
    batch = parsed(event(), event(annotations=FORBID), pods, watch(objectRef=ref(namespace="billing", name=None)))
    assert ([str(read.scope) for read in batch.reads], batch.events) == (["app/db-creds", "billing/*"], 4)


BAD_ENDS = [
    ("failed", {"responseStatus": status(500)}),
    ("not_found", {"responseStatus": status(404)}),
    ("closed_early", {"responseStatus": status(200, message="Connection closed early")}),
    ("stage", {"stage": "Panic", "responseStatus": status(500)}),
    ("impersonated", {"impersonatedUser": AS, "responseStatus": status(500)}),
]


@pytest.mark.parametrize(("why", "changes"), BAD_ENDS)
def test_the_end_of_a_watch_that_is_dropped_still_says_that_it_is_over(why: str, changes: dict[str, Any]) -> None:
    """It is dropped and counted as ever, and is the same watch as its start; a window that has it holds it open no longer."""
    as_other = {"impersonatedUser": AS} if "impersonatedUser" in changes else {}
    start, end = (
        parsed(watch(stage="ResponseStarted", **as_other)),
        parsed(watch(**{"stage": "ResponseComplete"} | changes)),
    )
    (started,), (ended,) = start.reads, end.reads
    assert ({why: 1}, 1) == (end.dropped, end.events)
    assert (ended.ends_only, ended.complete, started.ends_only) == (True, True, False)
    told_apart_by = [(r.account, r.scope, r.claim, r.borrowed, r.audit_id, r.at, r.uri_hash) for r in (started, ended)]
    assert told_apart_by[0] == told_apart_by[1]


@pytest.mark.parametrize(
    "item",
    [
        event(responseStatus=status(500)),
        watch(stage="ResponseStarted", responseStatus=status(500)),
        watch(stage="RequestReceived"),
        watch(stage="ResponseComplete", annotations=FORBID, responseStatus=status(403)),
        watch(stage="ResponseComplete", user=user(username="kubernetes-admin"), responseStatus=status(500)),
    ],
)
def test_nothing_else_that_is_dropped_ends_a_watch(item: Any) -> None:
    """No get, no stage before the end, nothing denied, nobody who is no account."""
    assert parsed(item).reads == ()
