"""Bodies as a whole: lists, single events, JSON lines, garbage, poisoned and cut ones."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from audit_events import RECEIVED_AT, event, event_list, raw_list, ref, watch

from actors.messages import ParsedBatch
from actors.parser import ITEMS_MAX, WHOLE_BYTES_MAX, parse_body, parse_whole
from actors.parser.core import ITEM_BYTES_MAX

AUDIT = {"kind": "Event", "apiVersion": "audit.k8s.io/v1"}
GOOD = json.dumps(event()).encode()


def parsed(body: bytes) -> ParsedBatch:
    return parse_body(body, RECEIVED_AT, "10.0.0.1")


def counts(batch: ParsedBatch) -> tuple[int, int, dict[str, int], bool]:
    """Events, reads, drops, and whether there is an error."""
    return batch.events, len(batch.reads), batch.dropped, batch.error is not None


def test_a_batch_says_what_body_it_was_and_who_sent_it() -> None:
    """Digest, time and peer pass through."""
    body = event_list(event())
    batch = parsed(body)
    assert (hashlib.sha256(body).digest(), RECEIVED_AT, "10.0.0.1") == (batch.digest, batch.received_at, batch.peer)


# --- shapes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # lists: of none, of some, without kind, with kind last, null as Go writes an empty list
        (event_list(), (0, 0, {}, False)),
        (event_list(event(), event(verb="create"), watch()), (3, 2, {"not_a_read": 1}, False)),
        (json.dumps({"items": [event()]}).encode(), (1, 1, {}, False)),
        (json.dumps({"items": [event()], "kind": "EventList"}).encode(), (1, 1, {}, False)),
        (b'{"kind":"EventList","items":null}', (0, 0, {}, False)),
        (json.dumps({"kind": "EventList", "items": [event()]}, indent=2).encode(), (1, 1, {}, False)),
        # one event: with its kind, or recognisable without
        (json.dumps(AUDIT | event()).encode(), (1, 1, {}, False)),
        (GOOD, (1, 1, {}, False)),
        (b" \r\n" + GOOD + b"\n\t ", (1, 1, {}, False)),
        (json.dumps(AUDIT | event(verb=None)).encode(), (1, 0, {"malformed": 1}, False)),
        (json.dumps(AUDIT | event(verb=7)).encode(), (1, 0, {"malformed": 1}, False)),
        (json.dumps(event(objectRef="secrets")).encode(), (1, 0, {"malformed": 1}, False)),
        # duplicate keys: the last one counts, as in Go
        (b'{"kind":"X","kind":"EventList","items":[1],"items":[' + GOOD + b"]}", (1, 1, {}, False)),
        (b'{"kind":"EventList","items":[' + GOOD + b'],"items":[{"verb":7}]}', (1, 0, {"malformed": 1}, False)),
        (raw_list(GOOD[:-1] + b',"verb":"create"}'), (1, 0, {"not_a_read": 1}, False)),
        # a key is what it says, however it is written
        (b'{"kind":"EventList","\\u0069tems":[' + GOOD + b",7]}", (2, 1, {"malformed": 1}, False)),
    ],
)
def test_every_shape_of_a_document_is_read(body: bytes, expected: tuple[int, int, dict[str, int], bool]) -> None:
    """Events, reads, drops, error."""
    assert expected == counts(parsed(body))


@pytest.mark.parametrize(
    "body",
    [
        # nothing, no JSON, no object
        *(b"", b" \n ", b"{", b"}", b"\xff\xfe", b'"' * 1000, b"[" * 100_000, b"1" * 100_000, b"not json"),
        *(b'{"kind"', b'{"kind":}', b"{'a':1}", b"{,}", b'{"a" 1}', b"\xef\xbb\xbf", GOOD.replace(b'"', b"'")),
        *(b"[]", b"null", b"true", b"NaN", b"7", b'"text"', b"[1,2,3]"),
        # objects that hold no events
        *(b"{}", b'{"kind":0}', b'{"kind":null}', b'{"kind":"AdmissionReview"}', b'{"kind":"Pod","items":[]}'),
        *(b'{"verb":"get"}', b'{"verb":', b'{"kind":"EventList"}', b'{"kind":"<script>"}'),
        *(b'{"kind":"EventList","items":7}', b'{"kind":"EventList","items":{}}'),
        # other groups' events, and a kind of the wrong type
        json.dumps({"kind": "Event", "apiVersion": "v1", "reason": "Scheduled"}).encode(),
        json.dumps({"kind": "EventList", "apiVersion": "v1", "items": [event()]}).encode(),
        json.dumps({"kind": ["EventList"], "items": [event()]}).encode(),
        json.dumps({"kind": "EventList", "apiVersion": 1, "items": [event()]}).encode(),
        # an object that ends too early, or has too many members to be one of ours
        b"{" + b'"a":1,' * 5_000 + b'"b":2}',
    ],
)
def test_what_holds_no_events_is_an_error_and_nothing_else(body: bytes) -> None:
    """No event, no read, no drop, a reason."""
    assert counts(parsed(body)) == (0, 0, {}, True)


def test_an_error_repeats_nothing_of_the_body() -> None:
    """Whatever stands there, and wherever reading stops."""
    mark = b"CANARY-7f3a"
    bodies = [
        mark,
        b'{"' + mark + b'"',
        b'{"kind":"' + mark + b'"}',
        b'{"kind":"EventList","' + mark + b'":"' + mark + b'","items":[' + GOOD + mark,
        raw_list(b'"' + mark + b'"', GOOD)[:-1],
        b'{"kind":"Event","verb":"' + mark,
        GOOD + b"\n{" + mark + b"}\n",
    ]
    assert [batch.error for body in bodies if mark.decode() in repr(batch := parsed(body))] == []


def test_the_error_of_an_admission_review_says_what_came() -> None:
    """Somebody pointed the wrong webhook here: that can be said."""
    assert "AdmissionReview" in (parsed(b'{"kind":"AdmissionReview","request":{}}').error or "")


# --- JSON lines ------------------------------------------------------------------------------------------------------

LINE = json.dumps(AUDIT | event()).encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # events, lists, blanks, carriage returns, no last newline
        (LINE + b"\n" + LINE + b"\n", (2, 2, {}, False)),
        (LINE + b"\r\n\r\n\n" + GOOD, (2, 2, {}, False)),
        (event_list(event(), watch()) + b"\n" + LINE, (3, 3, {}, False)),
        # a line that is broken costs itself
        (LINE + b"\n" + LINE[:-9] + b"\n" + LINE, (3, 2, {"malformed": 1}, True)),
        (b"rotated\n" + LINE + b"\n" + LINE, (3, 2, {"malformed": 1}, True)),
        (LINE[50:] + b"\n" + LINE + b"\n", (2, 1, {"malformed": 1}, True)),
        (LINE + b"\n" + LINE[:99], (2, 1, {"malformed": 1}, True)),
        (LINE + b"\n" + json.dumps(AUDIT | event(verb=7)).encode(), (2, 1, {"malformed": 1}, False)),
        # a line of another kind is no event
        (LINE + b'\n{"kind":"AdmissionReview"}', (1, 1, {}, True)),
        # neither the first two lines nor any other tell alone what this is
        (LINE + b"\nnot json\n" + LINE, (3, 2, {"malformed": 1}, True)),
        (LINE[:200] + b"\n" + LINE + b"\n" + LINE, (3, 2, {"malformed": 1}, True)),
        (LINE[:200] + b"\n" + LINE, (2, 1, {"malformed": 1}, True)),
        (LINE[:200] + b"\nnot json\n" + LINE, (3, 1, {"malformed": 2}, True)),
        (b"\n".join([poison_line := LINE.replace(b'"get"', b"7"), poison_line]), (2, 0, {"malformed": 2}, False)),
    ],
)
def test_each_line_is_a_document(body: bytes, expected: tuple[int, int, dict[str, int], bool]) -> None:
    """Events, reads, drops, error."""
    assert expected == counts(parsed(body))


def test_a_poisoned_list_over_several_lines_is_one_document() -> None:
    """A line break between items makes no JSON lines."""
    body = b'{"kind":"EventList","items":[\n' + b",\n".join([GOOD, b'{"verb":7}', GOOD]) + b"\n]}"
    assert counts(parsed(body)) == (3, 2, {"malformed": 1}, False)


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("cut", range(1, len(LINE) - 1, 7))
def test_a_bad_line_costs_itself_wherever_it_stands_and_is_cut(at: int, cut: int) -> None:
    """Also the first one, cut anywhere."""
    lines = [LINE] * 4
    lines.insert(at, LINE[:cut])
    assert counts(parsed(b"\n".join(lines))) == (5, 4, {"malformed": 1}, True)


def test_of_a_cut_document_over_several_lines_the_complete_items_count() -> None:
    """However it is laid out, its lines are not taken for documents."""
    laid_out = [
        json.dumps({"kind": "EventList", "items": [event(), {"verb": 7}, event(), event()]}, indent=2).encode(),
        b'{"kind":"EventList","items":[\n' + b",\n".join([GOOD, b'{"verb":7}', GOOD, GOOD]) + b"\n]}",
        b'{"kind":"EventList","items":[\n' + b"\n,".join([GOOD, b'{"verb":7}', GOOD, GOOD]) + b"\n]}",
    ]
    assert [counts(parsed(body[: body.rindex(b"{")])) for body in laid_out[1:]] == [(3, 2, {"malformed": 1}, True)] * 2
    assert counts(parsed(laid_out[0][:-300])) == (3, 2, {"malformed": 1}, True)


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (BOM + event_list(event()), (1, 1, {}, False)),
        (BOM + raw_list(GOOD, b"7"), (2, 1, {"malformed": 1}, False)),
        (BOM + LINE + b"\n" + LINE, (2, 2, {}, False)),
        (BOM + LINE + b"\n" + BOM + LINE, (2, 2, {}, False)),
    ],
)
def test_a_byte_order_mark_is_skipped(body: bytes, expected: tuple[int, int, dict[str, int], bool]) -> None:
    """Before a document, whole or split, and before a line."""
    assert expected == counts(parsed(body))


# --- poison ------------------------------------------------------------------------------------------------------------


def poison(**changes: Any) -> bytes:
    return json.dumps(event(**changes)).encode()


DEEP = GOOD[:-1] + b',"requestObject":' + b'{"a":' * 2_000 + b"1" + b"}" * 2_000 + b"}"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        # wrong types, and no object at all
        (poison(verb=7), {"malformed": 1}),
        (poison(responseStatus={"code": "CANARY"}), {"malformed": 1}),
        (poison(sourceIPs=[1]), {"malformed": 1}),
        *((item, {"malformed": 1}) for item in (b'"text"', b"7", b"null", b"[]", b"[[{}]]", b"true")),
        # a text that is needed and is not UTF-8, half a surrogate pair, a raw control character
        (GOOD.replace(b"web/1.4.0", b"web/\xff\xfe"), {"malformed": 1}),
        (GOOD.replace(b"web/1.4.0", b"web/\\ud800"), {"malformed": 1}),
        (GOOD.replace(b"web/1.4.0", b"web/\x00"), {"malformed": 1}),
        # no JSON inside, brackets that do not pair
        (GOOD[:-1] + b',"x":NaN}', {"malformed": 1}),
        (GOOD[:-1] + b',"x":{]}', {"malformed": 1}),
        (b'{"verb":"get" "x":1}', {"malformed": 1}),
        (b"{nonsense}", {"malformed": 1}),
        # nesting that exhausts a stack, where it matters and where it does not
        (GOOD[:-1] + b',"x":' + b"[" * 9_000 + b"]" * 9_000 + b"}", {"malformed": 1}),
        (GOOD.replace(b'"get"', b'{"a":' * 9_000 + b"1" + b"}" * 9_000), {"malformed": 1}),
        (GOOD[:-1] + b',"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}", {"malformed": 1}),
        (DEEP, {}),
        (GOOD[:-1] + b',"requestObject":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}", {}),
        (GOOD[:-1] + b',"responseObject":{"data":NaN}}', {}),
    ],
)
def test_one_bad_item_never_costs_its_neighbours(item: bytes, expected: dict[str, int]) -> None:
    """In the middle of 400 others, which all count."""
    batch = parsed(raw_list(*[GOOD] * 200, item, *[GOOD] * 200))
    assert (401, 401 - sum(expected.values()), expected, False) == counts(batch)


def test_many_bad_items_cost_themselves() -> None:
    """Each kind of poison twice, in turn with good ones."""
    bad = [poison(verb=7), b"7", GOOD.replace(b"web/1.4.0", b"web/\xff"), b"{nonsense}"] * 2
    assert counts(parsed(raw_list(*[i for item in bad for i in (item, GOOD)]))) == (16, 8, {"malformed": 8}, False)


def test_a_list_that_breaks_between_items_keeps_what_came_before() -> None:
    """And the error says where."""
    body = raw_list(GOOD, GOOD)[:-2] + b" oops," + GOOD + b"]}"
    batch = parsed(body)
    assert ((2, 2, {}, True), f"not JSON at byte {body.index(b'oops')} of {len(body)}") == (counts(batch), batch.error)


# --- cut short -------------------------------------------------------------------------------------------------------


def test_of_a_cut_body_the_complete_items_count() -> None:
    """At every single byte: what is whole before the cut counts, and the error is there until nothing is missing."""
    items = [GOOD, poison(verb="create"), json.dumps(watch()).encode()]
    body = raw_list(*items)
    ends = [body.index(item) + len(item) for item in items]
    wrong = []
    for cut in range(len(body)):
        batch = parsed(body[:cut])
        whole = sum(end <= cut for end in ends)
        if (whole, True) != (batch.events, batch.error is not None) or len(batch.reads) != (0, 1, 1, 2)[whole]:
            wrong.append((cut, whole, batch.events, batch.error))
    assert wrong == []


def test_the_error_of_a_cut_body_says_where_it_ends() -> None:
    """The offset of what is incomplete, and the size."""
    body = raw_list(GOOD, GOOD)
    second = body.rindex(GOOD)
    assert (
        f"cut short: the body ends inside what begins at byte {second} of {second + 50}"
        == parsed(body[: second + 50]).error
    )


# --- large and hostile ---------------------------------------------------------------------------------------------------


def test_a_large_body_is_split_and_counts_the_same() -> None:
    """Two MiB of items, good and bad."""
    n = 2 * WHOLE_BYTES_MAX // len(GOOD)
    batch = parsed(raw_list(*[GOOD] * n, poison(verb=7), poison(verb="create")))
    assert (n + 2, n, {"malformed": 1, "not_a_read": 1}, False) == counts(batch)


def test_a_large_item_counts_whatever_its_objects_hold() -> None:
    """A list of four MiB at RequestResponse level is a read like any other."""
    held = json.dumps({"items": [{"data": {"k": "djE=" * 250}}] * 4_000}).encode()
    item = GOOD[:-1] + b',"responseObject":' + held + b"}"
    assert counts(parsed(raw_list(GOOD, item, GOOD))) == (3, 3, {}, False)


def test_an_item_that_is_long_by_itself_is_oversized() -> None:
    """Longer than any that a caller could make of its own request; its neighbours count."""
    long = poison(requestURI="/" + "x" * ITEM_BYTES_MAX)
    assert counts(parsed(raw_list(GOOD, long, GOOD))) == (3, 2, {"oversized": 1}, False)


def test_a_caller_cannot_hide_behind_its_own_headers() -> None:
    """A mebibyte of `&` in the URI, six bytes each in JSON, is still a read."""
    long = poison(requestURI="/api/v1/secrets?").replace(b"secrets?", b"secrets?" + b"\\u0026" * WHOLE_BYTES_MAX)
    assert counts(parsed(raw_list(long))) == (1, 1, {}, False)


@pytest.mark.parametrize("lines", [False, True])
def test_a_body_is_read_up_to_a_bound(lines: bool) -> None:
    """What is beyond it is not, and the error says so."""
    body = b"{}\n" * (ITEMS_MAX + 5) if lines else raw_list(*[b"{}"] * (ITEMS_MAX + 5))
    batch = parsed(body)
    assert (0 if lines else ITEMS_MAX, True) == (batch.events, batch.error is not None)


def test_a_large_body_with_too_many_items_keeps_the_first() -> None:
    """The same bound where the body is split."""
    batch = parsed(raw_list(*[b'{"x": 123456789}'] * (ITEMS_MAX + 5)))
    assert (batch.events, batch.dropped, batch.error is not None) == (ITEMS_MAX, {"malformed": ITEMS_MAX}, True)


MIB = 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b"[" * MIB,
        b'"' * MIB,
        b" " * MIB,
        b"\n" * MIB,
        b"{}\n" * (MIB // 3),
        raw_list(b"[" * MIB),
        raw_list(b'"' * MIB),
        raw_list(b'"' + b"\\" * MIB),
        raw_list(b'{"a":' * (MIB // 5)),
        raw_list(b"[" + b"[]," * (MIB // 3)),
        raw_list(b"[" * 30 + b"[[[]]]," * (MIB // 16)),
        raw_list(b"[1," * (MIB // 3)),
        raw_list(b"[{" * (MIB // 2)),
        b"x\n" + b"{\n" * (MIB // 2),
        raw_list(b'{"verb":"get","x":[' + (b"[" * 9_000 + b"]" * 9_000 + b",") * 50 + b"1]}"),
        b"{" + b'"":1,' * (MIB // 5),
        b'{"kind":"EventList","items":[' + b"1," * (MIB // 2),
    ],
)
def test_no_body_takes_long_or_raises(body: bytes) -> None:
    """A mebibyte of what is meant to be slow; the test's own time limit is the measure."""
    assert parsed(body).reads == ()


