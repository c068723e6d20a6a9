"""What `protector doctor` says of the feed and the cluster: each trouble is one finding with a hint, and health is none."""

from __future__ import annotations

import io
from typing import Any

import pytest

from web.doctor import run_doctor
from web.feed_checks import cluster_findings, feed_findings


def status(
    *, state: str = "live", beat: dict[str, Any] | None = None, skew_s: float = 0.0, **kind: Any
) -> dict[str, Any]:
    """An answer of /api/status."""
    feed: dict[str, Any] = {"state": state, "senders": [{"peer": "192.0.2.1", "skew_s": skew_s}]}
    if beat is not None:
        feed["heartbeat"] = {"state": "alive", "why": "", "lag_s": 0.2} | beat
    return {"feed": feed, "objects": {"Pod": {"count": 1, "synced": True, "age_s": 1.0} | kind}}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(state="never"), "no batch ever arrived"),
        (status(state="silent"), "no batch arrives any more"),
        (status(beat={"state": "blind", "why": "3 requests"}), "do not come back (3 requests)"),
        (status(beat={"state": "unusable", "why": "no account"}), "proves nothing (no account)"),
        (status(beat={"state": "unreachable", "why": ""}), "does not reach the API server"),
        (status(beat={"lag_s": 30.0}), "30 s late"),
        (status(skew_s=60.0), "60 s ahead"),
    ],
)
def test_a_feed_in_trouble(answer: dict[str, Any], expected: str) -> None:
    """One finding, which says what to do."""
    (found,) = feed_findings(answer)
    assert expected in found.what
    assert found.hint


def test_an_api_server_that_is_away_is_one_finding() -> None:
    """It is away from every kind at once: they are named together, what fails otherwise by itself."""
    away = {"count": 1, "synced": True, "age_s": 1.0, "state": "failing", "why": "connection refused"}
    objects = {"Role": away, "Pod": away, "Service": away | {"why": "no answer in time"}}
    found = [each.what for each in cluster_findings({"objects": objects})]
    assert found == ["Pod, Role: connection refused", "Service: no answer in time"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ({"state": "forbidden", "why": "missing permission: list pods"}, "missing permission: list pods"),
        ({"state": "failing", "why": "no answer in time"}, "no answer in time"),
        ({"state": "listing", "synced": False}, "not read to its end"),
        ({"state": "watching", "age_s": 999.0}, "nothing heard for 999 s"),
    ],
)
def test_a_kind_in_trouble(kind: dict[str, Any], expected: str) -> None:
    """Named, with what to do."""
    (found,) = cluster_findings({"objects": {"Pod": {"count": 1, "synced": True, "age_s": 1.0} | kind}})
    assert (found.what.startswith("Pod: "), expected in found.what, bool(found.hint)) == (True, True, True)


def test_health_is_no_finding() -> None:
    """A live feed, a cluster from a file or watched."""
    for kind in ({}, {"state": "watching", "why": ""}, {"state": "absent", "why": "not there"}):
        answer = status(beat={}, **kind)
        assert (feed_findings(answer), cluster_findings(answer)) == ([], [])


def test_without_a_cluster_it_says_so() -> None:
    """PROTECTOR_CLUSTER=none."""
    assert cluster_findings({"objects": {}})[0].hint.startswith("set PROTECTOR_CLUSTER")


def test_the_doctor_goes_through_the_groups() -> None:
    """Each is said; one finding is enough not to be fine."""

    class Server:
        def __init__(self, answer: dict[str, Any]) -> None:
            self.answer = answer

        def get(self, path: str) -> dict[str, Any]:
            assert path == "/api/status"
            return self.answer

    out = io.StringIO()
    assert run_doctor(Server(status(beat={})), None, out)  # type: ignore[arg-type]
    assert out.getvalue() == (
        "audit feed: fine\ncluster: fine\n"
        "synthetic event: not sent; give --audit, or set PROTECTOR_AUDIT_ADDR\nexpected readers: no file is set\n"
    )
    assert not run_doctor(Server(status(state="never")), None, io.StringIO())  # type: ignore[arg-type]
