"""Times at the edges: epoch seconds (float, UTC) to RFC 3339 and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

LATEST_AT: Final = 253402300799.0
"""The last second that RFC 3339 can write (end of the year 9999)."""


def rfc3339(at: float) -> str:
    """The time with microseconds and Z, as the API server writes it; out-of-range times become the nearest writable one."""
    return datetime.fromtimestamp(min(max(at, 0.0), LATEST_AT), UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def parse_rfc3339(text: str) -> float:
    """Epoch seconds of an RFC 3339 time with any offset; ValueError for anything else, a time without offset included."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC")
    return at.timestamp()