# --- one decode is enough, or not ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "is_enough"), [(event_list(event()), True), (raw_list(b"7"), False), (LINE + b"\n" + LINE, False)]
)
def test_whether_one_decode_is_enough_is_known_at_once(body: bytes, is_enough: bool) -> None:
    """Where it is, the answer is the same as parse_body's."""
    expected = parsed(body) if is_enough else None
    assert expected == parse_whole(body, RECEIVED_AT, "10.0.0.1")


# --- privacy -----------------------------------------------------------------------------------------------------------------


def test_nothing_of_the_objects_or_of_other_annotations_comes_out() -> None:
    """Neither where one decode was enough nor part by part."""
    mark = "CANARY-4c1d"
    item = event(
        requestObject={"stringData": {"p": mark}},
        responseObject={"kind": "Secret", "metadata": {"annotations": {"a": mark}}, "data": {"p": mark}},
        annotations=event()["annotations"] | {"note": mark},
    )
    bodies = [
        event_list(item),
        event_list(item, {"verb": 7}),
        event_list(item)[:-30],
        event_list(item, *[event()] * 2_000),
    ]
    batches = [parsed(body) for body in bodies]
    assert (len(batches), [batch for batch in batches if mark in repr(batch)]) == (4, [])


def test_names_of_a_large_batch_are_shared() -> None:
    """One account, one scope, one agent: one object each, however many reads."""
    reads = parsed(event_list(*[event(objectRef=ref()) for _ in range(400)])).reads
    assert (
        len({id(r.account) for r in reads}),
        len({id(r.scope) for r in reads}),
        len({id(r.user_agent) for r in reads}),
    ) == (1, 1, 1)
