"""Bodies of sensors: what is taken of them, what is dropped and under which reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.behaviors.wire import ITEMS_MAX, read_falco, read_report
from actors.evidence import Alert, PrivilegeChange, SecretRead

SEVEN = [
    {"kind": "alert", "rule": "Terminal shell in container"},
    {"kind": "network_connection", "peer": "203.0.113.9:443", "internet": True},
    {"kind": "secret_read", "secret": "app/db-creds"},
    {"kind": "library_loaded", "name": "libssl.so.3"},
    {"kind": "file_read", "path": "/etc/db/password"},
    {"kind": "privilege_change", "from_uid": 1000, "to_uid": 0},
    {"kind": "process_exec", "path": "/bin/sh"},
]


def body(*behaviors: Any, **more: Any) -> bytes:
    return json.dumps([{"pod_uid": "u1", "behavior": each} | more for each in behaviors]).encode()


def alert(**changed: Any) -> bytes:
    """Falcosidekick's JSON, its shape by its documentation."""
    fields = {
        "k8s.ns.name": "app",
        "k8s.pod.name": "web-1",
        "proc.cmdline": "curl -u user:pw",
        "evt.time": 1700000000000,
    }
    whole = {
        "uuid": "5f1a", "output": "10:00: Critical shell (user:pw)", "priority": "Critical", "rule": "Shell", "source": "syscall",
        "time": "2023-11-14T22:13:20.123456789Z", "hostname": "node-1", "tags": ["t"], "output_fields": fields,
    } | changed  # fmt: skip
    return json.dumps({key: value for key, value in whole.items() if value is not None}).encode()


def test_all_seven_behaviors_are_read():
    """A JSON array, or the envelope of later agents around it."""
    whole = read_report(body(*SEVEN))
    assert (whole.events, whole.dropped, whole.error) == (7, {}, None)
    assert [type(each.behavior).__struct_config__.tag for each in whole.observations] == [
        each["kind"] for each in SEVEN
    ]
    assert read_report(b'{"observations":' + body(*SEVEN) + b',"liveness":{}}') == whole


def test_an_agent_cannot_vouch_for_the_api_server():
    """`source: "api"` is refused and counted, its neighbours are taken."""
    said = [{"kind": "secret_read", "secret": "app/db", "source": source} for source in ("api", "mounted")]
    report = read_report(body(*said))
    assert (report.events, report.dropped) == (2, {"api_source": 1})
    assert [each.behavior for each in report.observations] == [SecretRead("app/db")]


@pytest.mark.parametrize(
    "bad",
    [
        '{"pod_uid":"u","behavior":{"kind":"rootkit"}}', '{"pod_uid":"u"}', '{"behavior":{"kind":"alert","rule":"x"}}',
        '{"pod":"web","behavior":{"kind":"alert","rule":"x"}}', '{"pod_uid":7,"behavior":{"kind":"alert","rule":"x"}}',
        '{"pod_uid":"u","behavior":{"kind":"privilege_change","from_uid":-1,"to_uid":0}}', "null", "7", '"x"', "[]", "[[[]]]",
        '{"pod_uid":"u","observed_at_ms":-1,"behavior":{"kind":"alert","rule":"x"}}', "[" * 5000 + "]" * 5000,
        '{"pod_uid":"u","behavior":{"kind":"alert","rule":"' + "x" * 5000 + '"}}',
        '{"pod_uid":"u","behavior":{"kind":"secret_read","secret":"a","source":"host_path"}}',
    ],
)  # fmt: skip
def test_one_bad_item_never_costs_its_neighbours(bad):
    """It is counted malformed, and those before and after it are taken."""
    good = '{"pod_uid":"u","behavior":{"kind":"privilege_change","from_uid":1,"to_uid":0}}'
    report = read_report(f"[{good},{bad},{good}]".encode())
    if report.error is None:
        assert (report.events, report.dropped) == (3, {"malformed": 1})
        assert [each.behavior for each in report.observations] == [PrivilegeChange(1, 0)] * 2
    else:  # nested so deep that the items cannot be told apart: the body is refused as a whole
        assert bad.startswith("[[[[")


@pytest.mark.parametrize(
    "garbage", [b"", b"{}", b"nothing", b"[", b"\xff", b'{"observations":7}', b"[" * 9999, b'["\xff"']
)
def test_what_is_no_report_is_an_error_and_no_exception(garbage):
    """The answer says so; nothing of the body is in it."""
    report = read_report(garbage)
    assert (report.events, report.observations, report.dropped) == (0, (), {})
    assert report.error == "not a JSON array of observations"


def test_items_of_a_body_are_bounded():
    """What is beyond is counted, whether the body is good or not."""
    many = [{"kind": "library_loaded", "name": str(n)} for n in range(ITEMS_MAX + 5)]
    for wire in (body(*many), body(*many).replace(b'"name": "0"', b'"name": 0', 1)):
        report = read_report(wire)
        assert (report.events, report.dropped["over_limit"]) == (ITEMS_MAX + 5, 5)
        assert len(report.observations) in (ITEMS_MAX, ITEMS_MAX - 1)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "taken"), ({"priority": "Alert"}, "taken"), ({"priority": "EMERGENCY"}, "taken"), ({"priority": "critical"}, "taken"),
        ({"priority": "Error"}, "priority"), ({"priority": "Warning"}, "priority"), ({"priority": ""}, "priority"),
        ({"output_fields": None}, "no_pod"), ({"output_fields": {"k8s.ns.name": "app"}}, "no_pod"),
        ({"output_fields": {"k8s.ns.name": None, "k8s.pod.name": None}}, "no_pod"),
        ({"output_fields": {"k8s.ns.name": "", "k8s.pod.name": ""}}, "no_pod"),
    ],
)  # fmt: skip
def test_falcos_high_priorities_with_a_pod_are_alerts(changed, expected):
    """Critical, Alert and Emergency; everything else is counted under its reason."""
    report = read_falco(alert(**changed))
    assert (report.events, report.error) == (1, None)
    if expected != "taken":
        assert ((), {expected: 1}) == (report.observations, report.dropped)
        return
    (seen,) = report.observations
    assert ("app", "web-1", "falco", Alert("Shell")) == (seen.namespace, seen.pod, seen.source, seen.behavior)
    assert seen.observed_at_ms == 1_700_000_000_123


@pytest.mark.parametrize("time", [None, "yesterday", "2023-11-14T22:13:20", "", "-1"])
def test_a_falco_time_that_says_nothing_is_left_out(time):
    """Then the alert is of when it arrived."""
    assert read_falco(alert(time=time)).observations[0].observed_at_ms is None


@pytest.mark.parametrize(
    "garbage", [b"", b"[]", b'{"rule":1,"priority":"Alert"}', b'{"priority":"Alert"}', b"\xff", b"{" * 9999]
)
def test_what_is_no_falco_alert_is_an_error(garbage):
    """No exception."""
    assert read_falco(garbage).error == "not a Falco alert"
