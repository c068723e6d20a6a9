"""The decorator `@schedules(n)`; what it does is in interleavings.py and hosting.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

__all__ = ["SCHEDULES_MAX", "schedules"]

SCHEDULES_MAX: Final = 1_000_000


def schedules(count: int = 200) -> Callable[[Any], Any]:
    """Run the test under so many seeded interleavings. It must use at least one of protector's fixtures."""
    if not 1 <= count <= SCHEDULES_MAX:
        raise ValueError(f"schedules({count}): 1 to {SCHEDULES_MAX} can be")
    mark = pytest.mark.protector_schedules(count)
    needs = pytest.mark.usefixtures("protector_session")
    return lambda test: mark(needs(test))
