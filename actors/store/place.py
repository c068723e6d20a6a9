"""Where an observation is: whose it is, and which of theirs."""

from __future__ import annotations

from msgspec import Struct

from actors.evidence import Account, ObservationKey


class Place(Struct, frozen=True, gc=False):
    """Where an observation was."""

    account: Account
    key: ObservationKey
