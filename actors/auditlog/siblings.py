"""Which files beside the log are older parts of it, and in which order they were written. Pure: names only.

Known are the names of the API server's own rotation (lumberjack: `audit-2026-01-02T03-04-05.678.log`), of logrotate (`audit.log.1`,
`audit.log-20260102`, with `dateformat` suffixes of digits), each also with `.gz`. Times of the files are not looked at: compression
changes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_TIME = re.compile(r"-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3})")
_NUMBER = re.compile(r"\.(\d{1,6})")
_DATE = re.compile(r"[-.](\d{6,14}(?:-\d{1,10})?)")


def _order(live: str, name: str) -> tuple[int, int, str] | None:
    """Older sorts first; None: it is no part of the log. Schemes are not mixed in practice; where they are, numbers are the newest."""
    plain = name.removesuffix(".gz")
    stem, dot, extension = live.rpartition(".")
    stem, extension = (stem, dot + extension) if dot and stem else (live, "")
    if plain.startswith(stem) and plain.endswith(extension):
        middle = plain[len(stem) : len(plain) - len(extension)] if extension else plain[len(stem) :]
        if match := _TIME.fullmatch(middle):
            return (0, 0, match[1])
    if not plain.startswith(live):
        return None
    rest = plain[len(live) :]
    if match := _NUMBER.fullmatch(rest):
        return (1, -int(match[1]), "")
    if match := _DATE.fullmatch(rest):
        return (0, 0, match[1])
    return None


def older_parts(live: str, names: Iterable[str]) -> list[str]:
    """The older parts of the log called `live` among these names, oldest first.

    While a part is being compressed it is there twice: the plain one counts, the other may be incomplete.
    """
    there = set(names)
    found = [
        (order, name)
        for name in there
        if name != live
        and not (name.endswith(".gz") and name.removesuffix(".gz") in there)
        and (order := _order(live, name)) is not None
    ]
    return [name for _, name in sorted(found)]
