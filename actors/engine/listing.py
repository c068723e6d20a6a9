"""Pages of chains and of evidence: filters, order, cursors. Pure; counterparts: queries.py (the questions), views.py.

The order of chains is one tuple, the same for lit and dark ones; a cursor is the place of the last one that was given. While
nothing changes, following the cursor gives every chain once; when something does, what moved may be seen twice or missed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import Final, TypeVar

import msgspec

from actors.engine.acts import acted_at, acted_until
from actors.engine.core import Engine
from actors.engine.cuts import cut_of
from actors.engine.exposure import RANKS
from actors.engine.flips import is_proven, signals_of
from actors.engine.nodes import Chain, Item
from actors.engine.queries import (
    LIMIT_MAX,
    BadCursor,
    ChainPage,
    ChainQuery,
    ChainsQuery,
    ChainView,
    EvidencePage,
    EvidenceQuery,
    EvidenceView,
)
from actors.engine.secrets import SecretName
from actors.engine.timeline import Position, position_of
from actors.engine.views import (
    SECRETS_SHOWN_MAX,
    act_view,
    chain_view,
    chain_view_of_secret,
    ended_act_view,
    ended_view,
    item_view,
    light_of_secret,
)
from actors.evidence import Account, Act, Evidence, Signal

ChainPlace = tuple[int, int, int, float, str]
"""Corroboration (0 proven, 1 possible, 2 expected only, 3 none), exposure, signals (more first), event time (newest first), id."""
EXPECTED: Final = 2
DARK: Final = 3
_PLACES: Final[msgspec.json.Decoder[ChainPlace]] = msgspec.json.Decoder(ChainPlace)
_POSITIONS: Final[msgspec.json.Decoder[Position]] = msgspec.json.Decoder(Position)
SECRETS_PAGE_MAX: Final = 10_000
"""Secrets in all chains of a page together; `secrets_total` tells how many there are."""
SECRETS_SHOWN_MIN: Final = 20
"""Secrets of a wide chain that are listed in any case."""
CURSOR_MAX: Final = 4096
"""Characters of a cursor; a longer one is none of ours."""

P = TypeVar("P")


class Listing:
    """Answers from one engine; remembers the order of the lit chains while the revision stays."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lit_revision = -1
        self._lit: list[tuple[ChainPlace, Chain]] = []

    # --- chains ---

    def chain(self, query: ChainQuery, now: float) -> ChainView | None:
        """One chain by its id."""
        self._engine.tick(now)
        chain = self._engine.graph.chains.by_id.get(query.id)
        if chain is None:
            return None
        view = chain_view(chain, self._engine.graph.chains, now)
        return msgspec.structs.replace(view, cut=cut_of(self._engine.graph, chain))

    def chains(self, query: ChainsQuery, now: float) -> ChainPage | BadCursor:
        """A page of chains."""
        self._engine.tick(now)
        after = None if query.cursor is None else _decode(query.cursor, _PLACES)
        if query.cursor is not None and after is None:
            return BadCursor()
        limit = max(1, min(query.limit, LIMIT_MAX))
        rows, total = self._rows(query, after, limit + 1, now)
        views = self._views([chain for _, chain in rows[:limit]], query.secret, now)
        cursor = _encode(rows[limit - 1][0]) if len(rows) > limit else None
        return ChainPage(self._engine.revision, views, cursor, total)

    def _views(self, chains: list[Chain], secret: SecretName | None, now: float) -> list[ChainView]:
        """The chains of a page. All together they list SECRETS_PAGE_MAX Secrets, those in front the most."""
        if secret is not None:
            return [chain_view_of_secret(chain, secret, now) for chain in chains]
        views: list[ChainView] = []
        room = SECRETS_PAGE_MAX
        for chain in chains:
            most = min(SECRETS_SHOWN_MAX, max(room, SECRETS_SHOWN_MIN))
            views.append(chain_view(chain, self._engine.graph.chains, now, most))
            room -= len(views[-1].secrets)
        return views

    def _rows(
        self, query: ChainsQuery, after: ChainPlace | None, count: int, now: float
    ) -> tuple[list[tuple[ChainPlace, Chain]], int]:
        """The next `count` places after `after`, and how many the filters let through in all."""
        candidates = self._candidates(query)
        if candidates is not None:
            secret = query.secret
            placed: list[tuple[ChainPlace, Chain]] = []
            for chain in candidates:
                if not _passes(chain, query):
                    continue
                if secret is None:
                    place = place_of(chain, now)
                else:
                    place, signals = _place_of_secret(chain, secret, now)
                    if query.signal is not None and query.signal not in signals:
                        continue
                placed.append((place, chain))
            rows = sorted(row for row in placed if query.corroborated in (None, row[0][0] != DARK))
            return list(islice(_behind(rows, after), count)), len(rows)
        lit = [] if query.corroborated is False else [row for row in self._lit_rows(now) if _passes(row[1], query)]
        found = list(islice(_behind(lit, after), count))
        if query.corroborated is True or query.signal is not None or query.open is True:
            return found, len(lit)
        dark, total = self._dark(query.exposure, after)
        found += [(place_of(chain, now), chain) for chain in islice(dark, count - len(found))]
        return found, len(lit) + total

    def _candidates(self, query: ChainsQuery) -> Iterable[Chain] | None:
        """What an index leaves to be looked at one by one; None: everything."""
        graph = self._engine.graph
        if query.secret is not None:
            return graph.chains.over(query.secret)
        if query.account is not None:
            account = graph.accounts.get(Account(*query.account))
            return [] if account is None else [c for entry in account.entries.values() for c in entry.chains.values()]
        if query.namespace is not None:
            return graph.chains.by_namespace.get(query.namespace, {})
        return None

    def _lit_rows(self, now: float) -> list[tuple[ChainPlace, Chain]]:
        if self._lit_revision != self._engine.revision:
            self._lit = sorted((place_of(chain, now), chain) for chain in self._engine.graph.chains.lit)
            self._lit_revision = self._engine.revision
        return self._lit

    def _dark(self, exposure: str | None, after: ChainPlace | None) -> tuple[Iterator[Chain], int]:
        """Dark chains behind a place, and how many there are in all."""
        dark = self._engine.graph.chains.dark
        lowest, highest = (0, ""), (len(RANKS), "")
        if exposure is not None:
            rank = RANKS.get(exposure, len(RANKS))
            lowest, highest = (rank, ""), (rank + 1, "")
        total = dark.bisect_key_left(highest) - dark.bisect_key_left(lowest)
        if after is not None and after[0] == DARK:
            lowest = max(lowest, (after[1], after[4]))
        start = dark.bisect_key_right(lowest)
        return dark.islice(start, dark.bisect_key_left(highest)), total

    # --- evidence ---

    def evidence(self, query: EvidenceQuery, now: float) -> EvidencePage | BadCursor:
        """A page of evidence, newest first: what is live, and what ended or came late in the last hour."""
        self._engine.tick(now)
        before = None if query.cursor is None else _decode(query.cursor, _POSITIONS)
        if query.cursor is not None and before is None:
            return BadCursor()
        limit = max(1, min(query.limit, LIMIT_MAX))
        rows = list(islice(self._evidence(query, before, now), limit + 1))
        cursor = _encode(rows[limit - 1][0]) if len(rows) > limit else None
        return EvidencePage(self._engine.revision, [view() for _, view in rows[:limit]], cursor)

    def _evidence(
        self, query: EvidenceQuery, before: Position | None, now: float
    ) -> Iterator[tuple[Position, Callable[[], EvidenceView]]]:
        live: Iterable[tuple[Position, Callable[[], EvidenceView]]] = ()
        if query.live is not False:
            live = (
                (position_of(item), _later(item_view, item, now))
                for item in self._live(query, before)
                if _evidence_passes(item.evidence, item.all_signals, query)
            )
        past: list[tuple[Position, Callable[[], EvidenceView]]] = []
        if query.live is not True:
            past = [
                ((ended.evidence.observation.last.at, ended.number), _later(ended_view, ended, now))
                for ended in self._engine.ended
                if _evidence_passes(ended.evidence, ended.all_signals, query)
            ]
            past += [
                (acted.position, _later(ended_act_view, acted, now))
                for acted in self._engine.ended.acts
                if _act_passes(acted.act, query)
            ]
        if query.live is not False:
            past += [
                (held.position, _later(act_view, held, now))
                for held in self._engine.acts
                if _act_passes(held.act, query)
            ]
        if past:
            past = sorted((row for row in past if before is None or row[0] < before), key=_position, reverse=True)
        return merge(live, past, key=_position, reverse=True)

    def _live(self, query: EvidenceQuery, before: Position | None) -> Iterator[Item]:
        """Live evidence, newest first, from the smallest index that the filters allow."""
        graph = self._engine.graph
        accounts = graph.accounts.values()
        if query.account is not None:
            account = graph.accounts.get(Account(*query.account))
            accounts = {} if account is None else {account.account: account}.values()  # type: ignore[assignment]
        elif query.secret is None:
            yield from self._engine.lights.timeline.newest(before)
            return
        items: list[Item] = []
        for account in accounts:
            items += account.items.values() if query.secret is None else account.over(query.secret)
        for item in sorted(items, key=position_of, reverse=True):
            if before is None or position_of(item) < before:
                yield item


