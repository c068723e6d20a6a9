"""What is kept of a read."""

from __future__ import annotations

from typing import Any

import pytest
from audit_events import AT, RECEIVED_AT, event, event_list, ref, user, watch

from actors.evidence import Account, GrantName, ObjectName, PodClaim, Read, Scope
from actors.parser import parse_body
from actors.parser.reads import at_of, open_s_of, uri_hash_of

KEY = "authentication.kubernetes.io/"


def the_read(item: dict[str, Any], received_at: float = RECEIVED_AT) -> Read:
    """The one read of a list with this item."""
    (read,) = parse_body(event_list(item), received_at).reads
    return read


def test_a_read_keeps_exactly_this() -> None:
    """Every field of a pod-bound get."""
    expected = Read(
        account=Account("app", "reader-sa"),
        scope=Scope("app", "db-creds"),
        verb="get",
        at=AT,
        stage_at=AT,
        complete=True,
        open_s=0.0,
        claim=PodClaim("web-1", "uid-1"),
        node="node-1",
        credential_id="JTI=575b347b",
        source_ip="10.244.1.35",
        user_agent="web/1.4.0 (linux/amd64)",
        audit_id="0c326fda-9124-4bff-961f-7bbce4585350",
        uri_hash=0,
        named=GrantName(ObjectName("RoleBinding", "app", "b"), ObjectName("Role", "app", "r")),
        borrowed=False,
    )
    assert expected == the_read(event())


def test_a_hand_made_read_keeps_what_there_is() -> None:
    """With no times, the time of receipt; with no extra, no claim."""
    bare = {"verb": "get", "objectRef": ref(), "user": {"username": "system:serviceaccount:app:sa"}}
    read = the_read(bare | {"annotations": {"authorization.k8s.io/decision": "allow"}})
    assert Read(Account("app", "sa"), Scope("app", "db-creds"), "get", RECEIVED_AT, RECEIVED_AT) == read


# --- times -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at"),
    [
        # as the API server writes it
        ("2026-11-24T23:26:03.483218Z", AT),
        ("1970-01-01T00:00:01.000000Z", 1.0),
        # other precision, other offsets
        ("2026-11-24T23:26:03Z", AT - 0.483218),
        ("2026-11-24T23:26:03.483Z", AT - 0.000218),
        ("2026-11-24T23:26:03.483218999Z", AT),
        ("2026-11-25T00:26:03.483218+01:00", AT),
        # none
        (None, None),
        ("", None),
        ("2026-11-24T23:26:03.483218", None),
        ("0001-01-01T00:00:00.000000Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("2026-13-24T23:26:03.483218Z", None),
        ("2026-11-24T23:26:03.48x218Z", None),
        ("x" * 27, None),
        ("x" * 26 + "Z", None),
        ("9" * 10_000, None),
    ],
)
def test_times_are_read_in_every_way_they_are_written(text: str | None, at: float | None) -> None:
    """Epoch seconds, or no time."""
    assert at == pytest.approx(at_of(text), abs=1e-6) if at is not None else at_of(text) is None


@pytest.mark.parametrize(
    ("received", "staged", "at", "stage_at"),
    [
        # both, and one alone
        ("2026-11-24T23:26:03.000000Z", "2026-11-24T23:26:04.000000Z", 763.0, 764.0),
        (None, "2026-11-24T23:26:04.000000Z", 764.0, 764.0),
        ("2026-11-24T23:26:03.000000Z", None, 763.0, 763.0),
        ("not a time", "2026-11-24T23:26:04.000000Z", 764.0, 764.0),
        (None, None, 770.0, 770.0),
        # what lies ahead of the receipt is clamped to it
        ("2026-11-24T23:26:03.000000Z", "2026-11-24T23:59:00.000000Z", 763.0, 770.0),
        ("2027-01-01T00:00:00.000000Z", "2027-01-01T00:00:01.000000Z", 770.0, 770.0),
    ],
)
def test_the_time_of_a_read(received: str | None, staged: str | None, at: float, stage_at: float) -> None:
    """When it was received by the API server, else its stage's time, else when it came here."""
    read = the_read(watch(stage="ResponseComplete", requestReceivedTimestamp=received, stageTimestamp=staged))
    assert (at, stage_at) == (read.at - 1_795_562_000.0, read.stage_at - 1_795_562_000.0)


def test_only_a_watch_has_a_stage_time_of_its_own() -> None:
    """Nothing depends on when a get was answered, so it is not looked at."""
    read = the_read(event(stageTimestamp="2026-11-24T23:26:09.000000Z"))
    assert read.stage_at == read.at


def test_the_newest_time_of_a_batch_is_not_clamped() -> None:
    """It tells how far ahead or behind the sender's clock is, of whatever item it is."""
    other = event(verb="create", stageTimestamp="2026-11-24T23:30:00.000000Z")
    batch = parse_body(event_list(event(), other, event(stageTimestamp="nonsense")), RECEIVED_AT)
    assert batch.newest_at == RECEIVED_AT + 230.0


def test_a_batch_without_times_has_no_newest() -> None:
    """Rather than one that was made up."""
    assert parse_body(event_list(event(stageTimestamp=None)), RECEIVED_AT).newest_at is None


