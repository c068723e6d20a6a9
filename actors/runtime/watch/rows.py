"""Which places a page shows: the tree with its children by key folded, or, for a search or an order, the matches as a list.

A page never has more than PAGE_ROWS rows, whatever the size of the system; what it leaves out it counts. Pure but for letting
other tasks run between slices. Counterparts: reading.py gives the glances, pages.py fills the rows that are shown.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, Final

from msgspec import Struct

from actors.runtime.watch.reading import Glance, HasSnapshot, Reader, glances, reader_of

__all__ = [
    "FOLD_SHOWN",
    "PAGE_ROWS",
    "SHOWS",
    "SORTS",
    "BadQuery",
    "Fold",
    "Looked",
    "Query",
    "Row",
    "Totals",
    "look",
    "query_of",
    "totals_of",
]

PAGE_ROWS: Final = 100
"""Rows on one page. Overflow: the next page, and how many there are is said."""
FOLD_SHOWN: Final = 8
"""Children by key that are shown under their supervisor in the tree: those that need a look most. All are on its own page."""
TREE_MAX: Final = 20_000
"""Rows of the tree that are laid out for paging, folds apart. Overflow: counted as left out; search and order still see all."""
TEXT_MAX: Final = 200
"""Longest search text."""

SHOWS: Final[Mapping[str, Callable[[Glance], bool]]] = {
    "running": lambda g: g.state == "running",
    "starting": lambda g: g.state == "starting",
    "backoff": lambda g: g.state == "backoff",
    "failed": lambda g: g.state == "failed",
    "stopped": lambda g: g.state == "stopped",
    "waiting": lambda g: g.depth > 0,
    "failing": lambda g: g.failed > 0,
    "overflowed": lambda g: g.overflows > 0,
}
"""The words of the filter `show`: the five states, messages waiting, any failure so far, any overflow so far."""

SORTS: Final = ("need", "mailbox", "handled", "failed", "restarts", "waited", "took", "name")
"""The words of `sort`; without one a page without a search has the order of the tree."""

_RANK: Final = {"failed": 3, "backoff": 2, "starting": 1}


class BadQuery(Exception):  # noqa: N818 - their mistake, answered with 400
    """A parameter that is unknown, given twice, or has no such value; the text names it."""


class Query(Struct, frozen=True):
    """What the URL says: a part of a path or class name, a filter, an order, which page."""

    q: str = ""
    show: str = ""
    sort: str = ""
    page: int = 1

    @property
    def is_list(self) -> bool:
        """Whether matches are listed, instead of the tree."""
        return bool(self.q or self.show or self.sort)

    def parameters(self, **changes: Any) -> dict[str, Any]:
        """As parameters of a link, with these changes; a change of anything but the page begins at the first one."""
        kept: dict[str, Any] = (
            {"q": self.q, "show": self.show, "sort": self.sort, "page": self.page} | {"page": 1} | changes
        )
        return {name: value for name, value in kept.items() if value not in ("", 1)}


def query_of(pairs: Iterable[tuple[str, str]]) -> Query:
    """The query of these parameters; an empty one counts as not given. BadQuery names what is wrong."""
    found: dict[str, str] = {}
    for name, text in pairs:
        if name not in ("q", "show", "sort", "page"):
            raise BadQuery(f"{name[:40]}: no such parameter; there are q, show, sort and page")
        if name in found:
            raise BadQuery(f"{name}: given twice")
        if text:
            found[name] = text
    page = found.get("page", "1")
    if not (page.isascii() and page.isdigit() and 1 <= len(page) <= 6 and int(page) >= 1):
        raise BadQuery("page: a whole number from 1")
    if found.get("show", "running") not in SHOWS:
        raise BadQuery(f"show: one of {', '.join(SHOWS)}")
    if found.get("sort", "need") not in SORTS:
        raise BadQuery(f"sort: one of {', '.join(SORTS)}")
    if len(found.get("q", "")) > TEXT_MAX:
        raise BadQuery(f"q: at most {TEXT_MAX} characters")
    return Query(found.get("q", "").strip(), found.get("show", ""), found.get("sort", ""), int(page))


class Fold(Struct, frozen=True):
    """Children by key that are told of by number: how many there are, in which states, how many of them are shown below."""

    total: int
    states: dict[str, int]
    shown: int

    @property
    def left_out(self) -> int:
        """How many are not shown."""
        return self.total - self.shown


class Row(Struct, frozen=True):
    """One place that is shown, how deep in the tree, and the fold of its children by key."""

    place: Any
    glance: Glance
    level: int
    fold: Fold | None = None


class Looked(Struct, frozen=True):
    """What a page shows, and what it says about the rest."""

    rows: list[Row]
    known: int
    """Places below the start, it included."""
    states: dict[str, int]
    """Of all known."""
    matched: int
    """Rows over all pages."""
    folded: int
    """Known places that are in no row of any page, since they are children by key."""
    first: int
    """The number of the first row that is shown, from 1."""
    page: int
    pages: int
    waiting: int
    """Messages in all mailboxes."""
    restarts: int
    overflows: int
    fullest: Glance | None


def need(glance: Glance) -> tuple[float, ...]:
    """How much a place needs a look: state first, then restarts, the share of its mailbox, overflows, failures."""
    return (_RANK.get(glance.state, 0), glance.restarts, *fullness(glance), glance.overflows, glance.failed)


def fullness(glance: Glance) -> tuple[float, float]:
    """Depth and high water as shares of the bound."""
    bound = glance.capacity or 1
    return glance.depth / bound, glance.high_water / bound


class Totals:
    """Counts over everything that was looked at: places, by state, messages waiting, restarts that still count, overflows.

    `fullest`: the mailbox that is nearest to its bound, of equally full ones the one that was fuller before.
    """

    def __init__(self) -> None:
        self.states: Counter[str] = Counter()
        self.known = self.waiting = self.restarts = self.overflows = 0
        self.fullest: Glance | None = None
        self._nearest = (-1.0, -1.0)

    def add(self, glance: Glance) -> None:
        """Count one place."""
        self.known += 1
        self.states[glance.state] += 1
        self.waiting += glance.depth
        self.restarts += glance.restarts
        self.overflows += glance.overflows
        if glance.capacity and (near := fullness(glance)) > self._nearest:
            self._nearest, self.fullest = near, glance


async def totals_of(system: HasSnapshot) -> Totals:
    """The counts alone, for a first glance elsewhere."""
    totals = Totals()
    async for _, glance in glances(reader_of(system)):
        totals.add(glance)
    return totals


class _Children:
    """The children by key of one supervisor while they are walked: counted, and the few that need a look kept."""

    def __init__(self, row_at: int, level: int) -> None:
        self.row_at = row_at
        self.level = level
        self.states: Counter[str] = Counter()
        self._heap: list[tuple[tuple[float, ...], int, Any, Glance]] = []
        self._seq = 0

    def add(self, place: Any, glance: Glance) -> None:
        self.states[glance.state] += 1
        self._seq -= 1  # of equals the first one stays
        item = (need(glance), self._seq, place, glance)
        if len(self._heap) < FOLD_SHOWN:
            heapq.heappush(self._heap, item)
        elif item > self._heap[0]:
            heapq.heapreplace(self._heap, item)

    def rows(self) -> list[Row]:
        return [Row(place, glance, self.level) for _, _, place, glance in sorted(self._heap, reverse=True)]

    def fold(self) -> Fold:
        return Fold(sum(self.states.values()), dict(self.states), len(self._heap))


async def look(reader: Reader, query: Query, start: Any | None = None) -> Looked:
    """The rows of a page over everything from `start` on (default: the whole tree; `start` itself is no row then).

    A start whose children are made by key is listed, those that need a look first: on its own page nothing is folded.
    """
    totals = Totals()
    if query.is_list or (start is not None and reader.is_keyed(start)):
        rows, folded = await _listed(reader, query, start, totals)
    else:
        rows, folded = await _tree(reader, start, totals)
    pages = max(1, -(-len(rows) // PAGE_ROWS))
    page = min(query.page, pages)
    begin = (page - 1) * PAGE_ROWS
    return Looked(
        rows=rows[begin : begin + PAGE_ROWS],
        known=totals.known,
        states=dict(totals.states),
        matched=len(rows),
        folded=folded,
        first=begin + 1 if rows else 0,
        page=page,
        pages=pages,
        waiting=totals.waiting,
        restarts=totals.restarts,
        overflows=totals.overflows,
        fullest=totals.fullest,
    )


async def _listed(reader: Reader, query: Query, start: Any | None, totals: Totals) -> tuple[list[Row], int]:
    wanted = SHOWS.get(query.show)
    text = query.q.casefold()
    key = _key(reader, query.sort or "need") if query.sort or start is not None else None
    found: list[tuple[Any, Row]] = []
    async for place, glance in glances(reader, start):
        totals.add(glance)
        if place is start or (wanted is not None and not wanted(glance)):
            continue
        if text and text not in glance.path.casefold() and text not in glance.actor.casefold():
            continue
        row = Row(place, glance, 0)
        found.append((key(row) if key is not None else None, row))  # here, so that others run in between
    if key is not None:
        found.sort(key=itemgetter(0))
    return [row for _, row in found], 0


def _key(reader: Reader, sort: str) -> Callable[[Row], Any]:
    """Most first, and by path among equals; names in their own order."""
    if sort == "name":
        return lambda row: row.glance.path
    by: dict[str, Callable[[Row], tuple[float, ...]]] = {
        "need": lambda row: need(row.glance),
        "mailbox": lambda row: fullness(row.glance),
        "handled": lambda row: (reader.sample(row.place).handled,),
        "failed": lambda row: (row.glance.failed,),
        "restarts": lambda row: (row.glance.restarts, row.glance.failed),
        "waited": lambda row: (reader.slowest_ms(row.place)[0],),
        "took": lambda row: (reader.slowest_ms(row.place)[1],),
    }
    most = by[sort]
    return lambda row: (tuple(-value for value in most(row)), row.glance.path)


async def _tree(reader: Reader, start: Any | None, totals: Totals) -> tuple[list[Row], int]:
    """Depth first; the children by key of a supervisor are told of in its row, and the first few shown below it."""
    rows: list[Row] = []
    fold: _Children | None = None
    folded = 0
    base = reader.glance(reader.root() if start is None else start).path.count("/") + (start is not None)

    def close() -> None:
        nonlocal fold, folded
        if fold is not None:
            at, told = fold.row_at, fold.fold()
            if told.total:
                rows[at] = Row(rows[at].place, rows[at].glance, rows[at].level, told)
                rows.extend(fold.rows())
            folded += told.left_out
            fold = None

    async for place, glance in glances(reader, start):
        totals.add(glance)
        level = glance.path.count("/") - base
        if fold is not None and level > fold.level - 1:
            if level == fold.level:
                fold.add(place, glance)
            continue
        close()
        if place is start:
            continue
        if len(rows) >= TREE_MAX:
            folded += 1
            continue
        rows.append(Row(place, glance, level))
        if reader.is_keyed(place):
            fold = _Children(len(rows) - 1, level + 1)
    close()
    return rows, folded
