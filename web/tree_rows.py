"""The tree of actors as rows of a table: what a row says of restarts, times and failures. Pure. Counterpart: web/pages.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from web.metrics import holds_by_key

__all__ = ["BY_KEY_SHOWN_MAX", "Fullest", "Load", "find", "load_of", "rows_of"]

BY_KEY_SHOWN_MAX: Final = 50
"""Actors started by key that are shown under one supervisor in a tree; on that supervisor's own page ten times as many."""
FAILURE_SHOWN_MAX: Final = 160
"""Characters of a failure in the table; the actor's own page has all of it."""

_STATES: Final = {"running": ("running", "ok"), "backoff": ("backoff", "alarm"), "failed": ("failed", "alarm")}


@dataclass(frozen=True, slots=True)
class Fullest:
    """The mailbox that is nearest to its bound."""

    path: str
    name: str
    depth: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Load:
    """What the first glance tells of the actors."""

    fullest: Fullest | None
    overflows: int
    restarts: int


def load_of(tree: list[dict[str, Any]]) -> Load:
    """The fullest mailbox (of equally full ones the one that was fuller before), all overflows, and the restarts
    that are still counted against an allowance."""
    fullest, nearest, overflows, restarts = None, (-1.0, -1.0), 0, 0
    for node, _level in _walk(tree):
        box = node["mailbox"]
        overflows += box["overflows"]
        restarts += (node["restarts"] or {}).get("count") or 0
        near = (box["depth"] / box["capacity"], box["high_water"] / box["capacity"]) if box["capacity"] else nearest
        if near > nearest:
            nearest = near
            fullest = Fullest(node["path"], node["path"].rpartition("/")[2], box["depth"], box["capacity"])
    return Load(fullest, overflows, restarts)


def find(tree: list[dict[str, Any]], path: str) -> dict[str, Any] | None:
    """The actor at this path (with its leading slash)."""
    return next((node for node, _level in _walk(tree) if node["path"] == path), None)


def rows_of(tree: list[dict[str, Any]], by_key_max: int = BY_KEY_SHOWN_MAX) -> tuple[list[dict[str, Any]], int]:
    """(rows in the order of the tree, how many actors there are); of actors started by key the fullest `by_key_max`."""
    rows: list[dict[str, Any]] = []
    known = sum(1 for _ in _walk(tree))

    def add(nodes: list[dict[str, Any]], level: int, *, by_key: bool) -> None:
        shown = nodes
        if by_key and len(nodes) > by_key_max:
            fullest = sorted(nodes, key=lambda n: (-n["mailbox"]["depth"], -n["mailbox"]["high_water"], n["path"]))
            shown = fullest[:by_key_max]
        for node in shown:
            rows.append(row_of(node, level))
            add(node["children"], level + 1, by_key=holds_by_key(node))

    add(tree, 0, by_key=len(tree) > 1)
    return rows, known


def row_of(node: dict[str, Any], level: int = 0) -> dict[str, Any]:
    """The actor with what a row says of it in words."""
    kind, mark = _STATES.get(node["state"], ("stopped", "quiet"))
    return {
        **node,
        "level": level,
        "name": node["path"].rpartition("/")[2],
        "state_kind": kind,
        "state_mark": mark,
        "kinds": sorted(node["message_types"].items(), key=lambda pair: -pair[1]),
        "restarts_text": _restarts(node),
        "wait_text": _milliseconds(node["wait_ms"]),
        "handle_text": _milliseconds(node["handle_ms"]),
        "failure_text": _failure(node["last_failure"]),
    }


def _walk(tree: list[dict[str, Any]]) -> list[tuple[dict[str, Any], int]]:
    found: list[tuple[dict[str, Any], int]] = []
    waiting = [(node, 0) for node in reversed(tree)]
    while waiting:
        node, level = waiting.pop()
        found.append((node, level))
        waiting.extend((child, level + 1) for child in reversed(node["children"]))
    return found


def _restarts(node: dict[str, Any]) -> str:
    restarts = node["restarts"]
    if not restarts or not restarts["max"]:
        return "–"
    return f"{restarts['count']} of {restarts['max']} in {restarts['within_s']:g} s"


def _milliseconds(pair: dict[str, float | None] | None) -> str:
    if not pair or pair.get("p50") is None:
        return "–"
    return f"{_digits(pair['p50'])} / {_digits(pair.get('p99'))} ms"


def _digits(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _failure(failure: Any) -> str:
    """Type, and what was being handled; the runtime never keeps an exception's text."""
    if not failure:
        return ""
    text = str(failure["type"])
    if failure.get("message_type"):
        text += f" while handling {failure['message_type']}"
    return text[:FAILURE_SHOWN_MAX]
