"""The store's actor: what was answered is durable, what is durable is in the window, and whoever needs it pulls it.

Each incarnation loads everything from the journal, which outlives it; so a crash at any message loses nothing that was answered.
Messages: RecordBatch, Follow, LiveAccounts, FlipsAnnounced, Announced, NoteOf (actors/messages.py), StoreStatusQuery, HistoryQuery
(queries.py). Tells the accounts' actors that follow AccountChanges, the router AccountsChanged where none does.
Counterparts: ledger.py (what a batch does), writer.py (commits), followers.py (who is told what changed), journal.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Protocol

import structlog
import trio
from msgspec import Struct
from msgspec.structs import replace

from actors.evidence import Account
from actors.messages import (
    AccountsChanged,
    Announced,
    AnnouncedKeys,
    BatchAnswer,
    FlipsAnnounced,
    Follow,
    LiveAccounts,
    NoteOf,
    ParsedBatch,
    RecordBatch,
    StoreUnavailable,
)
from actors.runtime import Actor, ActorDead, MailboxFull, MailboxPolicy, Timer
from actors.store.followers import Followers
from actors.store.history import REACH_S
from actors.store.journal import Journal
from actors.store.ledger import Ledger
from actors.store.queries import (
    ActorStatistics,
    HistoryAnswer,
    HistoryPage,
    HistoryPageQuery,
    HistoryQuery,
    StoreStatus,
    StoreStatusQuery,
)
from actors.store.writer import Writer

log = structlog.get_logger("protector.store")

MAILBOX_MAX: Final = 20_000
"""Mostly pulls: after a start every account's actor asks at once."""
EXPIRE_STEP: Final = 10
"""Observations ended in one go. What goes last gives its memory back to the kernel, which takes up to half a millisecond each."""
EXPIRE_S: Final = 0.002
"""After so long a tick lets others have their turn."""
EXPIRE_STEPS: Final = 20
"""And after so many steps."""
TICK_MIN_S: Final = 0.02
"""Shortest time between two ticks; what ends in between ends together."""
TICK_MAX_S: Final = 30.0
"""Longest time between two ticks while anything is to end, so that a wall clock that was set is noticed."""
TICK_LATE_S: Final = 0.001
"""A tick comes this much after the end it is for, so that rounding never makes it come before."""
LOOK_EVERY_S: Final = 1.0
"""How often the writer looks for chores, and what could not be told is told again."""
HISTORY_PAGE_MAX: Final = 1000
"""Rows of history in one answer, but for those of an account that has more."""
STOP_WITHIN_S: Final = 3.0
"""How long a stopping store finishes what it has begun."""


class Tells(Protocol):
    """As much of an ActorRef as is needed of the router."""

    def tell(self, message: Any) -> None:
        """Queue a message."""


class _Tick(Struct, frozen=True):
    """Something may have ended."""


class _Look(Struct, frozen=True):
    """It is time to look for chores."""


class _Answer(Struct, frozen=True):
    """There are more to be told what changed."""


