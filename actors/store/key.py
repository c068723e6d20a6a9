"""Keys of the store's dicts, as records: a dict with such keys is none of the garbage collector's business, one with tuples is.

With a million observations, a collector that looks at every key stops the loop for tenths of a second.
"""

from __future__ import annotations

from msgspec import Struct

from actors.evidence import Account, ObservationKey, Read


class Key(Struct, frozen=True, gc=False, cache_hash=True):
    """An ObservationKey as a record."""

    verb: str
    namespace: str | None
    name: str | None
    pod: str | None
    uid: str | None
    borrowed: bool


def key_of(read: Read) -> Key:
    """The observation of its account that this read belongs to, as `observation_key` has it."""
    claim, scope = read.claim, read.scope
    if claim is None:
        return Key(read.verb, scope.namespace, scope.name, None, None, read.borrowed)
    return Key(read.verb, scope.namespace, scope.name, claim.name, claim.uid, read.borrowed)


class Place(Struct, frozen=True, gc=False):
    """Where an observation was."""

    account: Account
    key: ObservationKey
