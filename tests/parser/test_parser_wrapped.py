"""Audit events inside what managed clusters' logs and forwarders put around them: the same reads, minus the losses that are stated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from audit_events import ALLOWED, AT, RECEIVED_AT, event, event_list, ref, user, watch
from forwarded_logs import CARRIERS, LOGS, NOTE, aks_record, any_value, dumps, gke_entry, otlp
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.evidence import Read
from actors.messages import ParsedBatch
from actors.parser import WHOLE_BYTES_MAX, Drop, parse_body, parse_whole
from actors.parser.reads import WATCH_S_MAX
from actors.parser.wrapped import TEXTS_MAX

LAGS_S = {"eks": 1.0, "aks": 2.0, "gke": 3.0, "forwarded": 4.0}
VIA = {
    "cloudwatch": "eks",
    "eks lines": "forwarded",
    "eks events": "forwarded",
    "aks hub": "aks",
    "aks records": "aks",
    "gke": "gke",
}


def parsed(body: bytes) -> ParsedBatch:
    return parse_body(body, RECEIVED_AT, "peer", lags_s=LAGS_S)


def unwrapped(items: list[Any]) -> ParsedBatch:
    return parse_body(event_list(*items), RECEIVED_AT, "peer")


def as_told(read: Read, via: str) -> Read:
    """The read as this log tells it: of GKE's without what its entries do not say."""
    read = replace(read, via=via, lag_s=LAGS_S[via])
    if via != "gke":
        return read
    is_watch = read.verb == "watch"
    return replace(
        read,
        claim=None,
        node=None,
        credential_id=None,
        stage_at=read.at,
        open_s=WATCH_S_MAX if is_watch else 0.0,
        uri_hash=parsed(event_list(watch(requestURI=None))).reads[0].uri_hash if is_watch else 0,
    )


items = st.lists(
    st.sampled_from(
        [
            event(),
            event(verb="list", objectRef=ref(name=None)),
            event(verb="list", objectRef=ref(name=None, namespace=None)),
            event(verb="create"),
            event(objectRef=ref(resource="configmaps")),
            event(user=user(username="alice")),
            event(annotations={}),
            event(annotations=ALLOWED | {"authorization.k8s.io/decision": "forbid"}),
            event(responseStatus={"code": 404}),
            event(responseStatus={"code": 500}),
            event(impersonatedUser={"username": "bob"}),
            event(requestReceivedTimestamp="2026-11-24T23:25:00.1Z", userAgent='odd "agent" \\ é\n', auditID="other"),
            watch(),
            watch("watch=true&timeoutSeconds=60"),
            watch(stage="ResponseComplete", stageTimestamp="2026-11-24T23:26:09Z"),
            event(
                requestObject={"data": {"k": "v"}, "verb": "get", "items": [1]}, responseObject={"data": [None, 1.5]}
            ),
        ]
    ),
    min_size=1,
    max_size=6,
)


@given(items, st.sampled_from(sorted(LOGS)), st.sampled_from(sorted(CARRIERS)))
@settings(derandomize=True, deadline=None, max_examples=600)
def test_any_log_by_any_carrier_gives_the_same_reads(items: list[Any], log: str, carrier: str) -> None:
    """Minus the stated losses: the same reads in the same order, the same drops, no error."""
    whole, batch = unwrapped(items), parsed(CARRIERS[carrier](LOGS[log](items)))
    via = (
        "eks" if log.startswith("eks") and carrier.startswith("otlp") else VIA[log]
    )  # its resource names the log group
    assert [as_told(read, via) for read in whole.reads] == list(batch.reads)
    assert batch.allowance_s == LAGS_S[via]
    assert (whole.events, whole.dropped, None) == (batch.events, batch.dropped, batch.error)


@pytest.mark.parametrize("log", sorted(LOGS))
def test_a_log_s_own_document_needs_no_carrier(log: str) -> None:
    """As it is, as lines, pretty-printed, and in a list."""
    for record in (records := LOGS[log]([event()])):
        expected = [as_told(read, VIA[log]) for read in unwrapped([event()]).reads]
        bodies = [dumps(record), json.dumps(record, indent=2), dumps(record) + "\n" + dumps(record), dumps([record])]
        found = [list(parsed(body.encode()).reads) for body in bodies]
        if log == "eks events":  # alone it is the API server's own shape
            expected = [replace(read, via="", lag_s=0.0) for read in expected]
            assert found[:3] == [expected, expected, expected * 2]
        else:
            assert found == [expected, expected, expected * 2, expected]
    assert records


