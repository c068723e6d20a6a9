"""Audit events in the shape of the real API server: against its recordings where they are there, and by rule."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import msgspec
import pytest

from actors.evidence import Account, ObjectName
from actors.testing.events import (
    AuditEvent,
    PodIdentity,
    Request,
    account_user,
    as_dict,
    encode_batch,
    events_of,
    legacy_caller,
    new_id,
    person_caller,
    pod_caller,
    unbound_caller,
)
from actors.testing.reasons import allowed_by, go_quote, missing_role

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "apiserver"
SA = Account("shop", "reader")
POD = PodIdentity("web-1", "pod-uid", "node-1", "node-uid", "10.1.2.3")
CALLER = pod_caller(SA, POD, uid="sa-uid", token_id="jti", user_agent="app/1.0")


def request(**changes):
    known = {
        "caller": CALLER,
        "verb": "get",
        "namespace": "shop",
        "name": "key",
        "at": 1_000_000_000.0,
        "audit_id": "id",
    }
    return Request(**{**known, **changes})


@pytest.mark.skipif(not SHARED.exists(), reason="the recordings of a real API server are not here")
def test_recorded_batches_survive_decoding_and_encoding_byte_for_byte():
    """Decoded into our records and encoded again, every whole recorded batch is what the real API server sent."""
    compared = 0
    for file in sorted((SHARED / "batches").iterdir())[::3]:
        body = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        try:
            items = msgspec.json.decode(body)["items"]
        except msgspec.DecodeError:
            continue  # cut where its sender gave up
        assert body.rstrip(b"\n") == encode_batch(msgspec.convert(items, list[AuditEvent]))
        compared += 1
    assert compared > 20


def test_pod_bound_read_looks_like_one():
    """A get by a pod has the account's groups, the pod's extras, its address, decision and reason."""
    (event,) = events_of(request(reason="RBAC: why"))
    assert as_dict(event) == {
        "level": "Metadata",
        "auditID": "id",
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/shop/secrets/key",
        "verb": "get",
        "user": {
            "username": "system:serviceaccount:shop:reader",
            "uid": "sa-uid",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/credential-id": ["JTI=jti"],
                "authentication.kubernetes.io/node-name": ["node-1"],
                "authentication.kubernetes.io/node-uid": ["node-uid"],
                "authentication.kubernetes.io/pod-name": ["web-1"],
                "authentication.kubernetes.io/pod-uid": ["pod-uid"],
            },
        },
        "sourceIPs": ["10.1.2.3"],
        "userAgent": "app/1.0",
        "objectRef": {"resource": "secrets", "namespace": "shop", "name": "key", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2001-09-09T01:46:40.000000Z",
        "stageTimestamp": "2001-09-09T01:46:40.003000Z",
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "RBAC: why"},
    }


@pytest.mark.parametrize(
    ("changes", "options", "stages"),
    [
        # one stage, or two with the noise of a policy that omits none
        ({}, {}, ["ResponseComplete"]),
        ({}, {"received": True}, ["RequestReceived", "ResponseComplete"]),
        # a watch that ends, and one that is open
        ({"verb": "watch"}, {}, ["ResponseStarted", "ResponseComplete"]),
        ({"verb": "watch"}, {"complete": False}, ["ResponseStarted"]),
        # nobody was authenticated
        ({"code": 401}, {"received": True}, ["ResponseStarted"]),
    ],
)
def test_stages(changes, options, stages):
    """Which stages a request writes."""
    assert stages == [event.stage for event in events_of(request(**changes), **options)]


def test_request_received_knows_nothing_of_the_answer():
    """Before authorization there is no decision, no reason, no status and no impersonated user."""
    event = as_dict(events_of(request(impersonated=account_user(Account("a", "b"))), received=True)[0])
    assert set() == {"annotations", "responseStatus", "impersonatedUser"} & set(event)


def test_both_stages_of_a_watch_share_id_and_receipt():
    """The stages of one watch differ in stage and stage time alone."""
    started, complete = map(as_dict, events_of(request(verb="watch", name=None, watch_s=60, took_s=60.0)))
    assert {"stage", "stageTimestamp"} == {key for key in started if started[key] != complete[key]}
    assert complete["requestURI"].endswith("?timeoutSeconds=60&watch=true")
    assert complete["stageTimestamp"] == "2001-09-09T01:47:40.000000Z"


@pytest.mark.parametrize(
    ("changes", "uri"),
    [
        ({"verb": "list", "name": None}, "/api/v1/namespaces/shop/secrets"),
        ({"verb": "list", "name": None, "namespace": None}, "/api/v1/secrets"),
        ({"verb": "list"}, "/api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3Dkey"),
        ({"verb": "get", "subresource": "status"}, "/api/v1/namespaces/shop/secrets/key/status"),
        ({"api_group": "x.io", "api_version": "v2", "resource": "things"}, "/apis/x.io/v2/namespaces/shop/things/key"),
    ],
)
def test_request_uri(changes, uri):
    """The URI is the one a client would have called."""
    assert uri == as_dict(events_of(request(**changes))[0])["requestURI"]


def test_denial_carries_its_message():
    """A 403 says forbid, names user, verb and scope, and ends with what RBAC complained of."""
    event = as_dict(events_of(request(code=403, reason=missing_role("Role", "gone")))[0])
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert event["responseStatus"]["message"] == (
        'secrets "key" is forbidden: User "system:serviceaccount:shop:reader" cannot get resource "secrets" in API group "" '
        'in the namespace "shop": RBAC: role.rbac.authorization.k8s.io "gone" not found'
    )
    everywhere = as_dict(events_of(request(code=403, verb="list", name=None, namespace=None))[0])
    assert everywhere["responseStatus"]["message"].endswith("at the cluster scope")


def test_missing_secret_was_allowed():
    """A 404 carries allow: only the code tells that nothing was read."""
    event = as_dict(events_of(request(code=404))[0])
    assert (event["annotations"]["authorization.k8s.io/decision"], event["responseStatus"]["code"]) == ("allow", 404)


def test_unauthenticated_has_an_empty_user_and_no_annotations():
    """A 401 tells nobody's name."""
    event = as_dict(events_of(request(code=401))[0])
    assert (event["user"], "annotations" in event) == ({}, False)


