"""The runtime's own log lines: paths and names of types, never contents.

Counterpart: structlog's logger `protector.runtime`, as the program has configured it.
"""

from __future__ import annotations

from typing import Any, Final

import structlog

LOGGER: Final = "protector.runtime"

SURVIVABLE: Final = (OSError, ValueError)
"""What a log that cannot be written raises (a full disk, a closed pipe, a closed file): no reason to end an actor, let alone all."""

_logger = structlog.get_logger(LOGGER)


def say_error(event: str, **fields: Any) -> None:
    """One line at level error."""
    try:
        _logger.error(event, **fields)
    except SURVIVABLE:
        return


def say_warning(event: str, **fields: Any) -> None:
    """One line at level warning."""
    try:
        _logger.warning(event, **fields)
    except SURVIVABLE:
        return
