"""Query parameters into questions to the engine: what is unknown, given twice or malformed is refused by name. Pure.

Counterparts: web/api.py (strict), web/pages.py (the same, but an empty field of a form counts as not given).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

from actors.engine.queries import LIMIT_DEFAULT, LIMIT_MAX, ChainsQuery, EscalationsQuery, EvidenceQuery
from actors.evidence import NAME_MAX, Signal
from actors.grants import EDGES

__all__ = [
    "EXPOSURES",
    "NO_SUCH_CURSOR",
    "SIGNALS",
    "BadParameter",
    "chains_query",
    "escalations_query",
    "evidence_query",
    "history_parameters",
    "no_parameters",
    "pairs_of",
]

PARAMETERS_MAX: Final = 32
"""Query parameters of one request. Overflow: refused."""
CURSOR_MAX: Final = 512
"""Longest cursor, in characters."""
EXPOSURES: Final = ("internet", "cluster", "internal")
SIGNALS: Final = tuple(signal.value for signal in Signal)
NO_SUCH_CURSOR: Final = "cursor: none that was given out here"
"""What is said of a well-formed cursor that the engine does not know."""
SHOWN_MAX: Final = 80
"""How much of a client's text an error repeats."""


class BadParameter(Exception):  # noqa: N818 - their mistake, answered with 400
    """A query parameter that is unknown, given twice, or has no such value; the text names it."""


def pairs_of(query: bytes) -> list[tuple[str, str]]:
    """The parameters of a query string, in order. BadParameter if there are too many."""
    try:
        return parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise BadParameter(f"more than {PARAMETERS_MAX} parameters") from None


def chains_query(pairs: Iterable[tuple[str, str]]) -> ChainsQuery:
    """The question for a page of chains. `live` is a chain's `corroborated`: it is lit by live evidence and by nothing else."""
    found = _parsed(pairs, _CHAINS)
    live = found.pop("live", None)
    if live is not None and found.setdefault("corroborated", live) != live:
        raise BadParameter("live and corroborated are the same of a chain, and contradict each other here")
    return ChainsQuery(**found)


def evidence_query(pairs: Iterable[tuple[str, str]]) -> EvidenceQuery:
    """The question for a page of evidence."""
    return EvidenceQuery(**_parsed(pairs, _EVIDENCE))


def history_parameters(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str] | None, str | None, int]:
    """Account, cursor and limit of a question for history."""
    found = _parsed(pairs, _HISTORY)
    return found.get("account"), found.get("cursor"), found.get("limit", LIMIT_DEFAULT)


def escalations_query(pairs: Iterable[tuple[str, str]]) -> EscalationsQuery:
    """The question for a page of escalations."""
    return EscalationsQuery(**_parsed(pairs, _ESCALATIONS))


def no_parameters(pairs: Iterable[tuple[str, str]]) -> None:
    """Refuses any parameter."""
    _parsed(pairs, {})


def _parsed(pairs: Iterable[tuple[str, str]], known: dict[str, Callable[[str], Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in pairs:
        if name not in known:
            takes = f"; it takes {', '.join(known)}" if known else "; it takes none"
            raise BadParameter(f"unknown parameter {name[:SHOWN_MAX]!r}{takes}")
        if name in found:
            raise BadParameter(f"{name} is given twice")
        try:
            found[name] = known[name](text)
        except ValueError as error:
            raise BadParameter(f"{name}: {error}, not {text[:SHOWN_MAX]!r}") from None
    return found


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("true or false")
    return text == "true"


def _one_of(values: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"one of {', '.join(values)}")
        return text

    return parse


def _name(text: str) -> str:
    if not text or len(text) > NAME_MAX or not text.isprintable() or " " in text or "/" in text:
        raise ValueError("a name")
    return text


def _namespaced(text: str) -> tuple[str, str]:
    namespace, slash, name = text.partition("/")
    try:
        if not slash:
            raise ValueError
        return _name(namespace), _name(name)
    except ValueError:
        raise ValueError("namespace/name") from None


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LIMIT_MAX)) and 1 <= int(text) <= LIMIT_MAX):
        raise ValueError(f"a number from 1 to {LIMIT_MAX}")
    return int(text)


def _cursor(text: str) -> str:
    if not text or len(text) > CURSOR_MAX or not (text.isascii() and text.isprintable()):
        raise ValueError("a cursor that an answer gave")
    return text


_COMMON: Final[dict[str, Callable[[str], Any]]] = {
    "namespace": _name,
    "secret": _namespaced,
    "account": _namespaced,
    "signal": _one_of(SIGNALS),
    "live": _flag,
    "limit": _limit,
    "cursor": _cursor,
}
_CHAINS: Final = {"corroborated": _flag, "open": _flag, "exposure": _one_of(EXPOSURES), **_COMMON}
_EVIDENCE: Final = _COMMON
_HISTORY: Final = {name: _COMMON[name] for name in ("account", "limit", "cursor")}
_ESCALATIONS: Final = {
    **{name: _COMMON[name] for name in ("namespace", "secret", "account", "limit", "cursor")},
    "exposure": _one_of(EXPOSURES),
    "edge": _one_of(EDGES),
}
