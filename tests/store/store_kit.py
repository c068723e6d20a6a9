"""Reads, batches, a router that listens, and journals that fail: what the tests of the store are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from actors.evidence import Account, GrantName, ObjectName, Observation, PodClaim, Read, Scope
from actors.messages import AccountsChanged, BatchAnswer, ParsedBatch
from actors.store import Journal, JournalUnavailable, MemoryJournal, Window
from actors.store.records import Page, Record

T0 = 1_767_225_600.0
"""Now, in most tests."""
TTL_S = 300.0
APP = Account("shop", "app")


def grant(name: str) -> GrantName:
    """A binding and a role of this name."""
    return GrantName(ObjectName("RoleBinding", "shop", name), ObjectName("Role", "shop", name))


def get(secret: str = "a", at: float = T0, account: Account = APP, pod: str | None = None, **more: Any) -> Read:
    """A get."""
    claim = PodClaim(pod, f"uid-{pod}") if pod else None
    return Read(account, Scope("shop", secret), "get", at, at, claim=claim, **more)


def watch(at: float, *, end: float | None = None, open_s: float = 600.0, id_: str = "w", **more: Any) -> Read:
    """One stage of a watch that began at `at`: its end, or its start."""
    account = more.pop("account", APP)
    return Read(
        account,
        Scope("shop", None),
        "watch",
        at,
        at if end is None else end,
        end is not None,
        open_s,
        audit_id=id_,
        **more,
    )


def batch(*reads: Read, body: str | None = None, at: float = T0, **more: Any) -> ParsedBatch:
    """A batch; `body` stands for its bytes, by default those of its reads."""
    digest = hashlib.sha256((body if body is not None else repr(reads)).encode()).digest()
    kept = tuple(reads)
    newest_at = more.pop("newest_at", max((r.stage_at for r in kept), default=None))
    return ParsedBatch(digest, at, more.pop("events", len(kept)), kept, newest_at=newest_at, **more)


def plain(observation: Observation) -> Observation:
    """The observation without its version, for comparing windows that count differently."""
    return replace(observation, version=0)


def live(window: Window, now: float) -> dict[tuple[Any, ...], Observation]:
    """Everything that is live, by account and key, as pulls give it."""
    found = {}
    for account in window.live_accounts():
        changes = window.changes_since(account, 0, 0)
        observations = list(changes.observations)
        while changes.more:
            changes = window.changes_since(account, changes.epoch, changes.version)
            observations += changes.observations
        for observation in observations:
            if observation.live_until > now:
                found[account, observation.key] = plain(observation)
    return found


def record(seq: int, *reads: Read, at: float = T0) -> Record:
    """One batch, as a journal keeps it."""
    answer = BatchAnswer(len(reads), len(reads), len(reads), {"denied": 2}, error="cut short")
    return Record(seq, seq.to_bytes(32, "big"), at, at - 1, answer, reads)


async def everything(journal: Journal) -> Page:
    """All pages in one."""
    page = await journal.read(None)
    states, history, records = page.states, page.history, page.records
    while page.next is not None:
        page = await journal.read(page.next)
        states, history, records = states + page.states, history + page.history, records + page.records
    return Page(tuple(sorted(states, key=lambda s: s.observation.key.name or "")), history, records)


class Router:
    """Stands where the router stands, and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[AccountsChanged] = []
        self.refuse: Exception | None = None

    def tell(self, message: Any) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.told.append(message)

    def accounts(self) -> set[Account]:
        """All that it was told of so far; forgets it."""
        found = {account for message in self.told for account in message.accounts}
        self.told.clear()
        return found


class FailingJournal(MemoryJournal):
    """A journal in memory whose commits can be made to fail, or to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: str | None = None
        self.gate: Any = UNSET
        """A trio.Event that appends wait for."""
        self.groups: list[int] = []

    async def append(self, records: Sequence[Record]) -> None:
        if self.gate is not UNSET:
            await self.gate.wait()
        if self.failing is not None:
            raise JournalUnavailable(self.failing)
        self.groups.append(len(records))
        await super().append(records)

    async def announce(self, lit: Sequence[str], dark: Sequence[str]) -> None:
        if self.failing is not None:
            raise JournalUnavailable(self.failing)
        await super().announce(lit, dark)