class StoreActor(Actor):
    """One store. The journal is handed in and is closed by whoever made it."""

    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=MAILBOX_MAX)

    _writer: Writer

    def __init__(
        self,
        journal: Journal,
        router: Tells,
        *,
        ttl_s: float = 300.0,
        capacity: int = 100_000,
        history_days: float = 90.0,
        first_read_after_s: float = REACH_S,
    ) -> None:
        """`ttl_s`: how long a read is live; `capacity`: live observations; `history_days`: how long unseen history is kept.

        `first_read_after_s`: how far history has to reach back before a read is called the first.
        """
        super().__init__()
        self._journal = journal
        self._router = router
        self._ledger = Ledger(
            ttl_s, capacity, history_days, epoch=0, tally=journal.tally, first_read_after_s=first_read_after_s
        )
        self._senders = journal.tally.senders
        self._announced: set[str] = set()
        self._timer: Timer | None = None
        self._armed_for = 0.0
        self._ticked_at = 0.0
        self._followers = Followers(self._ledger.window)
        self._unpublished: dict[Account, None] = {}
        """What the router could not be told."""
        self._publish_failures = 0

    # --- start and stop ---------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Everything back from the journal. Raises JournalError or JournalUnavailable."""
        head = await self._journal.open()
        clock = self.context.clock
        ledger = self._ledger
        ledger.window.epoch = int(clock.now() * 1000) * 1000 + head.opens % 1000
        self._announced = set(head.announced)
        ledger.begin(head)
        self._senders.remember(head.last_batch_at, head.lag_s)
        page = await self._journal.read(None)
        while True:
            for _ in ledger.restore(page):
                await trio.lowlevel.checkpoint()
            if page.next is None:
                break
            page = await self._journal.read(page.next)
        while self._expire(ledger.clock(clock.now())):
            await trio.lowlevel.checkpoint()
        ledger.restored()
        self._writer = Writer(ledger, self._journal, clock, self._recorded)
        self.context.start_soon(self._writer.run)
        self.context.every(LOOK_EVERY_S, _Look())
        self._publish()
        log.info("store loaded", observations=ledger.window.live, incarnation=self.context.incarnation)

    async def on_stop(self) -> None:
        """Finish what has begun, within STOP_WITHIN_S."""
        with trio.move_on_after(STOP_WITHIN_S):
            await self._writer.drained()

    async def on_failure(self, *_failure: Any) -> None:
        """Free the window in steps; the journal has everything."""
        for _ in self._ledger.dissolve():
            await trio.lowlevel.checkpoint()

    # --- messages ---------------------------------------------------------------------------------------------------

    def on_receive(self, message: Any) -> Any:
        """One message; RecordBatch is answered after its commit. Nothing here waits."""
        match message:
            case RecordBatch(batch):
                return self._record(batch)
            case Follow():
                if not self._followers.add(message):
                    self._tell_router((message.account,))
            case _Tick():
                self._tick()
            case _Look():
                self._look()
            case _Answer():
                self._answer_followers()
            case LiveAccounts():
                return AccountsChanged(self._ledger.window.live_accounts())
            case FlipsAnnounced(lit, dark):
                self._announced.difference_update(dark)
                self._announced.update(lit)
                self._writer.announce(lit, dark)
            case Announced():
                return AnnouncedKeys(frozenset(self._announced))
            case _:
                return self._asked(message)
        return None

    def _asked(self, message: Any) -> Any:
        match message:
            case NoteOf(name):
                return self._note_of(name)
            case StoreStatusQuery():
                return self._status()
            case HistoryQuery(account):
                history = self._ledger.history
                return HistoryAnswer(history.since, history.of(account))
            case HistoryPageQuery(part, after, limit):
                return self._history_page(part, after, limit)
            case _:
                return super().on_receive(message)

    def _history_page(self, part: int, after: Account | None, limit: int) -> HistoryPage:
        history = self._ledger.history
        rows, more = history.page(part, after, min(max(limit, 1), HISTORY_PAGE_MAX))
        return HistoryPage(history.since, tuple(rows), *(more if more is not None else (None, None)))

    def _look(self) -> None:
        self._writer.look()
        self._answer_followers()

    def _record(self, batch: ParsedBatch) -> BatchAnswer | StoreUnavailable | None:
        known = self._ledger.repeated(batch.digest)
        if known is not None:
            self._ledger.count_duplicate()
            self._senders.heard(batch)
            return replace(known, duplicate=True)
        refusal = self._writer.refuses(batch)
        if refusal is None:
            self._writer.submit(batch, self.context.reply_later())
        return refusal

    def _recorded(self, batch: ParsedBatch) -> None:
        """The batch is durable and applied."""
        self._senders.heard(batch)
        self._publish()

    def _note_of(self, name: str) -> bytes | StoreUnavailable | None:
        if self._writer.is_writing(name):
            return StoreUnavailable("the note is being written")
        return self._ledger.notes.get(name)

    # --- telling others, and time -------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Tell who follows what changed, and the router whom nobody follows."""
        if self._ledger.window.changed:
            self._followers.note(self._ledger.window.take_changed())
        if not self._followers.answering:
            self._answer_followers()
        self._arm()

    def _answer_followers(self) -> None:
        """A step of it: a commit may change more accounts than the loop has time for at once."""
        self._tell_router(self._followers.answer())
        if self._followers.more:
            with contextlib.suppress(MailboxFull):  # then the next look goes on with it
                self.context.ref.tell(_Answer())

    def _tell_router(self, accounts: Iterable[Account]) -> None:
        """What cannot be told now is told later: it says no more than 'look again'."""
        accounts = tuple(self._unpublished | dict.fromkeys(accounts))
        self._unpublished = {}
        if accounts:
            try:
                self._router.tell(AccountsChanged(accounts))
            except (MailboxFull, ActorDead):
                self._publish_failures += 1
                self._unpublished = dict.fromkeys(accounts)

    def _arm(self) -> None:
        """Have a tick when something ends next."""
        at = self._ledger.window.next_expiry()
        if at is None:
            return
        at = max(at, self._ticked_at + TICK_MIN_S)
        if self._timer is not None:
            if self._armed_for <= at:
                return
            self._timer.cancel()
        self._armed_for = at
        delay_s = min(max(at - self.context.clock.now(), 0.0) + TICK_LATE_S, TICK_MAX_S)
        self._timer = self.context.after(delay_s, _Tick())

    def _tick(self) -> None:
        now = self._ledger.clock(self.context.clock.now())
        self._timer = None
        more = self._expire(now)
        if more:
            self._armed_for = now
            self._timer = self.context.after(0.0, _Tick())
        else:
            self._ticked_at = now
        self._publish()

    def _expire(self, now: float) -> bool:
        """End what is past, as much as there is time for; whether there may be more."""
        monotonic = self.context.clock.monotonic
        until = monotonic() + EXPIRE_S
        for _ in range(EXPIRE_STEPS):
            if not self._ledger.window.expire(now, EXPIRE_STEP):
                return False
            if monotonic() > until:
                break
        return True

    # --- status -------------------------------------------------------------------------------------------------------

    def _status(self) -> StoreStatus:
        ledger, writer = self._ledger, self._writer.statistics()
        window, followers = ledger.window.statistics(), self._followers.statistics()
        return StoreStatus(
            counts=ledger.counts(),
            observations=window.observations,
            capacity=window.capacity,
            last_batch_at=self._senders.last_batch_at,
            lag_s=self._senders.lag_s,
            allowance_s=self._senders.allowance_s,
            senders=self._senders.all(),
            journal=self._journal.statistics(),
            window=window,
            digests=ledger.digests.statistics(),
            history=ledger.history.statistics(),
            actor=ActorStatistics(
                pending_batches=writer.pending_batches,
                pending_reads=writer.pending_reads,
                groups=writer.groups,
                largest_group=writer.largest_group,
                refused=writer.refused,
                unavailable=writer.unavailable,
                publish_failures=self._publish_failures,
                fold_failures=writer.fold_failures,
                announce_failures=writer.announce_failures,
                senders_replaced=self._senders.replaced,
                following=followers.following,
                unfollowed=followers.unfollowed,
            ),
        )
