"""What tells objects apart, and what of them decides: keys of records, of owners, and of what is only joined. Pure.

Counterparts: model.py (joins by them), live/ (says by them what a list has named).
"""

from __future__ import annotations

from actors.cluster.raw import Decoded, Gateway, Owner, RawPod, RawRoute
from actors.cluster.records import Binding, OwnerName, Record, RecordKey, Role
from actors.evidence import ObjectName

__all__ = ["identity", "key_of", "owner_key", "says"]


def owner_key(namespace: str, ref: OwnerName) -> str:
    """As Owner.key."""
    return ref.uid or f"{ref.kind}/{namespace}/{ref.name}"


def says(record: Record) -> tuple[object, ...]:
    """What of a role or binding decides about grants."""
    match record:
        case Role():
            return (record.rules, record.aggregation)
        case Binding():
            return (record.role_kind, record.role_name, record.subjects)
        case _:
            return (record,)


def identity(decoded: Decoded) -> str | ObjectName:
    """What tells the object apart from others of its kind: of pods and owners the uid, else kind, namespace and name."""
    match decoded:
        case Gateway():
            return ObjectName("Gateway", decoded.namespace, decoded.name)
        case Owner():
            return decoded.key
        case _:
            key = key_of(decoded)
            assert key is not None  # noqa: S101 - the others are the two above
            return key


def key_of(decoded: Decoded) -> RecordKey | None:
    """The key of the record that it gives; None for what is only joined."""
    match decoded:
        case RawPod():
            return decoded.pod.uid
        case RawRoute():
            return decoded.route.key
        case Owner() | Gateway():
            return None
        case _:
            return decoded.key
