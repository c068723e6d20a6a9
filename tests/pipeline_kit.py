"""The harness's session for tests that say who fails at which of his messages, or that run one story again and again.

Counterpart: actors.testing.session, which does the work; small_cluster.py, whose files it takes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import trio
from trio.testing import MockClock

from actors.cluster.model import ClusterModel
from actors.cluster.raw import Snapshot
from actors.runtime.schedules import seeded_schedule
from actors.store import Journal
from actors.testing.faults import Crash
from actors.testing.session import NO_ANSWER, Session

__all__ = ["NO_ANSWER", "Crash", "Crashes", "House", "play"]


class Crashes:
    """Counts the messages of every actor, and makes some fail: `at` maps a path's last name to the numbers of its messages."""

    def __init__(self, at: dict[str, tuple[int, ...]] | None = None) -> None:
        self.at = at or {}
        self.handled: Counter[str] = Counter()
        self.done: list[tuple[str, int, str]] = []

    def __call__(self, path: str, message: Any) -> None:
        name = path.rpartition("/")[2]
        self.handled[name] += 1
        if self.handled[name] in self.at.get(name, ()):
            self.done.append((name, self.handled[name], type(message).__name__))
            raise Crash


class ClusterAtStart(Protocol):
    """As much of a cluster's file as is needed here."""

    def snapshot(self) -> Snapshot:
        """What loading it gives."""


class House(Session):
    """One run of the pipeline over a cluster's file; `crashes` sees each message before it is handled."""

    def __init__(
        self,
        cluster: ClusterAtStart,
        *,
        crashes: Any = None,
        journal: Journal | None = None,
        lags_s: dict[str, float] | None = None,
    ) -> None:
        super().__init__(1, journal=journal)
        self.lags_s = lags_s or {}
        self.model = ClusterModel(ttl_s=self.ttl_s + max(self.lags_s.values(), default=0.0))
        self.cluster: Any = cluster
        self.crashes = crashes or Crashes()

    def _snapshot(self) -> Snapshot:
        return self.cluster.snapshot()

    async def _tell_cluster(self) -> None:
        """A file does not change."""

    def _intercept(self, path: str, message: Any) -> None:
        super()._intercept(path, message)
        self.crashes(path, message)

    async def story(self, story: Callable[[House], Awaitable[Any]]) -> Any:
        """What `story` returns, told while the pipeline runs."""
        async with self.opened():
            await self.up()
            return await story(self)

    async def lit(self) -> set[tuple[str, str | None, str]]:
        """(workload, binding or None for a mount, objective) of the chains that are corroborated."""
        return {
            (
                chain.entry.name,
                chain.grant and chain.grant.binding.name,
                f"{chain.objective.namespace or '*'}/{chain.objective.name or '*'}",
            )
            for chain in await self.chains(corroborated=True)
        }


def play(house: House, story: Callable[[House], Awaitable[Any]], *, idle_s: float = 0.0, seed: int = 1) -> Any:
    """Runs the story on a clock that jumps when nothing can run; `idle_s`: after so long, where threads work beside.

    Trio's scheduler draws the order of tasks from `seed`, so that a run that failed can be had again.
    """
    house.mock_clock = MockClock(autojump_threshold=idle_s)
    with seeded_schedule(seed):
        return trio.run(house.story, story, clock=house.mock_clock)
