"""Who is told what changed: the accounts' actors that follow, the router for accounts that nobody follows.

An actor that follows says from which version on. It is told everything since, at once if there is anything, then with each commit
what that brought, each time from where the last time ended: it notices a gap, and follows again from where it is. One that cannot
be told follows no longer, and the router hears of the account. So each change is told to somebody.
Counterparts: actor.py (owner), entries.py (what is told), the account's actor (attribution/account.py).
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.evidence import Account
from actors.messages import Follow, Follower
from actors.runtime import ActorDead, MailboxFull
from actors.store.entries import Entries

ANSWER_STEP: Final = 200
"""Accounts told in one go: a few milliseconds."""


class FollowersStatistics(Struct, frozen=True):
    """Actors that follow, and how often an account changed that nobody followed."""

    following: int
    unfollowed: int


class _Following:
    """One that follows, and where it is."""

    __slots__ = ("epoch", "follower", "version")

    def __init__(self, follow: Follow) -> None:
        self.follower: Follower = follow.follower
        self.epoch = follow.epoch
        self.version = follow.version


class Followers:
    """At most one of each account that is in the window."""

    def __init__(self, window: Entries) -> None:
        self._window = window
        self._following: dict[Account, _Following] = {}
        self._due: dict[Account, None] = {}
        """Changed, for the next round of answers."""
        self._round: list[Account] = []
        self._unfollowed = 0

    def add(self, follow: Follow) -> bool:
        """From now on it follows, in the place of whoever did. False: there was something to tell, and it could not be told."""
        account, following = follow.account, _Following(follow)
        if self._window.is_current(account, follow.epoch, follow.version):
            self._following[account] = following
            return True
        return self._tell(account, following)

    def note(self, accounts: dict[Account, None]) -> None:
        """These have changed."""
        self._due |= accounts

    def answer(self) -> tuple[Account, ...]:
        """A step of telling what has changed, at most ANSWER_STEP accounts; those that nobody follows."""
        if not self._round:
            self._round, self._due = list(self._due), {}
        nobody = []
        for _ in range(min(ANSWER_STEP, len(self._round))):
            account = self._round.pop()
            following = self._following.get(account)
            if following is None:
                nobody.append(account)
            elif self._window.is_current(account, following.epoch, following.version):
                continue  # it was told when it began to follow
            elif not self._tell(account, following):
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

    def _tell(self, account: Account, following: _Following) -> bool:
        changes = self._window.changes_since(account, following.epoch, following.version)
        try:
            following.follower.tell(changes)
        except (MailboxFull, ActorDead):
            self._following.pop(account, None)
            return False
        if changes.more or not self._window.has(account):  # it follows again, or has nothing left to follow
            self._following.pop(account, None)
        else:
            following.epoch, following.version = changes.epoch, changes.version
            self._following[account] = following
        return True

    def statistics(self) -> FollowersStatistics:
        """Counts."""
        return FollowersStatistics(len(self._following), self._unfollowed)
