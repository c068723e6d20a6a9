"""Grants by whom they are for (an account, all of a namespace, everyone), and in each by the namespace that they reach. Pure.

Counterpart: index.py, which says what lies where.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from actors.evidence import Account, ObjectName
from actors.grants.grant import Grant
from actors.grants.subjects import Concerned

_GrantKey = tuple[ObjectName, ObjectName, float, float | None]
Whom = Account | str | None
"""One account, every account of a namespace, or every account."""
Tier = dict[str | None, dict[_GrantKey, Grant]]
"""Grants by the namespace that they are for."""

NONE: Final[dict[_GrantKey, Grant]] = {}
_NOBODY: Final[dict[Account, None]] = {}


class Tiers:
    """No tier and no part of one is empty."""

    def __init__(self) -> None:
        self._tiers: dict[Whom, Tier] = {}
        self._named_in: dict[str, dict[Account, None]] = {}
        """Accounts with a tier of their own, by their namespace."""

    def __bool__(self) -> bool:
        """Whether it holds anything."""
        return bool(self._tiers or self._named_in)

    def put(self, whom: Whom, grant: Grant) -> None:
        """The grant lies in this tier."""
        if isinstance(whom, Account):
            self._named_in.setdefault(whom.namespace, {})[whom] = None
        self._tiers.setdefault(whom, {}).setdefault(grant.namespace, {})[_key(grant)] = grant

    def take_out(self, whom: Whom, grant: Grant) -> None:
        """It does not any more."""
        tier = self._tiers[whom]
        part = tier[grant.namespace]
        del part[_key(grant)]
        if not part:
            del tier[grant.namespace]
        if tier:
            return
        del self._tiers[whom]
        if isinstance(whom, Account):
            named = self._named_in[whom.namespace]
            del named[whom]
            if not named:
                del self._named_in[whom.namespace]

    def of(self, account: Account) -> list[Tier]:
        """Those that the account is in, its own first."""
        tiers = self._tiers
        whom: tuple[Whom, ...] = (account, account.namespace, None)
        return [tier for each in whom if (tier := tiers.get(each)) is not None]

    def readers_within(
        self, namespace: str | None, names: Iterable[str] | None = None
    ) -> Iterator[tuple[str | None, str | None, tuple[Grant, ...]]]:
        """Who of these accounts may read Secrets now: (namespace, name, grants), None where a group stands for every account.

        `namespace` None: of all namespaces; `names` None: whatever they are called. The groups come first. Lazy.
        """
        wanted = None if names is None else frozenset(names)
        if grants := self._now_of(None):
            yield (None, None, grants)
        groups = [namespace] if namespace is not None else [whom for whom in self._tiers if isinstance(whom, str)]
        for group in groups:
            if grants := self._now_of(group):
                yield (group, None, grants)
        if namespace is not None and wanted is not None:
            accounts: Iterable[Account] = (Account(namespace, name) for name in sorted(wanted))
        elif namespace is not None:
            accounts = self._named_in.get(namespace, _NOBODY)
        else:
            accounts = (account for named in self._named_in.values() for account in named)
        for account in accounts:
            if (wanted is None or account.name in wanted) and (grants := self._now_of(account)):
                yield (account.namespace, account.name, grants)

    def _now_of(self, whom: Whom) -> tuple[Grant, ...]:
        """The grants of Secrets that lie in this tier and stand now."""
        tier = self._tiers.get(whom)
        if tier is None:
            return ()
        return tuple([g for part in tier.values() for g in part.values() if g.rules and not g.revoked])

    def named(self) -> frozenset[Account]:
        """Accounts with a tier of their own."""
        return frozenset(whom for whom in self._tiers if isinstance(whom, Account))


def whom_of(concerned: Concerned) -> Iterator[Whom]:
    """The widest tiers that are needed: an account has none of its own where its namespace has one."""
    if concerned.everyone:
        yield None
        return
    yield from sorted(concerned.namespaces)
    yield from sorted(each for each in concerned.accounts if each.namespace not in concerned.namespaces)


def _key(grant: Grant) -> _GrantKey:
    return (grant.binding, grant.role, grant.valid_from, grant.gone_at)
