"""Behaviors on the wire, byte for byte as existing agents write them, and what is derived from them."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.evidence import (
    Alert,
    Behavior,
    BehaviorObservation,
    FileRead,
    LibraryLoaded,
    NetworkConnection,
    PrivilegeChange,
    ProcessExec,
    SecretRead,
    decode_behavior,
    decode_observations,
    encode_behavior,
    encode_observations,
)

# behavior, wire, variant label, fingerprint key, summary
TABLE: list[tuple[Behavior, str, str, str, str]] = [
    (
        Alert("Terminal shell"),
        '{"kind":"alert","rule":"Terminal shell"}',
        "alert",
        "alert:Terminal shell",
        "alert: Terminal shell",
    ),
    # where the peer is counts, not which one it is
    (
        NetworkConnection("1.2.3.4:443", True),
        '{"kind":"network_connection","peer":"1.2.3.4:443","internet":true}',
        "connection",
        "egress:internet",
        "connects to 1.2.3.4:443 (INTERNET egress)",
    ),
    (
        NetworkConnection("10.0.0.7:5432", False),
        '{"kind":"network_connection","peer":"10.0.0.7:5432","internet":false}',
        "connection",
        "egress:cluster",
        "connects to 10.0.0.7:5432",
    ),
    # the two ways of reading a Secret: mounted is not written, and the label is the same
    (
        SecretRead("app/db"),
        '{"kind":"secret_read","secret":"app/db"}',
        "secret-read",
        "read:app/db",
        "reads secret app/db",
    ),
    (
        SecretRead("app/db", "api"),
        '{"kind":"secret_read","secret":"app/db","source":"api"}',
        "secret-read",
        "read-api:app/db",
        "reads secret app/db (via Kubernetes API)",
    ),
    (
        LibraryLoaded("libssl.so.3"),
        '{"kind":"library_loaded","name":"libssl.so.3"}',
        "library-load",
        "lib:libssl.so.3",
        "loaded library libssl.so.3",
    ),
    (
        FileRead("/etc/db/p"),
        '{"kind":"file_read","path":"/etc/db/p"}',
        "file-read",
        "file:/etc/db/p",
        "opened file /etc/db/p",
    ),
    (
        PrivilegeChange(1000, 0),
        '{"kind":"privilege_change","from_uid":1000,"to_uid":0}',
        "priv-change",
        "priv:0",
        "privilege change uid 1000 -> 0",
    ),
    # the program counts, not its folder
    (
        ProcessExec("/usr/bin/env"),
        '{"kind":"process_exec","path":"/usr/bin/env"}',
        "exec",
        "exec:env",
        "executed /usr/bin/env",
    ),
    (
        ProcessExec("/bin/bash"),
        '{"kind":"process_exec","path":"/bin/bash"}',
        "exec",
        "exec:bash",
        "executed /bin/bash (interactive shell in container)",
    ),
    (
        ProcessExec("apt-get"),
        '{"kind":"process_exec","path":"apt-get"}',
        "exec",
        "exec:apt-get",
        "executed apt-get (package manager in container)",
    ),
]


@pytest.mark.parametrize(("behavior", "wire", "label", "key", "summary"), TABLE)
def test_each_behavior_is_written_and_named_as_agreed(
    behavior: Behavior, wire: str, label: str, key: str, summary: str
) -> None:
    """The JSON is byte for byte the agreed one, and label, key and summary follow from it."""
    expected = (wire, label, key, summary)
    assert expected == (
        encode_behavior(behavior).decode(),
        behavior.variant_label,
        behavior.fingerprint_key,
        behavior.summary,
    )


@pytest.mark.parametrize(("behavior", "wire"), [row[:2] for row in TABLE])
def test_each_behavior_comes_back_from_its_json(behavior: Behavior, wire: str) -> None:
    """What was written is read as the same behavior."""
    assert behavior == decode_behavior(wire.encode())


def test_a_secret_read_without_source_is_a_mounted_one() -> None:
    """Agents that never knew of a source mean mounted, and a source that is written out means the same."""
    old, explicit = b'{"kind":"secret_read","secret":"s"}', b'{"kind":"secret_read","secret":"s","source":"mounted"}'
    assert [SecretRead("s", "mounted")] * 2 == [decode_behavior(old), decode_behavior(explicit)]


def test_a_mounted_source_is_never_written() -> None:
    """Also after it came in written out."""
    assert (
        encode_behavior(decode_behavior(b'{"source":"mounted","kind":"secret_read","secret":"s"}'))
        == b'{"kind":"secret_read","secret":"s"}'
    )


@pytest.mark.parametrize(
    "wire",
    [
        # kinds and sources that are not in the contract
        b'{"kind":"host_read","secret":"s"}',
        b'{"kind":"secret_read","secret":"s","source":"host_path"}',
        b'{"kind":"secret_read","secret":"s","source":null}',
        b'{"secret":"s"}',
        # missing and mistyped fields
        b'{"kind":"secret_read"}',
        b'{"kind":"network_connection","peer":"p"}',
        b'{"kind":"privilege_change","from_uid":-1,"to_uid":0}',
        b'{"kind":"privilege_change","from_uid":0,"to_uid":4294967296}',
        b'{"kind":"alert","rule":7}',
        # too long, too deep, not UTF-8, no JSON
        b'{"kind":"file_read","path":"' + b"x" * 4097 + b'"}',
        b'{"kind":"alert","rule":"r","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"kind":"alert","rule":"\xff"}',
        b"",
    ],
)
def test_what_is_not_of_the_contract_is_refused(wire: bytes) -> None:
    """Every refusal is one and the same exception."""
    with pytest.raises(msgspec.DecodeError):
        decode_behavior(wire)


def test_an_observation_by_uid_is_written_without_what_is_absent() -> None:
    """The whole report of an agent that knows the pod's uid."""
    seen = BehaviorObservation(
        pod_uid="uid", source="agent", observed_at_ms=1_710_000_000_000, behavior=SecretRead("app/key")
    )
    bare = BehaviorObservation(pod_uid="uid", behavior=SecretRead("app/key"))
    expected = (
        b'[{"pod_uid":"uid","source":"agent","observed_at_ms":1710000000000,"behavior":{"kind":"secret_read","secret":"app/key"}},'
        b'{"pod_uid":"uid","behavior":{"kind":"secret_read","secret":"app/key"}}]'
    )
    assert expected == encode_observations((seen, bare))