def place_of(chain: Chain, now: float) -> ChainPlace:
    """Where the chain stands (design 3: corroborated, exposed, signals, newest)."""
    light, rank = chain.light, chain.node.exposure.rank
    if not chain.lit:
        return (DARK, rank, 0, 0.0, chain.id)
    newest_at = acted_at(chain) if light is None else max(light.newest_at, acted_at(chain))
    state = EXPECTED if not chain.open else 0 if is_proven(chain, now) else 1
    return (state, rank, -len(signals_of(chain)), -newest_at, chain.id)


def _place_of_secret(chain: Chain, secret: SecretName, now: float) -> tuple[ChainPlace, Collection[Signal]]:
    """Where it stands as far as this one Secret goes, and the signals of its evidence."""
    until, proven_until, items = light_of_secret(chain, secret)
    rank = chain.node.exposure.rank
    if until <= now:
        return (DARK, rank, 0, 0.0, chain.id), ()
    signals = {signal for item in items for signal in item.all_signals()}
    newest = max([acted_at(chain), *(item.observation.last.at for item in items)])
    is_open = acted_until(chain) > now or any(item.expected is None for item in items)
    state = EXPECTED if not is_open else 0 if proven_until > now else 1
    return (state, rank, -len(signals), -newest, chain.id), signals


