"""What `protector doctor` says of the expected readers: entries past their date, and entries that nothing ever matched. Pure.

What ever happened comes from history (per account, Secret and verb), so that a restart changes nothing. History knows no signals: an
entry that matches requests but names too few signals counts as matched, and its evidence shows all the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from msgspec import Struct

from actors.engine.expected import Entry
from actors.grants import Use

__all__ = ["Finding", "expected_findings"]


class Finding(Struct, frozen=True):
    """One failed check: what is wrong and what to do."""

    what: str
    hint: str


def expected_findings(
    entries: Sequence[Entry], uses: Iterable[Use], now: float, *, since: float | None
) -> list[Finding]:
    """Of the file's entries (not of those built in), in their order. `since`: how far back history goes; times: epoch seconds."""
    known = list(uses)
    found: list[Finding] = []
    own = [entry for entry in entries if not entry.built_in]
    for number, entry in enumerate(own, 1):
        name = f"expected reader {number} ({entry.account}: {', '.join(entry.secrets)[:100]})"
        ends_at = entry.ends_at
        if ends_at is not None and ends_at <= now:
            found.append(Finding(f"{name} ended on {entry.until}", "take the entry out, or give it another `until`"))
        if not any(entry.matches(use.account, use.scope, use.verb) for use in known):
            reach = "no history yet" if since is None else f"since {_day(since)}"
            found.append(
                Finding(f"{name} never matched a read ({reach})", "see the names in it; take out what nobody needs")
            )
    return found


def _day(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).date().isoformat()