@pytest.mark.parametrize("carrier", sorted(CARRIERS))
@pytest.mark.parametrize("log", ["cloudwatch", "eks lines", "aks hub", "aks records"])
def test_lines_of_other_logs_are_counted_and_cost_no_neighbour(log: str, carrier: str) -> None:
    """`not_audit`, and no error: a log group holds the scheduler's lines too."""
    batch = parsed(CARRIERS[carrier](LOGS[log]([NOTE, event(), NOTE])))
    assert (batch.events, len(batch.reads), batch.dropped, batch.error) == (3, 1, {"not_audit": 2}, None)


def test_other_categories_of_azure_are_no_audit_events() -> None:
    """Whatever their lines look like; without a category the line decides."""
    others = [aks_record(event(), "kube-apiserver"), aks_record(event(), "guard"), aks_record(event())]
    batch = parsed(dumps({"records": others}).encode())
    assert (len(batch.reads), batch.dropped) == (1, {"not_audit": 2})


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"protoPayload": 7}, "malformed"),
        ({"protoPayload": {}}, "not_audit"),
        ({"protoPayload": {"serviceName": "container.googleapis.com", "methodName": "io.k8s.x"}}, "not_audit"),
        ({"timestamp": 7}, "malformed"),
        ({"labels": []}, "malformed"),
        ({"labels": {}}, "denied"),
        ({"labels": {"authorization.k8s.io/decision": "forbid"}}, "denied"),
    ],
)
def test_an_entry_that_is_no_allowed_read_is_dropped_under_its_reason(entry: dict[str, Any], reason: str) -> None:
    """Of Google's entries too."""
    batch = parsed(dumps([gke_entry(event()) | entry, gke_entry(event())]).encode())
    assert (batch.events, len(batch.reads), batch.dropped, batch.error) == (2, 1, {reason: 1}, None)


@pytest.mark.parametrize(
    "resource",
    [
        "",
        "core/v1/secrets/x",
        "core/v1/namespaces/app",
        "core/v1/namespaces//secrets/x",
        "core/v1/namespaces/a/secrets/b/c",
    ],
)
def test_which_secret_is_never_guessed(resource: str) -> None:
    """A resource name of another form makes the entry unreadable."""
    entry = gke_entry(event())
    entry["protoPayload"]["resourceName"] = resource
    assert parsed(dumps([entry, gke_entry(event())]).encode()).dropped == {"malformed": 1}


def test_the_two_entries_of_a_watch_are_its_two_stages() -> None:
    """Where Cloud Logging has both: `first` alone began it."""
    batch = parsed(dumps([gke_entry(watch()), gke_entry(watch(stage="ResponseComplete"))]).encode())
    assert [read.complete for read in batch.reads] == [False, True]


@pytest.mark.parametrize(
    "bad",
    [
        {"message": '{"kind":"Event","verb":"get"'},  # cut, as CloudWatch does at 256 KiB
        {"message": '{"kind":"Event"} trailing'},
        {"message": {"data": "%%%"}},
        {"message": {"data": "é"}},
        {"message": 7},
        {"records": 7},
        {"records": [7, None, "x", []]},
        {"properties": {"log": None}},
        {"protoPayload": [[]]},
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"kvlistValue": {"values": 7}}}, {"body": 7}]}]}]},
        {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"bytesValue": "_w=="}}]}]}]},
        {"logEvents": [{"message": "\ud800"}]},
        {"message": {"message": {"message": {"message": "x"}}}},
        7,
        None,
        [],
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_bad_record_costs_itself_only(bad: Any, first: bool) -> None:
    """Before or behind the good one; what is counted adds up, under reasons that exist."""
    good = {"message": dumps(as_line())}
    for body in (
        dumps([bad, good] if first else [good, bad]),
        "\n".join(map(dumps, [bad, good] if first else [good, bad])),
    ):
        batch = parsed(body.encode())
        assert len(batch.reads) == 1
        assert batch.events == 1 + sum(batch.dropped.values())
        assert set(batch.dropped) <= {"malformed", "not_audit"}


def as_line() -> dict[str, Any]:
    return {"kind": "Event", "apiVersion": "audit.k8s.io/v1"} | event()


