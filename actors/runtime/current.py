"""Which system is open around the caller, for `Actor.start`, which Pykka calls without naming one.

Counterpart: `System` (system.py) sets it while it is open. One for each Trio loop; no registry of the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from actors.runtime.system import System

CURRENT: Final[trio.lowlevel.RunVar[System | None]] = trio.lowlevel.RunVar("actors.runtime.system")
"""The system that was opened last in this Trio loop."""


def current_system() -> System:
    """The system that was opened last in this Trio loop, for `Actor.start`; from worker threads of Trio's too."""
    if not trio.lowlevel.in_trio_run():
        try:
            return trio.from_thread.run_sync(current_system)
        except RuntimeError:
            raise RuntimeError(
                "no system is open here: use `async with open_system(...)`, and start from within"
            ) from None
    system = CURRENT.get(None)
    if system is None:
        raise RuntimeError("no system is open: use `async with open_system(...)`, and start from within")
    return system
