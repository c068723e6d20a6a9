"""What may be asked of the store besides the pipeline's messages, and the answers. Counterparts: web/, actor.py."""

from __future__ import annotations

from msgspec import Struct, field

from actors.evidence import Account
from actors.store.digests import DigestStatistics
from actors.store.entries import WindowStatistics
from actors.store.history import HistoryStatistics
from actors.store.journal import JournalStatistics
from actors.store.records import HistoryRow


class StoreStatusQuery(Struct, frozen=True):
    """Answer: StoreStatus."""


class StoreCounts(Struct, frozen=True):
    """Of accepted batches since the process started, whatever the journal has from before; of a repeated batch only that it came."""

    batches: int = 0
    duplicates: int = 0
    events: int = 0
    reads: int = 0
    new: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    borrowed: int = 0
    late: int = 0
    """Reads that were not live on arrival."""
    evicted: int = 0


class SenderStatus(Struct, frozen=True):
    """One sender of batches. `lag_s`: from its newest item to the receipt; `skew_s`: how far that item's time was ahead of ours."""

    peer: str
    last_batch_at: float
    lag_s: float | None
    skew_s: float | None


class ActorStatistics(Struct, frozen=True):
    """What the actor itself bounds."""

    pending_batches: int
    pending_reads: int
    groups: int
    """Commits of batches."""
    largest_group: int
    refused: int
    """Batches refused because too many were pending."""
    unavailable: int
    """Batches refused because the commit failed."""
    publish_failures: int
    fold_failures: int
    announce_failures: int
    senders_replaced: int
    following: int
    """Accounts' actors that are told what changes."""
    unfollowed: int
    """Times that an account changed that nobody followed."""


class StoreStatus(Struct, frozen=True):
    """The store at a glance. Times: epoch seconds."""

    counts: StoreCounts
    observations: int
    capacity: int
    last_batch_at: float | None
    """Receipt of the last batch, a repeated one included; after a start that of the last one in the journal."""
    lag_s: float | None
    """Receipt minus the newest item's time, of the last batch that had any."""
    senders: tuple[SenderStatus, ...]
    """Of this process; at most 64, the latest last."""
    journal: JournalStatistics
    window: WindowStatistics
    digests: DigestStatistics
    history: HistoryStatistics
    actor: ActorStatistics
    allowance_s: float = 0.0
    """How much later the log of the last batch is allowed to be: so much longer the feed counts as live."""


class HistoryQuery(Struct, frozen=True):
    """What this account has ever read. Answer: HistoryAnswer."""

    account: Account


class HistoryAnswer(Struct, frozen=True):
    """`since`: from when on all is known (epoch seconds). Rows in no order; `as_of` means nothing to the asker."""

    since: float | None
    rows: tuple[HistoryRow, ...]


class HistoryPageQuery(Struct, frozen=True):
    """A slice of everything that was ever read. Answer: HistoryPage."""

    part: int = 0
    after: Account | None = None
    rows: int = 1000
    """At least so many, if the part has them: the rows of an account stay together."""


class HistoryPage(Struct, frozen=True):
    """As History.page. `part` and `after` say where to go on; `part` None: that was all."""

    since: float | None
    rows: tuple[HistoryRow, ...]
    part: int | None
    after: Account | None
