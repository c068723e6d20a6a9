"""The actor of one ServiceAccount: pulls its reads from the store and its pods from the cluster, tells the engine.

Messages: Refresh (conflated: it cannot overflow). Asks ChangesSince and PodsOf, sends EvidenceChanged.
It may crash at any time: a new incarnation pulls everything again and sends it whole. It leaves the tree when nothing
of the account is live; the next read starts it again.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar, Final

from msgspec import Struct

from actors.attribution.state import AccountEvidence, AccountStatistics, joined
from actors.evidence import Account
from actors.messages import AccountChanges, AccountPods, ChangesSince, PodsOf, Refresh
from actors.runtime import (
    UNANSWERED,
    Actor,
    ActorRef,
    MailboxPolicy,
    Overflow,
    Timer,
)

ASK_TIMEOUT_S: Final = 10.0
"""How long the store or the cluster may take to answer."""
RETRY_S: Final = 1.0
"""After a failed question; the question is then asked anew, so nothing is lost."""
LINGER_S: Final = 0.5
"""How long after the end of its last evidence an actor looks whether it may leave."""
PAGES_MAX: Final = 1000
"""Pages of one answer of the store; far more than the window can fill."""


class _Wake(Struct, frozen=True):
    """To itself: something may have ended."""


class AccountActor(Actor):
    """Attributes the live reads of one account (design 1, The flow)."""

    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=8, overflow=Overflow.CONFLATE)

    def __init__(self, account: Account, store_ref: ActorRef, cluster_ref: ActorRef, engine_ref: ActorRef) -> None:
        super().__init__()
        self._account = account
        self._store = store_ref
        self._cluster = cluster_ref
        self._engine = engine_ref
        self._state = AccountEvidence(account)
        self._timer: Timer | None = None
        self._wake_at = 0.0
        self._unanswered = 0

    @classmethod
    def conflate_key(cls, message: Any) -> Hashable | None:
        """Every Refresh is one: what it asks for is added up."""
        return Refresh if isinstance(message, Refresh) else None

    @classmethod
    def conflate(cls, queued: Any, message: Any) -> Any:
        """Both wishes in one."""
        return Refresh(pods_changed=queued.pods_changed or message.pods_changed, full=queued.full or message.full)

    async def on_start(self) -> None:
        """Starts from nothing: pull everything, send everything. A message lost in a crash is made good here."""
        self._state = AccountEvidence(self._account, self.context.incarnation)
        self.context.ref.tell(Refresh(full=True))

    async def on_receive(self, message: Any) -> Any:
        """Refresh, or its own wake-up; anything else is a bug of ours."""
        if isinstance(message, _Wake):
            self._timer = None
            message = Refresh()
        if not isinstance(message, Refresh):
            raise TypeError(f"an account's actor takes no {type(message).__name__}")
        await self._refresh(message)

    async def _refresh(self, wish: Refresh) -> None:
        try:
            changes = await self._changes()
            pods = None
            if wish.pods_changed or self._state.needs_pods:
                pods = await self._cluster.ask(PodsOf(self._account), timeout_s=ASK_TIMEOUT_S)
        except UNANSWERED:
            self._unanswered += 1
            self.context.after(RETRY_S, wish)
            return
        await self._tell_engine(changes, pods, full=wish.full)
        self._leave_or_wait()

    async def _changes(self) -> AccountChanges:
        """What changed in the store since the last time, all pages of it; whatever changes meanwhile is told of anew."""
        pages: list[AccountChanges] = []
        epoch, version = self._state.epoch, self._state.version
        while len(pages) < PAGES_MAX:
            page = await self._store.ask(ChangesSince(self._account, epoch, version), timeout_s=ASK_TIMEOUT_S)
            if not page.more and not pages:
                return page  # type: ignore[no-any-return]  # the store answers ChangesSince with AccountChanges
            if pages and page.full:
                pages.clear()
            pages.append(page)
            epoch, version = page.epoch, page.version
            if not page.more:
                break
        return joined(pages)

    async def _tell_engine(self, changes: AccountChanges, pods: AccountPods | None, *, full: bool) -> None:
        """Sends what is new. What could not be sent is sent whole later: the engine would find a gap anyhow."""
        try:
            for news in self._state.update(changes, pods, self.context.clock.now(), full=full):
                await self._engine.send(news)
        except UNANSWERED:
            self._unanswered += 1
            self.context.after(RETRY_S, Refresh(full=True))

    def _leave_or_wait(self) -> None:
        """Leaves when nothing is live; else looks again when the last of it will have ended."""
        now = self.context.clock.now()
        end = self._state.end(now)
        if end is None and self.context.retire():
            return
        wake_at = now + LINGER_S if end is None else end + LINGER_S
        if self._timer is not None:
            if self._wake_at <= wake_at:
                return  # it will look in time, and see then that there is more; most refreshes only move the end away
            self._timer.cancel()
        self._wake_at = wake_at
        self._timer = self.context.after(wake_at - now, _Wake())

    def statistics(self) -> AccountStatistics:
        """Counts, for pages and metrics."""
        return self._state.statistics()
