"""What a store counts and whom it hears, for as long as the process lives: each incarnation goes on from the one before it.

The journal holds it, since that outlives the store's actor; it is not written. Counterparts: ledger.py (counts), actor.py (senders).
"""

from __future__ import annotations

from msgspec import Struct, field

from actors.store.queries import StoreCounts
from actors.store.senders import Senders


class Tally(Struct):
    """Owned by the journal, changed by the one incarnation there is."""

    counts: StoreCounts = field(default_factory=StoreCounts)
    seq: int | None = None
    """The last batch that is in `counts`; None before the first start."""
    senders: Senders = field(default_factory=Senders)