# --- watches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "open_s"),
    [
        # as clients write it
        ("/api/v1/secrets?watch=true&timeoutSeconds=432", 432.0),
        ("/api/v1/secrets?timeoutSeconds=3600&watch=1", 3600.0),
        # none, nothing, too much, nonsense: the longest that we hold anything open
        ("/api/v1/secrets?watch=true", 3600.0),
        ("/api/v1/secrets", 3600.0),
        (None, 3600.0),
        ("/api/v1/secrets?timeoutSeconds=0", 3600.0),
        ("/api/v1/secrets?timeoutSeconds=-5", 3600.0),
        ("/api/v1/secrets?timeoutSeconds=86400", 3600.0),
        ("/api/v1/secrets?timeoutSeconds=" + "9" * 5000, 3600.0),
        ("/api/v1/secrets?timeoutSeconds=", 3600.0),
        ("/api/v1/secrets?xtimeoutSeconds=5", 3600.0),
        ("/timeoutSeconds=5", 3600.0),
        # read as the API server reads it: nobody hides a long watch behind a short-looking one
        ("/api/v1/secrets?timeout%53econds=3000&timeoutSeconds=1", 3000.0),
        ("/api/v1/secrets?timeoutSeconds=3000&timeoutSeconds=1", 3000.0),
        ("/api/v1/secrets?timeoutSeconds=1;x=2&timeoutSeconds=3000", 3000.0),
    ],
)
def test_how_long_a_watch_can_stay_open(uri: str | None, open_s: float) -> None:
    """Seconds, never more than an hour."""
    assert open_s == open_s_of(uri)


def test_the_two_stages_of_a_watch_share_all_but_the_end() -> None:
    """Same account, time, audit id and URI hash; only the second is complete."""
    query = "watch=true&timeoutSeconds=500"
    start, end = (
        the_read(watch(query)),
        the_read(watch(query, stage="ResponseComplete", stageTimestamp="2026-11-24T23:26:09.000000Z")),
    )
    shared = [(read.account, read.at, read.audit_id, read.uri_hash, read.open_s) for read in (start, end)]
    assert (False, True, 500.0, shared[0]) == (start.complete, end.complete, end.open_s, shared[1])


def test_the_uri_hash_is_the_same_in_every_process() -> None:
    """A known value: the journal outlives the process."""
    assert uri_hash_of("/api/v1/secrets?watch=true") == -7_612_002_098_853_823_086


def test_other_uris_have_other_hashes() -> None:
    """And one that is absent has one."""
    assert len({uri_hash_of("/a"), uri_hash_of("/b"), uri_hash_of(None)}) == 3


# --- who, from where, with what --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "claim", "node", "credential"),
    [
        # a token of `kubectl create token`, of a node, of a legacy Secret
        ({f"{KEY}credential-id": ["JTI=1"]}, None, None, "JTI=1"),
        ({f"{KEY}credential-id": ["JTI=1"], f"{KEY}node-name": ["n"]}, None, "n", "JTI=1"),
        ({}, None, None, None),
        (None, None, None, None),
        # before 1.30: the pod only; and half of one
        ({f"{KEY}pod-name": ["p"], f"{KEY}pod-uid": ["u"]}, PodClaim("p", "u"), None, None),
        ({f"{KEY}pod-name": ["p"]}, PodClaim("p", None), None, None),
        ({f"{KEY}pod-uid": ["u"]}, PodClaim(None, "u"), None, None),
        # lists that are empty, or hold nothing, or more than one
        ({f"{KEY}pod-name": [], f"{KEY}pod-uid": [""]}, None, None, None),
        ({f"{KEY}pod-uid": ["u", "v"]}, PodClaim(None, "u"), None, None),
        # other keys do not matter
        ({"scopes.example.com": ["a", "b"], "odd": ["x"]}, None, None, None),
    ],
)
def test_for_whom_the_token_was_issued(
    extra: dict[str, list[str]] | None, claim: PodClaim | None, node: str | None, credential: str | None
) -> None:
    """From user.extra alone."""
    read = the_read(event(user=user(extra=extra)))
    assert (claim, node, credential) == (read.claim, read.node, read.credential_id)


def test_free_text_is_cut_and_kept_as_it_is() -> None:
    """Control characters and markup are data; lengths are bounded."""
    bad = "<script>\x1b[31m\nforged: line"
    read = the_read(event(userAgent=bad + "x" * 600, auditID=bad + "x" * 600, sourceIPs=["1.2.3.4", "f" * 100]))
    expected = ((bad + "x" * 600)[:512], (bad + "x" * 600)[:128], "f" * 64)
    assert expected == (read.user_agent, read.audit_id, read.source_ip)


@pytest.mark.parametrize(
    ("addresses", "source_ip"),
    [(["10.0.0.1"], "10.0.0.1"), (["1.1.1.1", "2.2.2.2", "10.0.0.1"], "10.0.0.1"), ([], None), (None, None)],
)
def test_the_last_address_is_the_one_that_nobody_chose(addresses: list[str] | None, source_ip: str | None) -> None:
    """The others come from headers."""
    assert source_ip == the_read(event(sourceIPs=addresses)).source_ip
