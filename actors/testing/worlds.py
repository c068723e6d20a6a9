"""The world without pytest's fixtures: inside an async function of any Trio run on a virtual clock, or around plain code.

    async with open_protector() as world:                     with open_protector() as world:
        await world.protector.post(world.audit.get(...))          world.protector.post(world.audit.get(...))

Counterpart: hosting.py, which does the same for fixtures.
"""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Self

from actors.testing.letters import Letters
from actors.testing.probes import Actors, Probe
from actors.testing.protector import Clock, Protector
from actors.testing.sentences import Audit
from actors.testing.session import TTL_S, Session

__all__ = ["World", "open_protector"]


class World:
    """What the fixtures are, as attributes. Used once, as `with` or as `async with`."""

    def __init__(self, seed: int, ttl_s: float) -> None:
        self.session = Session(seed, ttl_s=ttl_s)
        self.protector = Protector(self.session)
        self.clock = Clock(self.session)
        self.cluster = self.session.cluster
        self.audit = Audit()
        self.faults = self.session.faults
        self.probe = Probe(self.session)
        self.system = Actors(self.session)
        self.dead_letters = Letters(self.session)
        self._stack = contextlib.AsyncExitStack()

    def __enter__(self) -> Self:
        self.session.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.session.end()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.session.opened())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return bool(await self._stack.__aexit__(kind, error, traceback))


def open_protector(*, seed: int = 1, ttl_s: float = TTL_S) -> World:
    """A world of its own."""
    return World(seed, ttl_s)
