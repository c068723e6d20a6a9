"""`/api/history`: who ever read what, first, last and how often. Counterparts: web/api.py, actors/store/history.py.

Pages follow the store's parts; a cursor is the place in them. While it is followed, an account whose rows come or go may be missed
or come without some of them, as in any list that lives.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Final

import msgspec

from actors.engine.queries import NameView
from actors.evidence import Account
from actors.evidence.times import rfc3339
from actors.store import HistoryPageQuery, HistoryRow
from web.answers import HistoryReadsAnswer, HistoryRowView
from web.params import NO_SUCH_CURSOR, BadParameter, history_parameters
from web.sources import Sources

__all__ = ["history_answer"]

_PLACE: Final = msgspec.json.Decoder(tuple[int, Account | None])


async def history_answer(sources: Sources, pairs: Iterable[tuple[str, str]]) -> HistoryReadsAnswer:
    """The page that is asked for. Raises BadParameter, Unanswered."""
    account, cursor, limit = history_parameters(pairs)
    if account is not None:
        own = await sources.history(Account(*account))
        return _answer(own.since, own.rows, None)
    part, after = (0, None) if cursor is None else _place(cursor)
    rows: list[HistoryRow] = []
    while True:
        page = await sources.history_page(HistoryPageQuery(part, after, limit - len(rows)))
        rows += page.rows
        if page.part is None:
            return _answer(page.since, rows, None)
        part, after = page.part, page.after
        if len(rows) >= limit:
            return _answer(page.since, rows, base64.urlsafe_b64encode(msgspec.json.encode((part, after))).decode())


def _place(cursor: str) -> tuple[int, Account | None]:
    try:
        return _PLACE.decode(base64.urlsafe_b64decode(cursor.encode()))
    except (binascii.Error, ValueError):
        raise BadParameter(NO_SUCH_CURSOR) from None


def _answer(since: float | None, rows: Iterable[HistoryRow], cursor: str | None) -> HistoryReadsAnswer:
    views = [
        HistoryRowView(
            NameView(row.account.namespace, row.account.name),
            NameView(row.scope.namespace, row.scope.name),
            row.verb,
            rfc3339(row.first_seen),
            rfc3339(row.last_seen),
            row.count,
        )
        for row in sorted(
            rows, key=lambda row: (row.account, row.scope.namespace or "", row.scope.name or "", row.verb)
        )
    ]
    return HistoryReadsAnswer(None if since is None else rfc3339(since), views, cursor)
