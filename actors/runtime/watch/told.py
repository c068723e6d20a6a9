"""What a system tells of itself, and what it does not: a tree that was recorded has no crashes, no stacks, and takes no orders.

Counterpart: pages.py and api.py read from here only.
"""

from __future__ import annotations

import time
from typing import Any

from actors.runtime.system import System
from actors.runtime.watch.actions import Taken
from actors.runtime.watch.reading import HasSnapshot, Reader, reader_of

__all__ = ["Told"]


class Told:
    """A system as the pages see it. None means: this system does not tell."""

    def __init__(self, system: HasSnapshot) -> None:
        self.system: Any = system
        self.taken = Taken()
        self.is_live = isinstance(system, System)
        """Whether it can be sampled."""
        self.has_operations = all(hasattr(system, name) for name in ("restart", "stop_actor", "kill_actor"))

    def reader(self) -> Reader:
        """The tree as it is now."""
        return reader_of(self.system)

    def now(self) -> float:
        """Epoch seconds, by the system's clock where it has one."""
        clock = getattr(self.system, "clock", None)
        return float(clock.now()) if clock is not None else time.time()

    def crashes(self) -> list[Any] | None:
        """All that are kept, newest last."""
        crashes = getattr(self.system, "crashes", None)
        return None if crashes is None else list(crashes)

    def crashes_of(self, path: str) -> list[Any] | None:
        """Those of one place, newest first."""
        crashes = self.crashes()
        return None if crashes is None else [crash for crash in reversed(crashes) if crash.path == path]

    def letters(self) -> list[Any] | None:
        """The dead letters that are kept, newest last."""
        letters = getattr(self.system, "dead_letters", None)
        return None if letters is None else list(letters)

    def letters_of(self, path: str) -> list[Any] | None:
        """Those for one place, newest first."""
        letters = self.letters()
        return None if letters is None else [letter for letter in reversed(letters) if letter.path == path]

    def letters_statistics(self) -> Any | None:
        """Counts of all dead letters."""
        letters = getattr(self.system, "dead_letters", None)
        return None if letters is None else letters.statistics()

    def stack(self, path: str) -> str | None:
        """The live stack of one actor."""
        stack = getattr(self.system, "stack", None)
        return None if stack is None else str(stack(path))