def test_observations_come_back_from_their_json() -> None:
    """Both ways of naming a pod make the round trip."""
    seen = (
        BehaviorObservation(pod_uid="uid", source="agent", observed_at_ms=0, behavior=SecretRead("k", "api")),
        BehaviorObservation(namespace="app", pod="web", behavior=Alert("r")),
    )
    assert seen == decode_observations(encode_observations(seen))


@pytest.mark.parametrize("named", [{}, {"namespace": "app"}, {"pod": "web"}])
def test_an_observation_names_its_pod(named: dict[str, str]) -> None:
    """Half a name is none."""
    with pytest.raises(msgspec.ValidationError):
        decode_observations(json.dumps([named | {"behavior": {"kind": "alert", "rule": "r"}}]).encode())


texts = st.text(max_size=40)
uids = st.integers(0, 2**32 - 1)
behaviors = st.one_of(
    st.builds(Alert, texts),
    st.builds(NetworkConnection, texts, st.booleans()),
    st.builds(SecretRead, texts, st.sampled_from(["mounted", "api"])),
    st.builds(LibraryLoaded, texts),
    st.builds(FileRead, texts),
    st.builds(PrivilegeChange, uids, uids),
    st.builds(ProcessExec, texts),
)


@given(behaviors)
@settings(derandomize=True, deadline=None)
def test_every_behavior_makes_the_round_trip(behavior: Behavior) -> None:
    """Whatever the texts are."""
    assert behavior == decode_behavior(encode_behavior(behavior))
