"""Properties of the parser over bodies that nobody thought of."""

from __future__ import annotations

import json
from typing import Any

from audit_events import ALLOWED, RECEIVED_AT, event, event_list, ref, user, watch
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.parser import Drop, parse_body, parse_whole
from actors.parser.core import _take_parts
from actors.parser.reads import at_of, plain_read_of, read_of
from actors.parser.rule import RULES
from actors.parser.scan import Cursor, ScanError
from actors.parser.tally import Tally
from actors.parser.views import decode_item

texts = st.text(max_size=12)
junk: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
events = st.builds(
    lambda base, changes: base | changes,
    st.sampled_from([event(), watch(), event(verb="list", objectRef=ref(name=None)), event(impersonatedUser={})]),
    st.fixed_dictionaries(
        {},
        optional={
            "verb": st.sampled_from(["get", "list", "watch", "update"]) | junk,
            "stage": st.sampled_from(["ResponseStarted", "ResponseComplete", "Panic"]) | junk,
            "user": st.sampled_from([user(), user(username="alice")]) | junk,
            "objectRef": st.builds(ref, namespace=texts, name=texts) | junk,
            "responseStatus": st.builds(lambda code: {"code": code}, st.integers(100, 599)) | junk,
            "annotations": st.just(ALLOWED) | junk,
            "requestReceivedTimestamp": junk,
            "sourceIPs": st.lists(texts, max_size=3) | junk,
            "impersonatedUser": junk,
            "responseObject": junk,
            "x": junk,
        },
    ),
)
documents = st.one_of(
    st.lists(events | junk, max_size=5).map(
        lambda items: {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": items}
    ),
    st.lists(events, max_size=3).map(lambda items: {"items": items, "metadata": {}}),
    events,
    events.map(lambda e: e | {"kind": "Event"}),
    st.fixed_dictionaries(
        {},
        optional={"kind": junk | st.just("EventList"), "items": junk, "verb": junk, "user": junk, "apiVersion": junk},
    ),
    junk,
)
BODY = event_list(event(), event(verb="create"), watch(), event(responseObject={"data": {"k": ["v", 1.5, None]}}))


@given(documents, st.sampled_from([None, 2]))
@settings(derandomize=True, deadline=None, max_examples=400)
def test_splitting_a_document_gives_what_decoding_it_whole_gives(document: Any, indent: int | None) -> None:
    """Wherever one decode is enough, the way part by part says the very same."""
    body = json.dumps(document, indent=indent).encode()
    whole = parse_whole(body, RECEIVED_AT)
    if whole is not None:
        tally = Tally(RECEIVED_AT)
        error = _take_parts(body, 0, len(body), tally)
        found = (tally.events, tuple(tally.reads), tally.dropped, tally.newest_at, error)
        assert (whole.events, whole.reads, whole.dropped, whole.newest_at, whole.error) == found


@given(st.lists(events | junk, max_size=6))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_every_item_is_a_read_or_is_dropped_under_a_reason(items: list[Any]) -> None:
    """None is lost, none counts twice, and each is judged as if it were alone."""
    batch = parse_body(event_list(*items), RECEIVED_AT)
    alone = [parse_body(event_list(item), RECEIVED_AT) for item in items]
    reads = sum(not (read.borrowed or read.ends_only) for read in batch.reads)
    dropped: dict[str, int] = {}
    for one in alone:
        for reason, n in one.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + n
    expected = (len(items), len(items), dropped, tuple(read for one in alone for read in one.reads))
    assert expected == (batch.events, reads + sum(batch.dropped.values()), batch.dropped, batch.reads)


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(BODY) - 1),
            st.sampled_from([b"", b'"', b"{", b"}", b"[", b"]", b",", b"\\", b"\xff", b"7", b"\n"]),
        ),
        max_size=8,
    )
)
@settings(derandomize=True, deadline=None, max_examples=400)
def test_a_damaged_body_never_raises(damages: list[tuple[int, bytes]]) -> None:
    """And what it gives adds up, under reasons that exist."""
    body = bytearray(BODY)
    for at, put in damages:
        body[at : at + 1] = put
    batch = parse_body(bytes(body), RECEIVED_AT)
    reads = sum(not (read.borrowed or read.ends_only) for read in batch.reads)
    assert (batch.events, set()) == (
        reads + sum(batch.dropped.values()),
        set(batch.dropped) - {drop.value for drop in Drop},
    )


