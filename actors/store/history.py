"""What each account has ever read: per (account, scope, verb) first seen, last seen, count. Pure.

Borrowed reads are left out: they used somebody else's rights. Counterpart: ledger.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from msgspec import Struct

from actors.evidence import Account, Read, Scope
from actors.store.chunks import Chunks
from actors.store.records import HistoryKey, HistoryRow
from actors.store.sharded import ShardedDict

HISTORY_MAX: Final = 200_000
"""Rows in all. Beyond: new ones are refused, and nothing is called a first read any more."""
ACCOUNT_HISTORY_MAX: Final = 20_000
"""Rows of one account, so that one cannot fill the history of all."""
REACH_S: Final = 24 * 3600.0
"""How far history has to reach back before it can say that something is new, where nothing else is set (design 3, Signals)."""
DAY_S: Final = 24 * 3600.0


class Row(Struct, gc=False):
    """One line of history, as it is now."""

    account: Account
    scope: Scope
    verb: str
    first_seen: float
    last_seen: float
    count: int
    as_of: int
    """The last batch that the journal's row of it contains."""
    serial: int
    dirty: int = 0
    """Not 0: changed since its row was last made; the number of its chunk in `History.dirty`."""
    gone: bool = False
    """Forgotten: there may be another row of the same by now."""


class _Rows:
    """The rows of one account: verb -> scope -> row."""

    __slots__ = ("count", "verbs")

    def __init__(self) -> None:
        self.count = 0
        self.verbs: dict[str, dict[Scope, Row]] = {"get": {}, "list": {}, "watch": {}}


class HistoryStatistics(Struct, frozen=True):
    """Counts."""

    rows: int
    bound: int
    overflows: int
    """Reads that found no room for a row of theirs."""
    since: float | None


