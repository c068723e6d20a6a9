"""Whose pods changed when: each account's pods in the order of their last change, so that an answer costs what changed. Pure.

A pod that is forgotten stays as such for a while; who asks from before that gets everything. Counterpart: model.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from actors.evidence import Account

FORGOTTEN_MAX: Final = 1000
"""Forgotten pods of one account that are remembered for who asks. Overflow: the oldest first; who asks from before gets everything."""


class PodLog:
    """The pods of every account, by uid. Versions rise by one a change, over all accounts."""

    def __init__(self, forgotten_max: int = FORGOTTEN_MAX) -> None:
        self.version = 0
        self._forgotten_max = forgotten_max
        self._of: dict[Account, _OfAccount] = {}

    def __iter__(self) -> Iterator[Account]:
        """The accounts that have pods."""
        return iter(self._of)

    def uids(self, account: Account) -> Iterable[str]:
        """The pods of the account, last changed last."""
        found = self._of.get(account)
        return () if found is None else found.pods

    def touch(self, account: Account, uid: str) -> None:
        """The pod is the account's, and another than before."""
        found = self._of.get(account)
        if found is None:
            found = self._of[account] = _OfAccount(self.version)
        self.version += 1
        found.forgotten.pop(uid, None)
        found.pods.pop(uid, None)
        found.pods[uid] = self.version

    def leave(self, account: Account, uid: str) -> None:
        """The pod is not the account's any more."""
        found = self._of.get(account)
        if found is None or found.pods.pop(uid, None) is None:
            return
        self.version += 1
        found.forgotten[uid] = self.version
        if len(found.forgotten) > self._forgotten_max:
            oldest = next(iter(found.forgotten))
            found.told_from = found.forgotten.pop(oldest)
        if not found.pods:
            del self._of[account]

    def since(self, account: Account, version: int) -> tuple[list[str], list[str]] | None:
        """(changed, forgotten) after that version; None: it cannot be told, take everything."""
        found = self._of.get(account)
        if found is None or not 0 < version <= self.version or version < found.told_from:
            return None
        return _after(found.pods, version), _after(found.forgotten, version)


class _OfAccount:
    """One account's. Both dicts are in the order of the versions."""

    __slots__ = ("forgotten", "pods", "told_from")

    def __init__(self, told_from: int) -> None:
        self.pods: dict[str, int] = {}
        self.forgotten: dict[str, int] = {}
        self.told_from = told_from
        """Changes after this version can be told."""


def _after(log: dict[str, int], version: int) -> list[str]:
    found = []
    for uid, at in reversed(log.items()):
        if at <= version:
            break
        found.append(uid)
    return found[::-1]
