"""The router: tells the accounts' actors to look again, starts those that are missing.

Messages: AccountsChanged (from the store), PodsChanged (from the cluster), ResendEvidence (from the engine).
Sends Refresh to the accounts' actors, EvidenceComplete to the engine. Keeps nothing: at its start it asks the store
which accounts live and refreshes them all, so whatever was lost with an earlier incarnation is made good.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, ClassVar, Final, Protocol

from msgspec import Struct

from actors.evidence import Account
from actors.messages import AccountsChanged, EvidenceComplete, LiveAccounts, PodsChanged, Refresh, ResendEvidence
from actors.runtime import (
    UNANSWERED,
    Actor,
    ActorDead,
    ActorRef,
    MailboxFull,
    MailboxPolicy,
    Overflow,
    TooManyChildren,
)

ASK_TIMEOUT_S: Final = 10.0
"""How long the store may take to say which accounts live."""
RETRY_S: Final = 1.0
"""After a failed question or a full mailbox."""


class Accounts(Protocol):
    """The accounts' actors, by key; a key that is not there is started by `ref`."""

    def ref(self, key: str) -> ActorRef:
        """The actor of this key, started if need be."""

    def __contains__(self, key: object) -> bool:
        """Whether the actor of this key lives."""


class RouterStatistics(Struct, frozen=True):
    """What the router did."""

    refreshed: int
    pods_ignored: int
    """Accounts whose pods changed while none of their reads was live."""
    resent: int
    unanswered: int


def account_key(account: Account) -> str:
    """The name of an account's actor: `<namespace>.<name>`. A namespace has no dot, so it can be read back."""
    return f"{account.namespace}.{account.name}"


def account_of(key: str) -> Account:
    """The account whose actor has this name; ValueError if it is none."""
    namespace, dot, name = key.partition(".")
    if not (namespace and dot and name):
        raise ValueError(f"{key!r} is no account's key")
    return Account(namespace, name)


class _Start(Struct, frozen=True):
    """To itself: let every account that lives look again."""


class _Missed(Struct, frozen=True):
    """To itself: these could not be told."""

    accounts: tuple[Account, ...]
    wish: Refresh


class RouterActor(Actor):
    """Between the store and the accounts' actors (design 1, The flow)."""

    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=10_000, overflow=Overflow.CONFLATE)

    def __init__(self, store_ref: ActorRef, accounts: Accounts, engine_ref: ActorRef) -> None:
        super().__init__()
        self._store = store_ref
        self._accounts = accounts
        self._engine = engine_ref
        self._refreshed = 0
        self._pods_ignored = 0
        self._resent = 0
        self._unanswered = 0

    @classmethod
    def conflate_key(cls, message: Any) -> Hashable | None:
        """News of one kind that waits is one message, so the mailbox cannot overflow."""
        if isinstance(message, ResendEvidence):
            return (ResendEvidence, message.accounts is None)
        return type(message) if isinstance(message, AccountsChanged | PodsChanged | _Start) else None

    @classmethod
    def conflate(cls, queued: Any, message: Any) -> Any:
        """The accounts of both, each once, in their order."""
        if isinstance(message, _Start) or message.accounts is None:
            return message
        return type(message)(tuple(dict.fromkeys(queued.accounts + message.accounts)))

    async def on_start(self) -> None:
        """Refreshes every account that has anything live."""
        self.context.ref.tell(_Start())

    async def on_receive(self, message: Any) -> Any:
        """One of the four kinds of news; anything else is a bug of ours."""
        match message:
            case AccountsChanged(accounts=accounts):
                self._refresh(accounts, Refresh())
            case PodsChanged(accounts=accounts):
                self._pods_changed(accounts)
            case ResendEvidence(accounts=some):
                await self._resend(some)
            case _Start():
                await self._start()
            case _Missed(accounts=accounts, wish=wish):
                self._refresh(accounts, wish)
            case _:
                raise TypeError(f"the router takes no {type(message).__name__}")

    def _refresh(self, accounts: Iterable[Account], wish: Refresh) -> None:
        """Tells each; those that cannot be told now are told later."""
        missed = []
        for account in accounts:
            try:
                self._accounts.ref(account_key(account)).tell(wish)
                self._refreshed += 1
            except (MailboxFull, ActorDead, TooManyChildren):
                missed.append(account)
        if missed:
            self._unanswered += len(missed)
            self.context.after(RETRY_S, _Missed(tuple(missed), wish))

    def _pods_changed(self, accounts: tuple[Account, ...]) -> None:
        """Only actors that live look again: one that starts pulls the pods anyway."""
        concerned = [account for account in accounts if account_key(account) in self._accounts]
        self._pods_ignored += len(accounts) - len(concerned)
        self._refresh(concerned, Refresh(pods_changed=True))

    async def _live(self) -> tuple[Account, ...] | None:
        try:
            answer = await self._store.ask(LiveAccounts(), timeout_s=ASK_TIMEOUT_S)
        except UNANSWERED:
            self._unanswered += 1
            return None
        accounts: tuple[Account, ...] = answer.accounts
        return accounts

    async def _start(self) -> None:
        accounts = await self._live()
        if accounts is None:
            self.context.after(RETRY_S, _Start())
            return
        self._refresh(accounts, Refresh(pods_changed=True))

    async def _resend(self, some: tuple[Account, ...] | None) -> None:
        """Everything again of these; of all, and then which accounts that was: the engine knows when it has heard them."""
        if some is not None:
            self._resent += len(some)
            self._refresh(some, Refresh(full=True))
            return
        accounts = await self._live()
        if accounts is None:
            self.context.after(RETRY_S, ResendEvidence(None))
            return
        self._resent += len(accounts)
        self._refresh(accounts, Refresh(full=True))
        try:
            await self._engine.send(EvidenceComplete(accounts))
        except UNANSWERED:
            self._unanswered += 1
            self.context.after(RETRY_S, ResendEvidence(None))

    def statistics(self) -> RouterStatistics:
        """Counts, for pages and metrics."""
        return RouterStatistics(self._refreshed, self._pods_ignored, self._resent, self._unanswered)
