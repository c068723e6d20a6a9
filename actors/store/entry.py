"""One place of the window: an observation, what its watches are doing, and where the calendar and the journal have it.

Counterparts: window.py (owner), partition.py (by key and by recency), calendar.py (by end). No reference leads back from here to
any of them: the records are outside the garbage collector (gc=False), so a cycle would never be freed.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.evidence import Observation
from actors.store.history import Row
from actors.store.watches import WatchBook

NO_ROW: Final = -1
"""`Entry.as_of` of an entry that the journal has no row of."""


class Entry(Struct, gc=False):
    """An observation in the window. Times: epoch seconds."""

    observation: Observation
    serial: int
    """Tells entries apart for as long as the window lives."""
    due: float = 0.0
    """When the calendar ends it: its live_until; 0.0 while the calendar does not have it."""
    page: int = 0
    """The calendar's page that it was put on."""
    lingers_until: float = 0.0
    """Not 0.0: no longer (or never was) live, kept so that it is pulled."""
    as_of: int = NO_ROW
    """The last batch that the journal's row of it contains."""
    watches: WatchBook | None = None
    """Only for watches."""
    dirty: int = 0
    """Not 0: changed since its row was last made; the number of its chunk in `Entries.dirty`."""
    gone: bool = False
    """Has left the window."""
    row: Row | None = None
    """Its line of history, once that has been looked for."""
