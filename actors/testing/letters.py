"""The dead letters of a test's system: the fixture `dead_letters`. Counterpart: actors.runtime's letters, which names types only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from actors.testing.timeline import explained

if TYPE_CHECKING:
    from actors.runtime import DeadLetter
    from actors.testing.session import Session

__all__ = ["Letters"]


class Letters:
    """Iterable, oldest first; there are none before the system is opened."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(()) if self._session.system is None else iter(self._session.system.dead_letters)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def expect(self, message_type: str | type, *, to: str = "", reason: str = "") -> DeadLetter:
        """There is one of this type (for the actor whose path ends so, for this reason: `crashed`, `dead`, `full`, ...)."""
        name = message_type if isinstance(message_type, str) else message_type.__name__
        for letter in self:
            if letter.message_type == name and letter.path.endswith(to) and reason in ("", letter.reason.value):
                return letter
        wanted = f"a dead letter {name}" + (f" for {to}" if to else "") + (f", {reason}" if reason else "")
        found = (
            "; ".join(f"{each.message_type} for {each.path}: {each.reason.value}" for each in self) or "no dead letter"
        )
        raise AssertionError(explained(self._session, wanted, found))

    def expect_none(self) -> None:
        """There is none."""
        if len(self):
            found = "; ".join(f"{each.message_type} for {each.path}: {each.reason.value}" for each in self)
            raise AssertionError(explained(self._session, "no dead letters", found))