@given(st.binary(max_size=200) | st.text(st.sampled_from('{}[]",:\\ \nx1'), max_size=60).map(str.encode))
@settings(derandomize=True, deadline=None, max_examples=400)
def test_no_bytes_raise(body: bytes) -> None:
    """Bytes of no kind: an answer, and an error unless there was something."""
    batch = parse_body(body, RECEIVED_AT)
    assert batch.events > 0 or batch.error is not None or b"items" in body


@given(junk, texts)
@settings(derandomize=True, deadline=None, max_examples=300)
def test_the_scanner_finds_the_end_of_every_value(value: Any, behind: str) -> None:
    """Exactly, whatever comes after it."""
    raw = json.dumps(value, ensure_ascii=False).encode()
    body = raw + b"," + behind.encode()
    assert (0, len(raw)) == Cursor(body, 0, len(body)).skip_value()


@given(st.binary(max_size=80) | st.text(st.sampled_from('{}[]",:\\ x1'), max_size=60).map(str.encode))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_the_scanner_moves_on_or_says_that_it_cannot(body: bytes) -> None:
    """It ends, inside the body, on whatever bytes."""
    cursor = Cursor(body, 0, len(body))
    try:
        places = cursor.skip_value()
    except ScanError as error:
        places = (error.at, len(body) + 1)
    assert 0 <= places[0] < places[1] <= len(body) + 1


def _sometimes(*values: Any) -> st.SearchStrategy[Any]:
    """Mostly the first, which is what a plain read has."""
    return st.one_of(st.just(values[0]), st.just(values[0]), st.sampled_from(values))


@settings(derandomize=True, deadline=None, max_examples=400)
@given(
    st.fixed_dictionaries(
        {
            "verb": _sometimes("get", "list", "watch", "update", None),
            "stage": _sometimes("ResponseComplete", "ResponseStarted", "", None, "Panic"),
            "objectRef": _sometimes(
                ref(),
                ref(name=None),
                ref(resource="pods"),
                ref(apiGroup="x"),
                ref(subresource="s"),
                ref(name="A"),
                None,
            ),
            "user": _sometimes(
                user(), user(username="alice"), user(username="system:serviceaccount:app:B"), user(extra=None), {}, None
            ),
            "impersonatedUser": _sometimes(None, {}, {"username": "x"}),
            "responseStatus": _sometimes(
                {"code": 200},
                {"code": 206},
                {"code": 404},
                {"code": 500},
                {"message": "Connection closed early"},
                {},
                None,
            ),
            "annotations": _sometimes(ALLOWED, {"authorization.k8s.io/decision": "forbid"}, {}, None),
            "requestReceivedTimestamp": _sometimes(
                "2026-11-24T23:26:03.483218Z",
                "2026-11-24T23:26:03",
                "0001-01-01T00:00:00Z",
                "2036-11-24T23:26:03Z",
                "x",
                None,
            ),
            "sourceIPs": _sometimes(["10.0.0.1"], [], ["x" * 100], None),
            "userAgent": _sometimes("app/1", "x" * 600, "", None),
        }
    )
)
def test_what_is_plainly_a_read_is_the_same_read_the_long_way(changes: dict[str, Any]) -> None:
    """The short way answers only where no row of the table applies, and makes what the long way makes."""
    item = decode_item(json.dumps(event(**changes)).encode())
    assert item is not None
    read = plain_read_of(item, RECEIVED_AT)
    if read is not None:
        assert [drop for drop, applies in RULES if applies(item)] == []
        assert read == read_of(item, RECEIVED_AT, at_of(item.staged))
