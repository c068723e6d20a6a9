"""Durations as people write them: "5m", "299.9s", "1h30m", "1ms", or a number of seconds. Pure."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["UNITS_S", "seconds"]

UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def seconds(duration: str | float) -> float:
    """How many seconds that is; a leading `-` or `+` is allowed. ValueError says what is expected."""
    if isinstance(duration, int | float):
        return float(duration)
    text = duration.strip()
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text.lstrip("+-")
    parts = _PART.findall(rest)
    if not parts or "".join(number + unit for number, unit in parts) != rest:
        raise ValueError(f"{duration!r} is no duration: write it as 5m, 299.9s, 1h30m, 20ms, or as a number of seconds")
    return sign * sum(float(number) * UNITS_S[unit] for number, unit in parts)
