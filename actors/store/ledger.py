"""Window, digests and history together: what one batch comes to, and how all of it comes back after a restart. Pure.

A batch is planned (what will be answered), made durable by the journal, and only then accepted. A restart applies the journal's rows
and then its records through the same code, on the times they were recorded with, so it ends where it was.

A cut says: from here on, rows. When the rows of everything that changed before a cut are written, the reads of the batches up to it
are not needed any more. Counterparts: actor.py (who calls), records.py (what is kept).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import zip_longest
from typing import Final, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from actors.evidence import Account, ObservationKey, Read, observation_key
from actors.messages import BatchAnswer, ParsedBatch
from actors.store.digests import DIGEST_AGE_S, Digests
from actors.store.entry import NO_ROW, Entry
from actors.store.history import REACH_S, History, Row, take
from actors.store.place import Place
from actors.store.queries import StoreCounts
from actors.store.records import Drop, Fold, Head, HistoryKey, Page, Record, StateRow
from actors.store.tally import Tally
from actors.store.watches import WatchId, watch_id
from actors.store.window import COUNTED, KNOWN, LATE, Found, Window

V = TypeVar("V")

STEP_READS: Final = 250
"""Reads applied in one step: about a millisecond."""


class Overlay(Struct):
    """What the batches that are planned, and not yet accepted, will add to the window."""

    lit: set[tuple[Account, ObservationKey]] = field(default_factory=set)
    ended: set[tuple[Account, ObservationKey, WatchId]] = field(default_factory=set)


class Cut(Struct):
    """What has to be in rows before the reads of the batches up to `seq` may go."""

    seq: int
    entries: list[dict[int, Entry]]
    rows: list[dict[int, Row]]
    rowless: dict[int, Place]

    @property
    def left(self) -> int:
        """Rows still to be written."""
        return sum(map(len, self.entries)) + sum(map(len, self.rows))


class Ledger:
    """Everything that the store knows."""

    def __init__(
        self,
        ttl_s: float,
        capacity: int,
        history_days: float,
        epoch: int,
        tally: Tally | None = None,
        first_read_after_s: float = REACH_S,
    ) -> None:
        """`ttl_s`: seconds of the window; `capacity`: live observations; `history_days`: how long an unseen row is kept.

        `tally`: where an earlier incarnation counted.
        """
        self.history = History(history_days, reach_s=first_read_after_s)
        self.window = Window(ttl_s, capacity, epoch, self.history.first_read)
        self.digests = Digests()
        self.seq = 0
        """The last batch that is applied in full."""
        self.unfolded = 0
        """Reads applied since the last cut."""
        self.busy = False
        """A batch is being applied: no rows may be made now."""
        self._now = 0.0
        self._places: dict[int, tuple[tuple[Read, ...], list[Found]]] = {}
        """Where the reads of the batches that are planned belong, by batch; one that was not accepted is replaced by the next."""
        self._tally = tally if tally is not None else Tally()
        self.notes: dict[str, bytes] = {}
        """What sources want back, as of the batches that are applied."""
        self._old_rows: list[HistoryKey] = []
        self._pruning: Iterator[HistoryKey | None] | None = None

    # --- a batch ---------------------------------------------------------------------------------------------------------

    def clock(self, now: float) -> float:
        """The ledger's time: `now`, but never back."""
        self._now = max(self._now, now)
        return self._now

    def plan(self, batch: ParsedBatch, seq: int, now: float, overlay: Overlay) -> Generator[None, None, Record]:
        """What this batch will be recorded as, after those that `overlay` stands for; changes nothing but the overlay.

        Yields between steps of STEP_READS reads.
        """
        now = self.clock(now)
        new = reads = 0
        find, would_light = self.window.find, self.window.would_light
        places: list[Found] = []
        for at, read in enumerate(batch.reads, 1):
            if at % STEP_READS == 0:
                yield
            found = find(read)
            places.append(found)
            if read.borrowed or read.ends_only:
                continue
            reads += 1
            if read.verb == "watch" and self._is_over(read, overlay):
                continue
            key, _, entry = found
            if entry is not None and not entry.lingers_until and entry.observation.live_until > now:
                continue  # as `would_light` would say, without the call
            if would_light(read, now, key, entry) and (read.account, key) not in overlay.lit:
                overlay.lit.add((read.account, key))
                new += 1
        self._places[seq] = (batch.reads, places)
        answer = BatchAnswer(batch.events, reads, new, batch.dropped, False, batch.error)
        return Record(seq, batch.digest, now, batch.received_at, answer, batch.reads, batch.newest_at, batch.note)

    def _is_over(self, read: Read, overlay: Overlay) -> bool:
        """Whether it is the start of a watch whose end is in a batch before, or earlier in this one."""
        this = (read.account, observation_key(read), watch_id(read))
        if read.complete:
            overlay.ended.add(this)
            return False
        return this in overlay.ended

    def accept(self, record: Record) -> Iterator[None]:
        """Apply a durable record, and count it; yields between steps of STEP_READS reads, and is applied when it is through."""
        yield from self._apply(record, counted=True)

    def _count(self, record: Record, late: int, evicted: int) -> None:
        counts, answer = self._tally.counts, record.answer
        self._tally.seq = record.seq
        others = len(record.reads) > answer.reads
        borrowed = sum(read.borrowed and not read.ends_only for read in record.reads) if others else 0
        dropped = dict(counts.dropped)
        for reason, number in answer.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + number
        self._tally.counts = StoreCounts(
            batches=counts.batches + 1,
            duplicates=counts.duplicates,
            events=counts.events + answer.events,
            reads=counts.reads + answer.reads,
            new=counts.new + answer.new,
            dropped=dropped,
            borrowed=counts.borrowed + borrowed,
            late=counts.late + late,
            evicted=counts.evicted + evicted,
        )

    def _apply(self, record: Record, *, counted: bool) -> Iterator[None]:
        self.busy = True
        late, evicted = 0, self.window.evicted
        if self.history.since is None:
            self.history.since = record.recorded_at
        now, received_at, seq = self.clock(record.recorded_at), record.received_at, record.seq
        do, history = self.window.record, self.history
        planned, places = self._places.pop(seq, ((), []))
        if planned is not record.reads:
            places = []
        for at, (read, found) in enumerate(zip_longest(record.reads, places), 1):
            outcome = do(read, now, received_at, seq, found)
            if outcome & (COUNTED | KNOWN) and not (read.borrowed or read.ends_only):
                entry = None if found is None else found[2]
                if entry is None:
                    history.note(read, seq)
                elif entry.row is None or entry.row.gone:
                    entry.row = history.note(read, seq)
                else:
                    history.note_in(entry.row, read.at, seq)
            if outcome & LATE:
                late += 1
            if at % STEP_READS == 0:
                yield
        self.digests.add(record.digest, record.answer, record.recorded_at)
        self.seq = seq
        if record.note is not None:
            self.notes[record.note.name] = record.note.value
        self.unfolded += len(record.reads)
        if counted:
            self._count(record, late, self.window.evicted - evicted)
        self.busy = False

    def repeated(self, digest: bytes) -> BatchAnswer | None:
        """The first answer to this batch, if it was answered before."""
        return self.digests.get(digest)

    def count_duplicate(self) -> None:
        """A repeated batch was answered."""
        self._tally.counts = replace(self._tally.counts, duplicates=self._tally.counts.duplicates + 1)

    def counts(self) -> StoreCounts:
        """Counts of accepted batches."""
        return self._tally.counts

    # --- coming back --------------------------------------------------------------------------------------------------------

    def begin(self, head: Head) -> None:
        """Where the journal stands; before the first page."""
        self.seq = head.last_seq
        self.history.since = head.since
        self.notes = dict(head.notes)
        if self._tally.seq is None:
            self._tally.seq = head.last_seq

    def restore(self, page: Page) -> Iterator[None]:
        """Put a page of the journal back; yields between steps."""
        for at, state in enumerate(page.states, 1):
            if state.past:  # comes back from its records, or is not needed
                self.window.rowless[-len(self.window.rowless) - 1] = Place(
                    state.observation.account, state.observation.key
                )
            else:
                self.window.restore(state.observation, state.watches, state.as_of)
            if at % STEP_READS == 0:
                yield
        for at, row in enumerate(page.history, 1):
            self.history.restore(row)
            if at % STEP_READS == 0:
                yield
        for record in page.records:
            # one that was committed when the incarnation before this one crashed was not counted by it
            yield from self._apply(record, counted=record.seq > (self._tally.seq or 0))
            yield

    def restored(self) -> None:
        """All pages are back: what left the window meanwhile is not of this incarnation."""
        self.window.evicted = 0

    def dissolve(self) -> Iterator[None]:
        """Let go of window and history in steps, when this incarnation is over."""
        yield from self.window.dissolve()
        yield from self.history.dissolve()

    # --- rows instead of records ----------------------------------------------------------------------------------------------

    def cut(self) -> Cut:
        """Begin: everything that changed up to now has to get a row."""
        window, history = self.window, self.history
        cut = Cut(self.seq, window.dirty.take(), history.dirty.take(), window.rowless)
        window.rowless = {}
        self.unfolded = 0
        return cut

    def fold(self, cut: Cut, limit: int) -> Fold:
        """The next rows of the cut, at most `limit`, as of this moment. Not while a batch is being applied."""
        if self.busy:
            raise AssertionError("rows of a batch that is half applied")
        states: list[StateRow] = []
        for entry in _taken(cut.entries, limit):
            if not entry.gone:
                entry.dirty, entry.as_of = 0, self.seq
                book = entry.watches.copy() if entry.watches is not None else None
                states.append(StateRow(entry.observation, book, self.seq, entry.lingers_until != 0.0))
        history = [self.history.row(row, self.seq) for row in _taken(cut.rows, limit - len(states))]
        return Fold(tuple(states), tuple(history))

    def drop(self, cut: Cut, now: float, limit: int) -> Drop:
        """What may go once all rows of the cut are written: reads, digests, and the next rows, at most `limit` of each kind."""
        gone = []
        for _ in range(min(limit, len(cut.rowless))):
            _, place = cut.rowless.popitem()
            entry = self.window.get(place.account, place.key)
            if entry is None or entry.as_of == NO_ROW:
                gone.append((place.account, place.key))
        old = [key for key in self._old_rows[-limit:] if not self.history.has(key)]
        del self._old_rows[-limit:]
        return Drop(cut.seq, self.clock(now) - DIGEST_AGE_S, tuple(gone), tuple(old))

    def old_rows_left(self) -> bool:
        """Whether `drop` has further rows of history to forget."""
        return bool(self._old_rows)

    def prune(self, now: float, limit: int) -> bool:
        """Forget history that is older than it may be, in steps; whether a round is through."""
        if self._pruning is None:
            self._pruning = self.history.prune(now)
        keys, through = take(self._pruning, limit)
        self._old_rows.extend(keys)
        if through:
            self._pruning = None
        return through


def _taken(chunks: list[dict[int, V]], limit: int) -> list[V]:
    """At most `limit` things, taken out of the chunks."""
    found: list[V] = []
    while chunks and len(found) < limit:
        if chunks[-1]:
            found.append(chunks[-1].popitem()[1])
        else:
            chunks.pop()
    return found
