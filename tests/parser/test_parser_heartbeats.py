"""Heartbeats: denied reads of Secrets with protector's own prefix are handed on by name, and count as what they are."""

from __future__ import annotations

import json

from actors.messages import HEARTBEAT_PREFIX, HEARTBEATS_MAX
from actors.parser.core import parse_body


def denied(name: str, decision: str = "forbid") -> dict:
    """A ServiceAccount's read of this Secret, as the API server writes it."""
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": name,
        "stage": "ResponseComplete",
        "requestURI": f"/api/v1/namespaces/protector/secrets/{name}",
        "verb": "get",
        "user": {"username": "system:serviceaccount:protector:protector"},
        "sourceIPs": ["192.0.2.1"],
        "objectRef": {"resource": "secrets", "namespace": "protector", "name": name, "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "status": "Failure", "reason": "Forbidden", "code": 403},
        "requestReceivedTimestamp": "2026-01-01T00:00:00.000000Z",
        "stageTimestamp": "2026-01-01T00:00:00.000000Z",
        "annotations": {"authorization.k8s.io/decision": decision, "authorization.k8s.io/reason": ""},
    }


def batch(*events: dict):
    """What the parser makes of these events."""
    body = json.dumps({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": list(events)}).encode()
    return parse_body(body, 1.8e9)


def test_a_denied_read_with_the_prefix_is_a_heartbeat() -> None:
    """It is dropped as denied all the same, and other denials are none."""
    mine = f"{HEARTBEAT_PREFIX}abc"
    found = batch(denied(mine), denied("db-creds"), denied("x" + mine))
    assert found.heartbeats == (mine,)
    assert (found.dropped, found.reads) == ({"denied": 3}, ())


def test_a_flood_of_them_is_bounded() -> None:
    """Anybody may make requests that are denied."""
    found = batch(*(denied(f"{HEARTBEAT_PREFIX}{n}") for n in range(HEARTBEATS_MAX + 9)))
    assert len(found.heartbeats) == HEARTBEATS_MAX


def test_one_among_garbage_is_found() -> None:
    """Items that are tried alone, too."""
    bad = denied("bad") | {"verb": 7}
    assert batch(bad, denied(f"{HEARTBEAT_PREFIX}abc")).heartbeats == (f"{HEARTBEAT_PREFIX}abc",)
