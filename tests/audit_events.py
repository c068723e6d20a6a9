"""Audit events as the API server writes them, for tests: `event(...)` is an allowed read; keyword arguments replace fields."""

from __future__ import annotations

import json
from typing import Any

RECEIVED_AT = 1_795_562_770.0
"""When the tests' bodies arrive: 2026-11-24T23:26:10Z."""
AT = 1_795_562_763.483218
"""When their requests were made."""
ALLOWED = {
    "authorization.k8s.io/decision": "allow",
    "authorization.k8s.io/reason": 'RBAC: allowed by RoleBinding "b/app" of Role "r" to ServiceAccount "reader-sa/app"',
}


def extra(pod: str = "web-1", uid: str = "uid-1") -> dict[str, list[str]]:
    """What the API server knows of a pod-bound token."""
    key = "authentication.kubernetes.io/"
    return {
        f"{key}credential-id": ["JTI=575b347b"],
        f"{key}node-name": ["node-1"],
        f"{key}node-uid": ["58235d6b"],
        f"{key}pod-name": [pod],
        f"{key}pod-uid": [uid],
    }


def ref(**changes: Any) -> dict[str, Any]:
    """The objectRef of a Secret; None takes a field out."""
    fields = {"resource": "secrets", "namespace": "app", "name": "db-creds", "apiVersion": "v1"} | changes
    return {key: value for key, value in fields.items() if value is not None}


def user(**changes: Any) -> dict[str, Any]:
    """The user of an account with a pod-bound token."""
    return {
        "username": "system:serviceaccount:app:reader-sa",
        "uid": "0d4f2efe",
        "groups": ["system:serviceaccounts", "system:serviceaccounts:app", "system:authenticated"],
        "extra": extra(),
    } | changes


def event(**changes: Any) -> dict[str, Any]:
    """An allowed get of app/db-creds by app/reader-sa; None takes a field out, anything else replaces it."""
    fields = {
        "level": "Metadata",
        "auditID": "0c326fda-9124-4bff-961f-7bbce4585350",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/app/secrets/db-creds",
        "verb": "get",
        "user": user(),
        "sourceIPs": ["203.0.113.9", "10.244.1.35"],
        "userAgent": "web/1.4.0 (linux/amd64)",
        "objectRef": ref(),
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2026-11-24T23:26:03.483218Z",
        "stageTimestamp": "2026-11-24T23:26:03.484035Z",
        "annotations": ALLOWED,
    } | changes
    return {key: value for key, value in fields.items() if value is not None}


def watch(query: str = "watch=true", **changes: Any) -> dict[str, Any]:
    """An allowed watch of app/*, open since its ResponseStarted."""
    uri = f"/api/v1/namespaces/app/secrets?{query}"
    return event(
        **{"verb": "watch", "stage": "ResponseStarted", "objectRef": ref(name=None), "requestURI": uri} | changes
    )


def event_list(*items: Any) -> bytes:
    """The body that the API server posts for these items."""
    fields = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": list(items)}
    return json.dumps(fields, separators=(",", ":")).encode()


def raw_list(*items: bytes) -> bytes:
    """The same, of items that are given as bytes and may be no JSON."""
    return b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[' + b",".join(items) + b"]}"
