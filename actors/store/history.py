"""What each account has ever read: per (account, scope, verb) first seen, last seen, count. Pure.

Borrowed reads are left out: they used somebody else's rights. Counterpart: ledger.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from msgspec import Struct

from actors.evidence import Account, Read, Scope
from actors.store.records import HistoryKey, HistoryRow
from actors.store.sharded import ShardedDict

HISTORY_MAX: Final = 200_000
"""Rows in all. Beyond: new ones are refused, and nothing is called a first read any more."""
ACCOUNT_HISTORY_MAX: Final = 20_000
"""Rows of one account, so that one cannot fill the history of all."""
REACH_S: Final = 24 * 3600.0
"""How far history has to reach back before it can say that something is new (design 3, Signals)."""
DAY_S: Final = 24 * 3600.0
_VERBS: Final = ("get", "list", "watch")


class _Row(Struct, gc=False):
    first_seen: float
    last_seen: float
    count: int
    as_of: int
    dirty: bool


class HistoryStatistics(Struct, frozen=True):
    """Counts."""

    rows: int
    bound: int
    overflows: int
    """Reads that found no room for a row of theirs."""
    since: float | None


class History:
    """Rows by account; `since`: from when on everything is known (epoch seconds), None while nothing is."""

    def __init__(self, days: float, bound: int = HISTORY_MAX, account_bound: int = ACCOUNT_HISTORY_MAX) -> None:
        self._kept_s = days * DAY_S
        self._bound = bound
        self._account_bound = account_bound
        self._accounts: ShardedDict[Account, dict[tuple[Scope, str], _Row]] = ShardedDict(bound)
        self._rows = 0
        self._overflows = 0
        self.since: float | None = None
        self.dirty: list[tuple[HistoryKey, _Row]] = []
        """Rows that changed since the owner emptied it."""

    def note(self, read: Read, seq: int) -> None:
        """One request of batch `seq`; nothing happens if the row contains it already."""
        rows = self._accounts.get(read.account)
        key = (read.scope, read.verb)
        row = rows.get(key) if rows is not None else None
        if row is None:
            if self._rows >= self._bound or (rows is not None and len(rows) >= self._account_bound):
                self._overflows += 1
                return
            if rows is None:
                rows = {}
                self._accounts[read.account] = rows
            row = rows[key] = _Row(read.at, read.at, 1, -1, True)
            self._rows += 1
            self.dirty.append(((read.account, *key), row))
            return
        if row.as_of >= seq:
            return
        at = read.at
        if at > row.last_seen:
            row.last_seen = at
        elif at < row.first_seen:
            row.first_seen = at
        row.count += 1
        if not row.dirty:
            row.dirty = True
            self.dirty.append(((read.account, *key), row))

    def first_read(self, read: Read, now: float) -> bool:
        """Whether this account never read this named Secret before this read, as far as can be told (then False)."""
        if read.scope.name is None or read.borrowed or self.since is None or now - self.since < REACH_S:
            return False
        rows = self._accounts.get(read.account)
        if self._rows >= self._bound or (rows is not None and len(rows) >= self._account_bound):
            return False
        for verb in _VERBS:
            row = rows.get((read.scope, verb)) if rows is not None else None
            if row is not None and row.first_seen < read.at:
                return False
        return True

    def restore(self, row: HistoryRow) -> None:
        """Put a row back as the journal has it."""
        rows = self._accounts.get(row.account)
        if rows is None:
            rows = {}
            self._accounts[row.account] = rows
        if (row.scope, row.verb) not in rows:
            self._rows += 1
        rows[row.scope, row.verb] = _Row(row.first_seen, row.last_seen, row.count, row.as_of, False)

    def row(self, key: HistoryKey, as_of: int) -> HistoryRow | None:
        """The row for the journal, which contains all batches up to `as_of`; from here on it counts as written."""
        account, scope, verb = key
        rows = self._accounts.get(account)
        row = rows.get((scope, verb)) if rows is not None else None
        if row is None:
            return None
        row.as_of, row.dirty = as_of, False
        return HistoryRow(account, scope, verb, row.first_seen, row.last_seen, row.count, as_of)

    def of(self, account: Account) -> tuple[HistoryRow, ...]:
        """All rows of one account."""
        rows = self._accounts.get(account) or {}
        return tuple(
            HistoryRow(account, scope, verb, row.first_seen, row.last_seen, row.count, row.as_of)
            for (scope, verb), row in rows.items()
        )

    def prune(self, now: float) -> Iterator[HistoryKey | None]:
        """Goes over all rows once, forgetting those not seen for the days kept; yields the key of each, and None between accounts.

        Lazy, so that its owner can take it in slices; accounts that come meanwhile are seen the next time.
        """
        oldest = now - self._kept_s
        for part in self._accounts.parts():
            for account in tuple(part):
                rows = part.get(account, {})
                for key in [key for key, row in rows.items() if row.last_seen < oldest]:
                    del rows[key]
                    self._rows -= 1
                    yield (account, *key)
                if not rows:
                    part.pop(account, None)
                yield None

    def statistics(self) -> HistoryStatistics:
        """Counts."""
        return HistoryStatistics(self._rows, self._bound, self._overflows, self.since)


def take(steps: Iterator[HistoryKey | None], limit: int) -> tuple[list[HistoryKey], bool]:
    """At most `limit` steps of `History.prune`: the keys forgotten in them, and whether it is through."""
    found = list(islice(steps, limit))
    return [key for key in found if key is not None], len(found) < limit