class History:
    """Rows by account; `since`: from when on everything is known (epoch seconds), None while nothing is."""

    def __init__(
        self,
        days: float,
        bound: int = HISTORY_MAX,
        account_bound: int = ACCOUNT_HISTORY_MAX,
        reach_s: float = REACH_S,
    ) -> None:
        self._kept_s = days * DAY_S
        self._reach_s = reach_s
        self._bound = bound
        self._account_bound = account_bound
        self._accounts: ShardedDict[Account, _Rows] = ShardedDict(bound)
        self._rows = 0
        self._serial = 0
        self._overflows = 0
        self.since: float | None = None
        self.dirty: Chunks[Row] = Chunks()
        """Rows that changed since the owner took them."""

    def note(self, read: Read, seq: int) -> Row | None:
        """One request of batch `seq`; nothing happens if the row contains it already. The row, if there is room for one."""
        rows = self._accounts.get(read.account)
        if rows is None or (row := rows.verbs[read.verb].get(read.scope)) is None:
            return self._add(read, rows)
        self.note_in(row, read.at, seq)
        return row

    def note_in(self, row: Row, at: float, seq: int) -> None:
        """As `note`, for a request made at `at` whose row is known and not gone."""
        if row.as_of >= seq:
            return
        if at > row.last_seen:
            row.last_seen = at
        elif at < row.first_seen:
            row.first_seen = at
        row.count += 1
        if not row.dirty:
            row.dirty = self.dirty.add(row.serial, row)

    def _add(self, read: Read, rows: _Rows | None) -> Row | None:
        if self._is_full(rows):
            self._overflows += 1
            return None
        row = Row(read.account, read.scope, read.verb, read.at, read.at, 1, -1, 0)
        self._put(row, rows)
        row.dirty = self.dirty.add(row.serial, row)
        return row

    def _put(self, row: Row, rows: _Rows | None) -> None:
        if rows is None:
            rows = self._accounts[row.account] = _Rows()
        self._serial += 1
        row.serial = self._serial
        of_verb = rows.verbs[row.verb]
        if row.scope not in of_verb:
            rows.count += 1
            self._rows += 1
        of_verb[row.scope] = row

    def _is_full(self, rows: _Rows | None) -> bool:
        return self._rows >= self._bound or (rows is not None and rows.count >= self._account_bound)

    def first_read(self, read: Read, now: float) -> bool:
        """Whether this account never read this named Secret before this read, as far as can be told (then False)."""
        if read.scope.name is None or read.borrowed or self.since is None or now - self.since < self._reach_s:
            return False
        rows = self._accounts.get(read.account)
        if self._is_full(rows):
            return False
        if rows is not None:
            for of_verb in rows.verbs.values():
                row = of_verb.get(read.scope)
                if row is not None and row.first_seen < read.at:
                    return False
        return True

    def restore(self, row: HistoryRow) -> None:
        """Put a row back as the journal has it."""
        again = Row(row.account, row.scope, row.verb, row.first_seen, row.last_seen, row.count, row.as_of, 0)
        self._put(again, self._accounts.get(row.account))

    def row(self, row: Row, as_of: int) -> HistoryRow:
        """The row for the journal, which contains all batches up to `as_of`; from here on it counts as written."""
        row.as_of, row.dirty = as_of, 0
        return HistoryRow(row.account, row.scope, row.verb, row.first_seen, row.last_seen, row.count, as_of)

    def has(self, key: HistoryKey) -> bool:
        """Whether there is such a row."""
        rows = self._accounts.get(key[0])
        return rows is not None and key[1] in rows.verbs[key[2]]

    def of(self, account: Account) -> tuple[HistoryRow, ...]:
        """All rows of one account."""
        rows = self._accounts.get(account)
        if rows is None:
            return ()
        return tuple(
            HistoryRow(account, row.scope, row.verb, row.first_seen, row.last_seen, row.count, row.as_of)
            for of_verb in rows.verbs.values()
            for row in of_verb.values()
        )

    def page(
        self, part: int, after: Account | None, rows: int
    ) -> tuple[list[HistoryRow], tuple[int, Account | None] | None]:
        """Rows of accounts of one part, in the order of accounts behind `after`, until there are `rows` or the part is through.

        An account's rows stay together, so there may be more. And where to go on: (part, after); None at the end of all.
        """
        parts = self._accounts.parts()
        if not 0 <= part < len(parts):
            return [], None
        found: list[HistoryRow] = []
        for account in sorted(each for each in parts[part] if after is None or each > after):
            found += self.of(account)
            if len(found) >= rows:
                return found, (part, account)
        return found, (part + 1, None) if part + 1 < len(parts) else None

    def prune(self, now: float) -> Iterator[HistoryKey | None]:
        """Goes over all rows once, forgetting those not seen for the days kept; yields the key of each, and None between accounts.

        Lazy, so that its owner can take it in slices; accounts that come meanwhile are seen the next time.
        """
        oldest = now - self._kept_s
        for part in self._accounts.parts():
            for account in tuple(part):
                rows = part.get(account)
                if rows is None:
                    continue
                for of_verb in rows.verbs.values():
                    for row in [row for row in of_verb.values() if row.last_seen < oldest]:
                        del of_verb[row.scope]
                        row.gone = True
                        rows.count -= 1
                        self._rows -= 1
                        self.dirty.discard(row.dirty, row.serial)
                        yield (account, row.scope, row.verb)
                if not rows.count:
                    part.pop(account, None)
                yield None

    def dissolve(self) -> Iterator[None]:
        """Let go of everything, an account's rows of one verb in each step."""
        for part in self._accounts.parts():
            while part:
                verbs = part.popitem()[1].verbs
                while verbs:
                    verbs.popitem()
                    yield

    def statistics(self) -> HistoryStatistics:
        """Counts."""
        return HistoryStatistics(self._rows, self._bound, self._overflows, self.since)


def take(steps: Iterator[HistoryKey | None], limit: int) -> tuple[list[HistoryKey], bool]:
    """At most `limit` steps of `History.prune`: the keys forgotten in them, and whether it is through."""
    found = list(islice(steps, limit))
    return [key for key in found if key is not None], len(found) < limit
