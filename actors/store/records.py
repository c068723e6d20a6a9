"""What the store gives its journal to keep, and gets back at the next start.

A `Record` is one batch as it was answered. So that records need not be kept for ever, rows say what all batches up to `as_of` came to:
`StateRow` for one observation of the window, `HistoryRow` for one (account, scope, verb). A reader applies rows first, then records
in order, leaving out of each row's observation what the row contains already. Counterparts: ledger.py, journal.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from actors.evidence import Account, Observation, ObservationKey, Read, Scope
from actors.messages import PROBE, BatchAnswer, Note, ParsedBatch
from actors.store.watches import WatchBook

HistoryKey = tuple[Account, Scope, str]
"""(account, scope, verb)."""


class Record(Struct, frozen=True, gc=False):
    """One batch, its answer, and the time on which everything about it was decided."""

    seq: int
    digest: bytes
    recorded_at: float
    """The store's time at which it was planned and is applied, now and after every restart."""
    received_at: float
    answer: BatchAnswer
    reads: tuple[Read, ...]
    """Empty once rows contain them."""
    newest_at: float | None = None
    """As in ParsedBatch; a journal need not give it back, only `Head.lag_s`."""
    note: Note | None = None
    """As in ParsedBatch; a journal need not give it back, only `Head.notes`."""


class StateRow(Struct, frozen=True, gc=False):
    """An observation as all batches up to `as_of` made it."""

    observation: Observation
    watches: WatchBook | None
    as_of: int
    past: bool
    """It was not live any more."""


class HistoryRow(Struct, frozen=True, gc=False):
    """Reads of one (account, scope, verb) in all batches up to `as_of`. Times: epoch seconds."""

    account: Account
    scope: Scope
    verb: str
    first_seen: float
    last_seen: float
    count: int
    as_of: int


class Fold(Struct, frozen=True):
    """Rows to write, in one commit."""

    states: tuple[StateRow, ...]
    history: tuple[HistoryRow, ...]


class Drop(Struct, frozen=True):
    """What is not needed any more, once the rows of a cut are written."""

    seq: int
    """Reads of the batches up to this one are contained in rows."""
    digests_before: float
    """Batches recorded before this need not be recognised any more (epoch seconds)."""
    states: tuple[tuple[Account, ObservationKey], ...] = ()
    history: tuple[HistoryKey, ...] = ()


class Head(Struct, frozen=True):
    """What a journal says when it is opened."""

    last_seq: int
    since: float | None
    """When its first batch was recorded (epoch seconds); None before that."""
    announced: frozenset[str] = frozenset()
    opens: int = 1
    """How often this object was opened: each is a new incarnation of the store."""
    last_batch_at: float | None = None
    """Receipt of the last batch that was recorded, however long ago (epoch seconds)."""
    lag_s: float | None = None
    """Receipt minus the newest item's time, of the last batch that had any."""
    notes: dict[str, bytes] = field(default_factory=dict)
    """The last value of each note."""


def lag_of(received_at: float, newest_at: float) -> float:
    """How far a batch was behind, in seconds; one from a clock ahead of ours is not behind."""
    return max(0.0, received_at - newest_at)


def is_probe(batch: ParsedBatch | BatchAnswer) -> bool:
    """Whether it holds nothing but the doctor's synthetic events: those say nothing of whether an API server sends."""
    return 0 < batch.events == batch.dropped.get(PROBE) and batch.error is None


def last_heard(records: Sequence[Record]) -> tuple[float | None, float | None]:
    """Receipt of the last of these batches, and the lag of the last that had an item's time; None where there is none."""
    records = [record for record in records if not is_probe(record.answer)]
    lags = [lag_of(r.received_at, r.newest_at) for r in records if r.newest_at is not None]
    return max((r.received_at for r in records), default=None), lags[-1] if lags else None


def notes_of(records: Sequence[Record]) -> dict[str, bytes]:
    """The last value of each note in these batches."""
    return {record.note.name: record.note.value for record in records if record.note is not None}


Cursor = tuple[str, int | bytes]
"""Where reading goes on: a table and the last key read of it."""


class Page(Struct, frozen=True):
    """A part of what is kept: states first, then history, then records in order. `next` None: that was all."""

    states: tuple[StateRow, ...] = ()
    history: tuple[HistoryRow, ...] = ()
    records: tuple[Record, ...] = ()
    next: Cursor | None = None
