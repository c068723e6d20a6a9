"""Which places a page shows: folds, search, order, paging, and what is said of what it leaves out; and what a page costs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trio_run import run
from watch_kit import Barista, Brew, cafe, settled

from actors.runtime import Child, DynamicSpec
from actors.runtime.watch.reading import Glance
from actors.runtime.watch.rows import FOLD_SHOWN, PAGE_ROWS, SORTS, BadQuery, Looked, Query, look, query_of


@dataclass
class Place:
    """A place of a tree that was never alive."""

    path: str
    keyed: bool = False
    state: str = "running"
    depth: int = 0
    restarts: int = 0
    below: list[Place] = field(default_factory=list)

    def child(self, name: str, **values: Any) -> Place:
        self.below.append(Place(f"{self.path}/{name}", **values))
        return self.below[-1]


class Tree:
    """Reads it."""

    def __init__(self, root: Place) -> None:
        self._root = root

    def root(self) -> Place:
        return self._root

    def children(self, place: Place) -> list[Place]:
        return place.below

    def glance(self, place: Place) -> Glance:
        return Glance(place.path, "Thing", place.state, place.depth, 10, place.restarts, 0, 0, place.depth, 0.0)

    def is_keyed(self, place: Place) -> bool:
        return place.keyed

    def slowest_ms(self, place: Place) -> tuple[float, float]:
        return (float(place.depth), 0.0)

    def sample(self, place: Place) -> Any:
        from actors.runtime.watch.reading import Seen

        return Seen(place.depth, place.depth, 0)


def shop(guests: int = 0) -> Place:
    """A root with a bar of two, guests by key, and a door after them."""
    root = Place("/shop")
    bar = root.child("bar")
    bar.child("barista")
    bar.child("till", depth=9)
    keyed = root.child("guests", keyed=True)
    for n in range(guests):
        keyed.child(f"g{n:05}")
    root.child("door")
    return root


def looked(root: Place, query: Query | None = None, start: Place | None = None) -> Looked:
    async def main() -> Looked:
        return await look(Tree(root), query or Query(), start)  # type: ignore[arg-type]  # a reader by its shape

    return run(main)


def names(found: Looked) -> list[tuple[str, int]]:
    return [(row.glance.name, row.level) for row in found.rows]


def test_order_and_levels_of_the_tree():
    """Rows come in the tree's own order, each with its depth."""
    assert names(looked(shop(1))) == [
        ("shop", 0),
        ("bar", 1),
        ("barista", 2),
        ("till", 2),
        ("guests", 1),
        ("g00000", 2),
        ("door", 1),
    ]


def test_children_by_key_are_folded():
    """Of many the few that need a look most are shown, by state, restarts, fullness; all are counted, and what is left out is said."""
    root = shop(300)
    guests = root.below[1].below
    guests[200].state, guests[100].state, guests[50].restarts, guests[10].depth = "failed", "backoff", 2, 5
    found = looked(root)
    fold = next(row.fold for row in found.rows if row.fold)
    assert [name for name, level in names(found) if name.startswith("g0")][:4] == [
        "g00200",
        "g00100",
        "g00050",
        "g00010",
    ]
    assert (fold.total, fold.shown, fold.left_out) == (300, FOLD_SHOWN, 300 - FOLD_SHOWN)
    assert fold.states == {"running": 298, "failed": 1, "backoff": 1}
    assert (found.known, found.folded) == (306, 300 - FOLD_SHOWN)


def test_page_of_a_keyed_supervisor_lists_all():
    """On its own page nothing is folded: pages of a bounded size, those that need a look first."""
    root = shop(250)
    start = root.below[1]
    start.below[249].state = "failed"
    first, last = looked(root, start=start), looked(root, Query(page=3), start)
    assert (names(first)[0][0], len(first.rows), first.pages, first.folded) == ("g00249", PAGE_ROWS, 3, 0)
    assert (len(last.rows), last.first) == (50, 201)


def test_page_of_a_supervisor_has_its_subtree():
    """Below a supervisor stands what is below it, from level zero."""
    root = shop()
    assert names(looked(root, start=root.below[0])) == [("barista", 0), ("till", 0)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(q="BAR"), ["bar", "barista", "till"]),
        (Query(q="thing", sort="name"), ["shop", "bar", "barista", "till", "door", "guests"]),
        (Query(show="waiting"), ["till"]),
        (Query(show="failed"), []),
        (Query(sort="mailbox"), ["till", "shop", "bar", "barista", "door", "guests"]),
    ],
)
def test_search_filter_and_order(query, expected):
    """A part of a path or of a class name, a filter, an order: the matches as a list."""
    assert [name for name, _ in names(looked(shop(), query))] == expected


@pytest.mark.parametrize("sort", SORTS)
def test_every_order_works(sort):
    """Every word of `sort` orders."""
    assert len(looked(shop(), Query(sort=sort)).rows) == 6


def test_deep_and_wide_trees_are_paged():
    """A wide tree of places that are not made by key has pages as well."""
    root = Place("/shop")
    for n in range(450):
        root.child(f"c{n}")
    found = looked(root, Query(page=5))
    assert (len(found.rows), found.first, found.pages, found.matched) == (51, 401, 5, 451)


@given(pairs=st.lists(st.tuples(st.sampled_from(["q", "show", "sort", "page", "x"]), st.text(max_size=12))))
@settings(derandomize=True, deadline=None)
def test_any_parameters_are_a_query_or_refused(pairs):
    """Whatever a URL says is a query or a BadQuery, and a query's own parameters give it back."""
    try:
        query = query_of(pairs)
    except BadQuery:
        return
    assert query_of([(name, str(value)) for name, value in query.parameters(page=query.page).items()]) == query


def test_totals_of_the_first_glance():
    """The fullest mailbox by its share, messages waiting, restarts that count."""
    root = shop()
    root.below[2].restarts = 3
    found = looked(root)
    assert found.fullest is not None
    assert (found.fullest.name, found.waiting, found.restarts, found.states) == ("till", 9, 3, {"running": 6})


@pytest.mark.slow
def test_page_over_ten_thousand_actors_is_small_and_cheap(say):
    """Ten thousand actors by key: bounded rows, bounded bytes, and far less of the loop's time than reading them all."""

    async def main() -> tuple[int, float, float, int, str]:
        async with cafe(specs=(DynamicSpec("guests", lambda key: Child(key, Barista)),)) as there:
            guests = there.system.dynamic("/cafe/guests")
            for n in range(10_000):
                guests.ref(f"g{n:05}").tell(Brew())
            await settled(lambda: there.system.snapshot().children[0].children[-1].handled == 1)
            await there.get("/actors")
            best = min([await spent(there, "/actors") for _ in range(3)])
            listed = min([await spent(there, "/actors?q=g09&sort=took") for _ in range(2)])
            page = (await there.get("/actors"))[1]
            return page.count("data-row="), best, listed, len(page), page

    async def spent(there: Any, path: str) -> float:
        before = time.thread_time()
        assert (await there.get(path))[0] == 200
        return time.thread_time() - before

    rows, best_s, listed_s, size, page = run(main)
    say(
        f"the tree {best_s * 1000:.0f} ms, a search by slowness {listed_s * 1000:.0f} ms of the loop's time, {size:,} bytes"
    )
    assert rows == 2 + FOLD_SHOWN
    assert "9\u2009992 not shown" in page
    assert size < 60_000
    assert best_s < 0.25, "a snapshot of all of them takes several times as long"
