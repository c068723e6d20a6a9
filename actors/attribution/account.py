"""The actor of one ServiceAccount: follows its reads in the store, asks the cluster for its pods, tells the engine.

Messages: AccountChanges (from the store; those that wait become one), Refresh (conflated as well, so that neither can overflow).
Tells the store Follow, asks PodsOf, tells EvidenceChanged. It may crash at any time: a new incarnation follows from the beginning
and sends everything. It leaves the tree when nothing of the account is in the window; the next read starts it again.

What the store tells is taken in if it begins where this incarnation is. Else, and whenever something fails on the way, it follows
again from where it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Hashable
from typing import Any, ClassVar, Final

from msgspec import Struct

from actors.attribution.state import AccountEvidence, AccountStatistics, joined
from actors.evidence import Account
from actors.messages import AccountChanges, AccountPods, EvidenceChanged, Follow, PodsOf, Refresh
from actors.runtime import (
    UNANSWERED,
    Actor,
    ActorRef,
    MailboxFull,
    MailboxPolicy,
    Overflow,
    Timer,
)

ASK_TIMEOUT_S: Final = 10.0
"""How long the store or the cluster may take to answer."""
RETRY_S: Final = 1.0
"""After a failed question; the question is then asked anew, so nothing is lost."""
LINGER_S: Final = 0.5
"""How long after the end of its last evidence an actor looks whether the store has said so."""
LOOK_S: Final = 10.0
"""How often it looks again after that."""
PAGES_MAX: Final = 1000
"""Pages of one answer of the store; far more than the window can fill."""
LOOK_STEP: Final = 500
"""Pieces of evidence that changes of the pods let one message attribute again; the rest is left to messages to itself."""
LOOKED_PER_S: Final = 10_000
"""Pieces of evidence without a pod claim that one actor attributes again in a second because pods changed: each change is about all
of them. What waits meanwhile stays as it was known."""


class _Wake(Struct, frozen=True):
    """To itself: something may have ended."""


class _Look(Struct, frozen=True):
    """To itself: evidence waits to be attributed again."""


class AccountActor(Actor):
    """Attributes the live reads of one account (design 1, The flow)."""

    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=8, overflow=Overflow.CONFLATE)
    """Changes, a Refresh, a wake-up: one of each."""

    def __init__(self, account: Account, store_ref: ActorRef, cluster_ref: ActorRef, engine_ref: ActorRef) -> None:
        super().__init__()
        self._account = account
        self._store = store_ref
        self._cluster = cluster_ref
        self._engine = engine_ref
        self._state = AccountEvidence(account)
        self._wish = Refresh()
        """What to do with the next changes besides."""
        self._pages: list[AccountChanges] = []
        """Of an answer that has more."""
        self._timer: Timer | None = None
        self._looks = False
        """Whether a _Look is on its way."""
        self._look_from = 0.0
        """When (epoch seconds) evidence without a claim may be looked at next."""
        self._unanswered = 0

    @classmethod
    def conflate_key(cls, message: Any) -> Hashable | None:
        """Every Refresh is one: what it asks for is added up. And so are changes that follow on one another."""
        return None if message.__class__ in (_Wake, _Look) else message.__class__

    @classmethod
    def conflate(cls, queued: Any, message: Any) -> Any:
        """Both in one. Changes that do not begin where those before ended say everything since an earlier version anyhow."""
        if message.__class__ is AccountChanges:
            return joined([queued, message]) if message.since == queued.version and not message.full else message
        return Refresh(pods_changed=queued.pods_changed or message.pods_changed, full=queued.full or message.full)

    async def on_start(self) -> None:
        """Starts from nothing: pull everything, send everything. A message lost in a crash is made good here."""
        self._state = AccountEvidence(self._account, self.context.incarnation)
        self.context.ref.tell(Refresh(full=True))

    def on_receive(self, message: Any) -> Any:
        """News of the store, Refresh, or its own wake-up; anything else is a bug of ours. It waits only for pods and for room."""
        if message.__class__ is AccountChanges:
            return self._news(message)
        if message.__class__ is Refresh:
            return self._refresh(message)
        if message.__class__ is _Look:
            self._looks = False
            return None if self._state.needs_pods else self._take(self._nothing_new())
        if message.__class__ is not _Wake:
            raise TypeError(f"an account's actor takes no {type(message).__name__}")
        self._timer = None
        self._follow()
        self._leave_or_wait()
        return None

    def _refresh(self, wish: Refresh) -> Awaitable[None] | None:
        """Something may be missing here, or elsewhere: follow anew, and do what is wished for with what is held already."""
        self._wish = self.conflate(self._wish, wish)
        self._follow()
        if self._state.needs_pods or not (wish.full or wish.pods_changed):
            return None
        return self._take(self._nothing_new())

    def _nothing_new(self) -> AccountChanges:
        """What the store would say if nothing had changed."""
        state = self._state
        return AccountChanges(self._account, state.epoch, state.version, False, ())

    def _follow(self) -> None:
        """Let the store tell what changes after what is here."""
        epoch, version = self._position()
        try:
            self._store.tell(Follow(self._account, epoch, version, self.context.ref))
        except UNANSWERED:
            self._try_again()

    def _position(self) -> tuple[int, int]:
        """Epoch and version of what was answered last."""
        last = self._pages[-1] if self._pages else self._state
        return last.epoch, last.version

    def _try_again(self, wish: Refresh = Refresh()) -> None:  # noqa: B008 - frozen
        self._unanswered += 1
        self.context.after(RETRY_S, wish)

    def _news(self, changes: AccountChanges) -> Awaitable[None] | None:
        epoch, version = self._position()
        if changes.since != version or not (changes.full or changes.epoch == epoch):
            self._follow()
            return None
        if changes.more or self._pages:
            if changes.full:
                self._pages.clear()
            self._pages.append(changes)
            if changes.more and len(self._pages) < PAGES_MAX:
                self._follow()
                return None
            changes, self._pages = joined(self._pages), []
        return self._take(changes)

    def _take(self, changes: AccountChanges) -> Awaitable[None] | None:
        """Takes in what changed, in one go unless the pods have to be asked for."""
        if self._state.needs_pods or self._wish.pods_changed:
            return self._take_with_pods(changes)
        return self._apply(changes, None)

    async def _take_with_pods(self, changes: AccountChanges) -> None:
        wish = self._wish
        try:
            pods = await self._cluster.ask(PodsOf(self._account, *self._state.pods_from), timeout_s=ASK_TIMEOUT_S)
        except UNANSWERED:
            self._wish = Refresh()
            self._try_again(wish)
            return
        rest = self._apply(changes, pods)
        if rest is not None:
            await rest

    def _apply(self, changes: AccountChanges, pods: AccountPods | None) -> Awaitable[None] | None:
        """Tells the engine what is new; what is left to do if the engine has no room at once."""
        wish, self._wish = self._wish, Refresh()
        now, state = self.context.clock.now(), self._state
        looked, unclaimed = state.looked, LOOK_STEP if now >= self._look_from else 0
        news = state.update(changes, pods, now, full=wish.full, claimed=LOOK_STEP, unclaimed=unclaimed)
        if state.looked > looked:
            self._look_from = now + (state.looked - looked) / LOOKED_PER_S
        self._look_again(now)
        for at, each in enumerate(news):
            try:
                self._engine.tell(each)
            except MailboxFull:
                return self._send(news[at:])
            except UNANSWERED:
                self._try_again(Refresh(full=True))
                break
        self._leave_or_wait()
        return None

    def _look_again(self, now: float) -> None:
        """Comes back to what waits: soon to what claims a pod, to the rest at its pace."""
        if self._looks or not (self._state.due or self._state.waiting):
            return
        self._looks = True
        if self._state.due:
            self.context.ref.tell(_Look())
        else:
            self.context.after(max(0.0, self._look_from - now), _Look())

    async def _send(self, news: tuple[EvidenceChanged, ...]) -> None:
        """What could not be sent is sent whole later: the engine would find a gap anyhow."""
        try:
            for each in news:
                await self._engine.send(each)
        except UNANSWERED:
            self._try_again(Refresh(full=True))
        self._leave_or_wait()

    def _leave_or_wait(self) -> None:
        """Leaves when nothing is held; else looks again when the last of it will have ended.

        The store says of every end; the look is for a store that was not there to say so. So one that comes too early does no harm,
        and one that is set already is left as it is.
        """
        if self._state.holds_any:
            if self._timer is not None:
                return
        elif self.context.retire():
            return
        now = self.context.clock.now()
        end = self._state.end(now)
        wake_at = now + LOOK_S if end is None else end + LINGER_S
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.context.after(wake_at - now, _Wake())

    def statistics(self) -> AccountStatistics:
        """Counts, for pages and metrics."""
        return self._state.statistics()