@pytest.mark.parametrize("log", ["cloudwatch", "aks hub"])
def test_of_a_body_that_is_cut_the_whole_records_count(log: str) -> None:
    """And the answer says where it was cut."""
    body = dumps(LOGS[log]([event(), event(), event()])[0]).encode()
    batch = parsed(body[: body.rindex(b"kube-apiserver-0" if log == "aks hub" else b"message")])
    assert len(batch.reads) == 2
    assert batch.error is not None
    assert "cut short" in batch.error


def test_texts_inside_texts_are_bounded() -> None:
    """What lies deeper is malformed."""
    text: Any = as_line()
    seen = []
    for _ in range(TEXTS_MAX + 2):
        text = {"message": dumps(text)}
        batch = parsed(dumps([text, {"message": dumps(as_line())}]).encode())
        seen.append((len(batch.reads), batch.dropped))
    assert seen == [(2, {})] * TEXTS_MAX + [(1, {"malformed": 1})] * 2


def test_objects_inside_objects_exhaust_nothing() -> None:
    """Neither JSON nor OTLP, as deep as a body can hold."""
    good = dumps({"message": dumps(as_line())})
    deep = [b'{"message":' * 9_000 + b"1" + b"}" * 9_000, b"[" * 9_000 + b"]" * 9_000]
    value = b'{"arrayValue":{"values":[' * 3_000 + b'{"stringValue":"x"}' + b"]}}" * 3_000
    deep.append(b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":%s}]}]}]}' % value)
    for bad in deep:
        batch = parsed(b"[" + bad + b"," + good.encode() + b"]")
        assert (len(batch.reads), batch.dropped) == (1, {"malformed": 1})


def test_a_body_of_many_megabytes_is_read_part_by_part() -> None:
    """Every record of it, also where one text alone is longer than what is decoded in one step."""
    bulky = event(responseObject={"data": {"k": "v" * (WHOLE_BYTES_MAX + 1)}})
    batch = parsed(CARRIERS["fluent bit json"](LOGS["cloudwatch"]([bulky, event(), bulky])))
    assert (len(batch.reads), batch.dropped, batch.error) == (3, {}, None)


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "Status", "message": "no"},
        {"message": {}},
        [{"a": 1}],
        {"records": []},
        {"data": "eHg="},
        {"log": {}},
        [[]],
        ["x"],
    ],
)
def test_what_nobody_forwards_is_no_wrapper(body: Any) -> None:
    """No event, a reason: as of any body of the wrong kind."""
    batch = parsed(dumps(body).encode())
    assert (batch.events, batch.reads, batch.dropped, batch.error is not None) == (0, (), {}, True)


def test_lines_of_other_logs_alone_are_no_error() -> None:
    """A forwarder that sends all logs of a control plane has batches without one audit event."""
    batch = parsed(CARRIERS["vector lines"]([{"log": NOTE}]) + dumps({"message": NOTE}).encode())
    assert (batch.events, batch.dropped, batch.error) == (2, {"not_audit": 2}, None)


def test_a_wrapper_with_nothing_in_it_is_no_error() -> None:
    """Forwarders send such when they look whether somebody is there."""
    for body in ({"resourceLogs": []}, {"messageType": "DATA_MESSAGE", "logEvents": []}):
        assert (parsed(dumps(body).encode()).events, parsed(dumps(body).encode()).error) == (0, None)


def test_the_api_server_s_own_shapes_never_come_here() -> None:
    """One decode is enough for them, and nothing marks their reads."""
    batch = parse_whole(event_list(event()), RECEIVED_AT)
    assert batch is not None
    assert [(read.via, read.lag_s, read.at) for read in batch.reads] == [("", 0.0, AT)]
    assert parse_whole(CARRIERS["otlp text"](LOGS["gke"]([event()])), RECEIVED_AT) is None


def test_azure_records_in_a_collector_s_attributes_are_found() -> None:
    """The azureeventhub receiver's own format has the record in attributes."""
    record = aks_record(event())
    attributes = {"azure.category": record["category"], "azure.properties": record["properties"]}
    log = {"attributes": any_value(attributes)["kvlistValue"]["values"]}
    batch = parsed(otlp([log]))
    assert [(read.via, read.at) for read in batch.reads] == [("aks", AT)]


def test_drops_of_wrappers_are_reasons_that_exist() -> None:
    """So that every one of them is a metric."""
    assert Drop("not_audit") is Drop.NOT_AUDIT