def _passes(chain: Chain, query: ChainsQuery) -> bool:
    """Whether the filters let it through, but for what depends on the Secret asked for: corroboration, and with one the signals."""
    workload = chain.node.workload
    if query.namespace is not None and workload.namespace != query.namespace:
        return False
    if query.exposure is not None and chain.node.exposure.level != query.exposure:
        return False
    if query.account is not None and (chain.entry is None or chain.entry.account.account != Account(*query.account)):
        return False
    if query.open is not None and chain.open is not query.open:
        return False
    if query.signal is None or query.secret is not None:
        return True
    return chain.lit and query.signal in signals_of(chain)


def _evidence_passes(evidence: Evidence, signals: Callable[[], Iterable[str]], query: EvidenceQuery) -> bool:
    last = evidence.observation.last
    if query.namespace is not None and last.account.namespace != query.namespace:
        return False
    if query.account is not None and (last.account.namespace, last.account.name) != query.account:
        return False
    if query.secret is not None and not last.scope.covers(*query.secret):
        return False
    return query.signal is None or query.signal in signals()


def _act_passes(act: Act, query: EvidenceQuery) -> bool:
    if query.signal is not None or query.namespace not in (None, act.account.namespace):
        return False
    if query.account not in (None, (act.account.namespace, act.account.name)):
        return False
    return query.secret in (None, (act.account.namespace, act.secret))


def _behind(rows: list[tuple[ChainPlace, Chain]], after: ChainPlace | None) -> Iterator[tuple[ChainPlace, Chain]]:
    return iter(rows) if after is None else (row for row in rows if row[0] > after)


def _later(view: Callable[[P, float], EvidenceView], what: P, now: float) -> Callable[[], EvidenceView]:
    return lambda: view(what, now)


def _position(row: tuple[Position, Callable[[], EvidenceView]]) -> Position:
    return row[0]


def _encode(place: ChainPlace | Position) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _decode(cursor: str, decoder: msgspec.json.Decoder[P]) -> P | None:
    """The place that a cursor stands for; None if no engine gave it out."""
    if len(cursor) > CURSOR_MAX:
        return None
    try:
        return decoder.decode(base64.urlsafe_b64decode(cursor.encode()))
    except (binascii.Error, ValueError):
        return None


__all__ = ["Listing", "place_of"]
