"""The tree of actors as rows: order, levels, words, bounds, the first glance's load."""

from __future__ import annotations

from typing import Any

import web_stand_ins as w

from actors.runtime import ActorSnapshot, Failure, MailboxSnapshot, RestartsSnapshot
from web.tree_rows import find, load_of, row_of, rows_of


def plain(snapshot: ActorSnapshot) -> list[dict[str, Any]]:
    return [snapshot.to_builtins()]


def box(depth: int, capacity: int = 10, overflows: int = 0) -> MailboxSnapshot:
    return MailboxSnapshot(depth=depth, capacity=capacity, high_water=depth, overflows=overflows, oldest_s=0.0)


def test_order_and_levels():
    """Rows come in the tree's own order, each with its depth."""
    rows, known = rows_of(plain(w.tree(("app.a",))))
    assert [(row["name"], row["level"]) for row in rows[:4]] == [
        ("protector", 0),
        ("pipeline", 1),
        ("cluster", 2),
        ("parser", 2),
    ]
    assert known == len(rows) == 11


def test_actors_by_key_are_bounded_by_fullness():
    """Of many actors by key the fullest are shown; how many there are is known."""
    accounts = tuple(w.node(f"/p/accounts/n.{n}", mailbox=box(n)) for n in range(9))
    rows, known = rows_of(plain(w.node("/p", (w.node("/p/accounts", accounts),))), 2)
    assert [row["name"] for row in rows] == ["p", "accounts", "n.8", "n.7"]
    assert known == 11


def test_words_of_a_row():
    """Restarts against their allowance, times in milliseconds, a failure by its types; nothing where nothing is."""
    failure = Failure(w.NOW, "ValueError", "Refresh", ())
    row = row_of(
        w.node("/p/x", restarts=RestartsSnapshot(2, 30.0, 5), last_failure=failure, state="backoff").to_builtins()
    )
    assert row["restarts_text"] == "2 of 5 in 30 s"
    assert row["wait_text"] == "0.05 / 1.40 ms"
    assert row["failure_text"] == "ValueError while handling Refresh"
    assert (row["state_kind"], row["state_mark"]) == ("backoff", "alarm")
    root = row_of(w.node("/p", restarts=RestartsSnapshot(0, 0.0, 0)).to_builtins())
    assert (root["restarts_text"], root["failure_text"]) == ("–", "")


def test_load():
    """The fullest mailbox is so by its share of its bound; overflows and restarts are summed."""
    leaves = (
        w.node("/p/a", mailbox=box(50, 1000, 2)),
        w.node("/p/b", mailbox=box(6, 10, 1), restarts=RestartsSnapshot(3, 30.0, 5)),
    )
    load = load_of(plain(w.node("/p", leaves)))
    assert load.fullest is not None
    assert (load.fullest.path, load.overflows, load.restarts) == ("/p/b", 3, 3)


def test_load_of_idle_actors():
    """Of empty mailboxes the one that was fullest before is told."""
    leaves = (w.node("/p/a", mailbox=box(0)), w.node("/p/b"))
    load = load_of(plain(w.node("/p", leaves, mailbox=box(0))))
    assert load.fullest is not None
    assert load.fullest.path == "/p/b"


def test_find():
    """An actor is found by its whole path only."""
    tree = plain(w.tree(("app.a",)))
    found = find(tree, "/protector/pipeline/accounts/app.a")
    assert found is not None
    assert found["path"].endswith("app.a")
    assert find(tree, "/app.a") is None
