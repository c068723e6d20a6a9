"""Puts batches into the journal, many in one commit, and applies them when they are durable; in between, the chores of the journal.

While a commit is under way, what arrives becomes the next group. One task does it all, so that nothing is written or made into rows
while a batch is half applied. Counterparts: actor.py (owner), ledger.py, journal.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import structlog
import trio
from msgspec import Struct
from msgspec.structs import replace

from actors.messages import BatchAnswer, ParsedBatch, StoreUnavailable
from actors.runtime import Clock, Reply
from actors.store.journal import Journal, JournalUnavailable
from actors.store.ledger import Cut, Ledger, Overlay
from actors.store.records import Drop, Fold, Record

log = structlog.get_logger("protector.store")

PENDING_BATCHES_MAX: Final = 256
"""Batches waiting for their commit. Beyond: refused at once."""
PENDING_READS_MAX: Final = 200_000
"""Reads in the batches that wait. Beyond: refused at once (one batch is always let in)."""
GROUP_BATCHES_MAX: Final = 64
"""Batches in one commit."""
GROUP_READS_MAX: Final = 20_000
"""A commit takes no further batch once it has this many reads."""
JOINED_MAX: Final = 64
"""Senders that may wait for one and the same batch. Beyond: refused at once."""
FOLD_BATCHES: Final = 5_000
"""Batches that are kept before rows are made, for batches with few reads."""
FOLD_EVERY_S: Final = 600.0
"""And after this time at the latest."""
FOLD_ROWS: Final = 250
"""Rows in one commit."""
DROP_ROWS: Final = 500
"""Rows deleted in one commit."""
PRUNE_EVERY_S: Final = 3600.0
"""How often history is gone over for rows that are too old."""
PRUNE_STEP: Final = 500
"""Accounts or rows of that in one go."""
RETRY_S: Final = 5.0
"""How long a chore that failed waits. Batches do not wait: each is tried when it comes."""
ANNOUNCE_MAX: Final = 200_000
"""Announced keys waiting to be written. Beyond: not written, and counted."""


class _Waiting(Struct):
    batch: ParsedBatch
    replies: list[Reply]


class WriterStatistics(Struct, frozen=True):
    """Counts of one incarnation."""

    pending_batches: int
    pending_reads: int
    groups: int
    largest_group: int
    refused: int
    unavailable: int
    fold_failures: int
    announce_failures: int


class Writer:
    """`published()` is called after each batch that was applied, before it is answered."""

    def __init__(
        self, ledger: Ledger, journal: Journal, clock: Clock, published: Callable[[ParsedBatch], None]
    ) -> None:
        self._ledger = ledger
        self._journal = journal
        self._clock = clock
        self._published = published
        self._pending: deque[_Waiting] = deque()
        self._pending_reads = 0
        self._in_flight: dict[bytes, _Waiting] = {}
        self._wake = trio.Event()
        self._idle = trio.Event()
        self._resting = False
        """There is nothing to do before `_wake`."""
        self._announcements: dict[str, bool] = {}
        self._cut: Cut | None = None
        self._fold: Fold | None = None
        self._drop: Drop | None = None
        self._batches_since_cut = 0
        started_at = clock.monotonic()
        self._cut_at = self._pruned_at = started_at
        self._pruning = False
        self._retry_at = 0.0
        self._groups = self._largest = self._refused = self._unavailable = 0
        self._fold_failures = self._announce_failures = 0

    # --- from the actor ------------------------------------------------------------------------------------------------

    def refuses(self, batch: ParsedBatch) -> StoreUnavailable | None:
        """Why this batch cannot even wait; None if it can."""
        waiting = self._in_flight.get(batch.digest)
        if waiting is not None:
            full = len(waiting.replies) >= JOINED_MAX
        else:
            full = len(self._pending) >= PENDING_BATCHES_MAX or (
                self._pending_reads > 0 and self._pending_reads + len(batch.reads) > PENDING_READS_MAX
            )
        if not full:
            return None
        self._refused += 1
        return StoreUnavailable("too many batches are waiting to be written")

    def submit(self, batch: ParsedBatch, reply: Reply) -> None:
        """Let the batch wait for its commit; `reply` gets a BatchAnswer or StoreUnavailable. Ask `refuses` before."""
        waiting = self._in_flight.get(batch.digest)
        if waiting is not None:
            waiting.replies.append(reply)
            return
        waiting = _Waiting(batch, [reply])
        self._in_flight[batch.digest] = waiting
        self._pending.append(waiting)
        self._pending_reads += len(batch.reads)
        self._wake.set()

    def is_writing(self, note: str) -> bool:
        """Whether a batch with this note waits for its commit, so that what is known of the note may be old in a moment."""
        return any(w.batch.note is not None and w.batch.note.name == note for w in self._in_flight.values())

    def announce(self, lit: Sequence[str], dark: Sequence[str]) -> None:
        """Remember these in the journal, when there is time."""
        for key in dark:
            self._announcements[key] = False
        for key in lit:
            if len(self._announcements) >= ANNOUNCE_MAX and key not in self._announcements:
                self._announce_failures += 1
                continue
            self._announcements[key] = True
        self._wake.set()

    def look(self) -> None:
        """Look whether a chore is due; called now and then."""
        self._wake.set()

    async def drained(self) -> None:
        """Wait until nothing is pending and no chore can be done now."""
        self._wake.set()
        while not self._resting or self._wake.is_set():
            self._idle = trio.Event()
            await self._idle.wait()

    # --- the task ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """For ever: groups of batches, and one chore after each."""
        while True:
            if self._pending:
                await self._commit()
            worked = await self._chore()
            if not self._pending and not worked:
                self._resting = True
                self._idle.set()
                await self._wake.wait()
                self._resting = False
                self._wake = trio.Event()

    async def _commit(self) -> None:
        group = self._take()
        overlay = Overlay()
        records: list[Record] = []
        now = self._clock.now()
        for waiting in group:
            steps = self._ledger.plan(waiting.batch, self._ledger.seq + 1 + len(records), now, overlay)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    records.append(end.value)
                    break
                await trio.lowlevel.checkpoint()
        self._groups += 1
        self._largest = max(self._largest, len(group))
        try:
            await self._journal.append(records)
        except JournalUnavailable as error:
            log.warning("batches refused: the journal cannot be written", batches=len(group), why=str(error))
            self._unavailable += len(group)
            for waiting in group:
                self._answer(waiting, StoreUnavailable(str(error)))
            return
        for waiting, record in zip(group, records, strict=True):
            await _through(self._ledger.accept(record))
            self._published(waiting.batch)
            self._answer(waiting, record.answer)
            await trio.lowlevel.checkpoint()
        self._batches_since_cut += len(group)

    def _take(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        reads = 0
        while self._pending and len(group) < GROUP_BATCHES_MAX and reads < GROUP_READS_MAX:
            waiting = self._pending.popleft()
            reads += len(waiting.batch.reads)
            group.append(waiting)
        self._pending_reads -= reads
        return group

    def _answer(self, waiting: _Waiting, answer: BatchAnswer | StoreUnavailable) -> None:
        del self._in_flight[waiting.batch.digest]
        first, *others = waiting.replies
        first.set(answer)
        for other in others:
            if isinstance(answer, BatchAnswer):
                self._ledger.count_duplicate()
                other.set(replace(answer, duplicate=True))
            else:
                other.set(answer)

    # --- chores --------------------------------------------------------------------------------------------------------

    async def _chore(self) -> bool:
        """One bounded piece of what is due besides batches; whether there was any."""
        now = self._clock.monotonic()
        if now < self._retry_at:
            return False
        try:
            if self._announcements:
                await self._announce()
                return True
            if self._cut is not None:
                await self._go_on(self._cut)
                return True
        except JournalUnavailable as error:
            self._fold_failures += 1
            self._retry_at = now + RETRY_S
            log.warning("the journal cannot be tidied up", why=str(error), retry_s=RETRY_S)
            return False
        return self._begin(now)

    def _begin(self, now: float) -> bool:
        """Start what is due by amount or time."""
        if self._pruning or now - self._pruned_at >= PRUNE_EVERY_S:
            self._pruned_at = now
            self._pruning = not self._ledger.prune(self._clock.now(), PRUNE_STEP)
            return True
        something = self._batches_since_cut > 0 or self._ledger.old_rows_left()
        if (
            self._ledger.unfolded >= self._journal.fold_reads
            or self._batches_since_cut >= FOLD_BATCHES
            or (something and now - self._cut_at >= FOLD_EVERY_S)
        ):
            self._cut = self._ledger.cut()
            self._batches_since_cut, self._cut_at = 0, now
            return True
        return False

    async def _announce(self) -> None:
        some, self._announcements = self._announcements, {}
        lit = [key for key, is_lit in some.items() if is_lit]
        dark = [key for key, is_lit in some.items() if not is_lit]
        try:
            await self._journal.announce(lit, dark)
        except JournalUnavailable:
            self._announce_failures += 1
            self._announcements = some | self._announcements
            raise

    async def _go_on(self, cut: Cut) -> None:
        """The next commit of a cut. What failed is tried again as it was: rows stay true, they say which batches they contain."""
        if self._drop is None and (self._fold is not None or cut.left):
            if self._fold is None:
                self._fold = self._ledger.fold(cut, FOLD_ROWS)
            if self._fold.states or self._fold.history:
                await self._journal.fold(self._fold)
            self._fold = None
            await trio.lowlevel.checkpoint()
            return
        if self._drop is None:
            self._drop = self._ledger.drop(cut, self._clock.now(), DROP_ROWS)
        more = await self._journal.drop(self._drop)
        self._drop = None
        if not more and not cut.rowless and not self._ledger.old_rows_left():
            self._cut = None
        await trio.lowlevel.checkpoint()

    def statistics(self) -> WriterStatistics:
        """Counts."""
        return WriterStatistics(
            len(self._pending),
            self._pending_reads,
            self._groups,
            self._largest,
            self._refused,
            self._unavailable,
            self._fold_failures,
            self._announce_failures,
        )


async def _through(steps: Iterator[None]) -> None:
    """All the steps, with room for others between them."""
    for _ in steps:
        await trio.lowlevel.checkpoint()
