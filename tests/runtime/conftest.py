"""Actors that the runtime's tests share, as fixtures: test folders are no packages, so they cannot be imported by name."""

from __future__ import annotations

from typing import Any

import pytest

from actors.runtime import Actor


class Recorder(Actor):
    """Writes down what happens to it in the test's list: ("start", name), ("message", ...), ("stop", name), ("failure", type)."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    async def on_start(self) -> None:
        self.log.append(("start", self.context.path.rpartition("/")[2]))

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        self.log.append(("message", message))
        return message

    async def on_stop(self) -> None:
        self.log.append(("stop", self.context.path.rpartition("/")[2]))

    async def on_failure(self, exception_type, exception_value, traceback) -> None:
        self.log.append(("failure", exception_type.__name__))


@pytest.fixture
def recorder() -> type[Recorder]:
    """The class, to be put into a Child."""
    return Recorder