def test_impersonation_names_both_and_its_denial_only_one():
    """An allowed impersonation shows both users; a denied one has neither the second nor a decision."""
    victim = account_user(Account("a", "b"))
    allowed = as_dict(events_of(request(impersonated=victim))[0])
    denied = as_dict(events_of(request(impersonated=victim, decided=False, code=403))[0])
    assert (
        allowed["impersonatedUser"]["username"],
        "impersonatedUser" in denied,
    ) == ("system:serviceaccount:a:b", False)
    assert "annotations" not in denied


def test_callers_differ_in_what_authentication_writes():
    """An unbound token has a credential id alone, a legacy one no extras but annotations in every stage, a person a hash."""
    unbound = unbound_caller(SA, uid="u", token_id="t", ip="1.2.3.4", user_agent="curl")
    legacy = legacy_caller(SA, uid="u", secret="token-secret", ip="1.2.3.4", user_agent="curl")
    person = person_caller("ann", ["system:authenticated"], certificate="ab", ip="1.2.3.4", user_agent="kubectl")
    assert unbound.user.extra == {"authentication.kubernetes.io/credential-id": ("JTI=t",)}
    assert person.user.extra == {"authentication.kubernetes.io/credential-id": ("X509SHA256=ab",)}
    received = as_dict(events_of(request(caller=legacy), received=True)[0])
    assert "extra" not in received["user"]
    assert received["annotations"]["authentication.k8s.io/legacy-token-manual-secret"] == "token-secret"


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", '"plain"'),
        ('odd "name"', '"odd \\"name\\""'),
        ("tab\tname", '"tab\\tname"'),
        ("é漢", '"é漢"'),
        ("bell\x07 nul\x00 del\x7f", '"bell\\a nul\\x00 del\\x7f"'),
        ("\u200b", '"\\u200b"'),
        ("\\", '"\\\\"'),
    ],
)
def test_go_quote(text, quoted):
    """Names are printed as Go's %q prints them."""
    assert quoted == go_quote(text)


def test_reason_puts_the_name_before_the_namespace():
    """A namespaced binding and a ServiceAccount are written name/namespace; a ClusterRoleBinding has its name alone."""
    role = ObjectName("Role", "n", "r")
    assert allowed_by(ObjectName("RoleBinding", "n", "b"), role, "ServiceAccount", "reader/shop") == (
        'RBAC: allowed by RoleBinding "b/n" of Role "r" to ServiceAccount "reader/shop"'
    )
    assert allowed_by(
        ObjectName("ClusterRoleBinding", None, "b"), ObjectName("ClusterRole", None, "r"), "Group", "g"
    ) == ('RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to Group "g"')


def test_batch_is_an_event_list_with_go_escapes():
    """`&`, `<` and `>` are escaped as Go's encoder does, and the JSON says the same."""
    body = encode_batch(events_of(request(verb="watch", name=None, watch_s=5, reason="a<b>&c")))
    assert b"&" not in body
    assert b"\\u003cb\\u003e\\u0026" in body
    assert (
        json.loads(body)["kind"],
        json.loads(body)["apiVersion"],
        len(json.loads(body)["items"]),
    ) == ("EventList", "audit.k8s.io/v1", 2)


def test_ids_come_from_the_seed():
    """The same seed makes the same ids, so that a run can be repeated."""
    assert new_id(random.Random(4)) == new_id(random.Random(4)) != new_id(random.Random(5))
