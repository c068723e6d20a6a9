"""Parameters of the pages that list crashes and dead letters, and of those that ask: strict, and paged. Pure.

Counterparts: pages.py; rows.py has those of the tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from actors.runtime.watch.rows import PAGE_ROWS, BadQuery
from actors.runtime.watch.words import link

__all__ = ["Pairs", "given_of", "page_of", "whole"]

Pairs = Sequence[tuple[str, str]]
"""Names and texts, in the order of the URL."""


def given_of(pairs: Pairs, *names: str) -> dict[str, str]:
    """The parameters that are given and not empty. BadQuery for one that is unknown or given twice."""
    found: dict[str, str] = {}
    for name, text in pairs:
        if name not in names:
            raise BadQuery(f"{name[:40]}: no such parameter; there are {', '.join(names)}")
        if name in found:
            raise BadQuery(f"{name}: given twice")
        if text:
            found[name] = text
    return found


def whole(given: dict[str, str], name: str, most: int = 10**15) -> int:
    """A parameter as a whole number. BadQuery."""
    text = given.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= most):
        raise BadQuery(f"{name}: a whole number")
    return int(text)


def page_of(found: list[Any], given: dict[str, str], at: str) -> tuple[int, list[Any], dict[str, Any]]:
    """(page, what is on it, what the template needs to page); `found` is newest last, pages are newest first."""
    page = max(1, whole(given, "page", 10**6)) if "page" in given else 1
    pages = max(1, -(-len(found) // PAGE_ROWS))
    page = min(page, pages)
    newest = found[::-1]
    shown = newest[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    kept = {name: text for name, text in given.items() if name != "page"}
    return (
        page,
        shown,
        {
            "found": len(found),
            "first": (page - 1) * PAGE_ROWS + 1 if shown else 0,
            "last": (page - 1) * PAGE_ROWS + len(shown),
            "previous": link(at, **kept, page=page - 1 if page > 2 else "") if page > 1 else None,
            "next": link(at, **kept, page=page + 1) if page < pages else None,
            "with_": lambda **changes: link(at, **(kept | changes)),
            "at": at,
        },
    )
