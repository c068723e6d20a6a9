"""Who is told what changed: the accounts' actors that follow, the router for accounts that nobody follows.

A pull (Follow) waits here until there is something to answer it with. Between its answer and its next pull an actor is *busy*: what
changes meanwhile waits for that pull. One that does not come back (it ended, or its supervisor gave up) is taken for gone after
BUSY_S. So each change is told to somebody, and one that is told in vain is told to the router.
Counterparts: actor.py (owner, time and refs), entries.py (what is told).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.evidence import Account
from actors.messages import Follow
from actors.runtime import ActorDead, MailboxFull
from actors.store.entries import Entries

ANSWER_STEP: Final = 200
"""Accounts told in one go: a few milliseconds."""
BUSY_S: Final = 5.0
"""How long an account's actor may take from an answer to its next pull."""


class FollowersStatistics(Struct, frozen=True):
    """Pulls that wait, actors that have an answer in hand, and answers that found nobody."""

    waiting: int
    busy: int
    unfollowed: int


class Followers:
    """At most one pull of each account that is in the window."""

    def __init__(self, window: Entries) -> None:
        self._window = window
        self._waiting: dict[Account, Follow] = {}
        self._busy: dict[Account, float] = {}
        """When (monotonic seconds) each was answered, oldest first."""
        self._due: dict[Account, None] = {}
        """Changed, for the next round of answers."""
        self._round: list[Account] = []
        self._unfollowed = 0

    def add(self, follow: Follow, now: float) -> bool:
        """Answer a pull, now or when there is something. False: there was, and it could not be told."""
        account = follow.account
        self._busy.pop(account, None)
        if self._window.is_current(account, follow.epoch, follow.version):
            self._waiting[account] = follow
            return True
        self._waiting.pop(account, None)
        return self._tell(follow, now)

    def note(self, accounts: dict[Account, None]) -> None:
        """These have changed."""
        self._due |= accounts

    def answer(self, now: float) -> tuple[Account, ...]:
        """A step of telling what has changed, at most ANSWER_STEP accounts; those that nobody follows."""
        if not self._round:
            self._round, self._due = list(self._due), {}
        nobody = []
        for _ in range(min(ANSWER_STEP, len(self._round))):
            account = self._round.pop()
            follow = self._waiting.pop(account, None)
            if (account not in self._busy) if follow is None else not self._tell(follow, now):
                nobody.append(account)
        self._unfollowed += len(nobody)
        return tuple(nobody)

    @property
    def answering(self) -> bool:
        """Whether a round is under way."""
        return bool(self._round)

    @property
    def more(self) -> bool:
        """Whether there is anything left to tell."""
        return bool(self._round or self._due)

    def gone(self, now: float) -> tuple[Account, ...]:
        """Accounts whose actors were answered BUSY_S ago and have not come back, though there is something of theirs."""
        gone = []
        while self._busy:
            account, at = next(iter(self._busy.items()))
            if at > now - BUSY_S:
                break
            del self._busy[account]
            if self._window.has(account):
                gone.append(account)
        return tuple(gone)

    def _tell(self, follow: Follow, now: float) -> bool:
        try:
            follow.follower.tell(self._window.changes_since(follow.account, follow.epoch, follow.version))
        except (MailboxFull, ActorDead):
            return False
        if self._window.has(follow.account):  # else there is nothing left to come back for
            self._busy[follow.account] = now
        return True

    def statistics(self) -> FollowersStatistics:
        """Counts."""
        return FollowersStatistics(len(self._waiting), len(self._busy), self._unfollowed)
