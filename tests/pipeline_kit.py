"""The whole pipeline in this process, on a virtual clock, with a sender that comes again as an API server does."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio
from small_cluster import ClusterFile
from trio._core import _run as trio_run
from trio.testing import MockClock

from actors.behaviors import ActsWindow
from actors.cluster.model import ClusterModel
from actors.engine.ended import EndedRing
from actors.engine.queries import ChainsQuery, EvidenceQuery
from actors.messages import BatchAnswer, BehaviorsAnswer, ParseBody, RecordBatch, TakeBehaviors
from actors.runtime import (
    ActorCrashed,
    ActorDead,
    AskTimeout,
    MailboxFull,
    System,
    VirtualClock,
    open_system,
)
from actors.store import Journal, MemoryJournal
from actors.tree import Parts, pipeline, refs_of

NO_ANSWER = (ActorCrashed, AskTimeout, ActorDead, MailboxFull)
"""What an asker meets while an actor is away; the edge answers 503 then."""
RETRY_S = 1.0
TRIES_MAX = 60


class Crash(Exception):  # noqa: N818 - it says what happened
    """What the tests make an actor fail with."""


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


class House:
    """One run of the pipeline, in the system that `run` opens."""

    system: System

    def __init__(
        self,
        cluster: ClusterFile,
        *,
        crashes: Crashes | None = None,
        journal: Journal | None = None,
        lags_s: dict[str, float] | None = None,
    ) -> None:
        self.lags_s = lags_s or {}
        self.cluster = cluster
        self.crashes = crashes or Crashes()
        self.clock = VirtualClock()
        self.journal = journal or MemoryJournal()
        self.ended = EndedRing()
        self.acts = ActsWindow()
        self.lines: list[dict[str, Any]] = []
        self.resent = 0

    async def _write(self, line: str) -> bool:
        self.lines.append(json.loads(line))
        return True

    def now(self) -> float:
        return self.clock.now()

    async def run(self, story: Callable[[House], Awaitable[Any]]) -> Any:
        """What `story` returns, told while the pipeline runs."""
        parts = Parts(
            journal=self.journal,
            model=ClusterModel(ttl_s=300.0 + max(self.lags_s.values(), default=0.0)),
            snapshots=(self.cluster.snapshot(),),
            ended=self.ended,
            acts=self.acts,
            write=self._write,
            cluster_name="test",
            lags_s=self.lags_s,
        )
        async with open_system("protector", clock=self.clock, intercept=self.crashes, seed=1) as system:
            self.system = system
            self.refs = refs_of(system)
            await system.start(pipeline(system, parts))
            return await story(self)

    async def post_once(self, body: bytes) -> Any:
        """Posts; what was answered, or an exception of NO_ANSWER."""
        parsed = await self.refs.parser.ask(ParseBody(body, self.now(), "192.0.2.1"), timeout_s=20)
        return await self.refs.store.ask(RecordBatch(parsed), timeout_s=20)

    async def post(self, body: bytes) -> BatchAnswer:
        """Posts until it is taken; what was answered."""
        for _ in range(TRIES_MAX):
            try:
                answer = await self.post_once(body)
            except NO_ANSWER:
                answer = None
            if isinstance(answer, BatchAnswer):
                return answer
            self.resent += 1
            await trio.sleep(RETRY_S)
        raise AssertionError(f"a batch was not taken in {TRIES_MAX} tries")

    async def report(self, *observations: Any, falco: bool = False) -> BehaviorsAnswer:
        """Reports behaviors (or one Falco alert) until they are taken; what was answered."""
        body = json.dumps(observations[0] if falco else observations).encode()
        for _ in range(TRIES_MAX):
            try:
                answer: BehaviorsAnswer = await self.refs.behaviors.ask(
                    TakeBehaviors(body, falco, self.now()), timeout_s=20
                )
            except NO_ANSWER:
                self.resent += 1
                await trio.sleep(RETRY_S)
            else:
                return answer
        raise AssertionError(f"a report was not taken in {TRIES_MAX} tries")

    async def _pages(self, query: Any, key: str) -> list[Any]:
        """Every page; all of them again where the actor was away in between, when it has heard everything anew."""
        for _ in range(TRIES_MAX):
            found: list[Any] = []
            cursor: str | None = None
            try:
                while True:
                    page = await self.refs.engine.ask(msgspec.structs.replace(query, cursor=cursor), timeout_s=20)
                    found += getattr(page, key)
                    cursor = page.next_cursor
                    if cursor is None:
                        return found
            except NO_ANSWER:
                await trio.sleep(RETRY_S)
        raise AssertionError(f"no answer in {TRIES_MAX} tries")

    async def chains(self, **query: Any) -> list[Any]:
        """Every chain."""
        return await self._pages(ChainsQuery(limit=3, **query), "chains")

    async def evidence(self, **query: Any) -> list[Any]:
        """Every piece of evidence."""
        return await self._pages(EvidenceQuery(limit=3, **query), "evidence")

    async def lit(self) -> set[tuple[str, str | None, str]]:
        """(workload, binding or None for a mount, objective) of the chains that are corroborated."""
        return {
            (
                chain.entry.name,
                chain.grant and chain.grant.binding.name,
                f"{chain.objective.namespace or '*'}/{chain.objective.name or '*'}",
            )
            for chain in await self.chains()
            if chain.corroborated
        }


def play(house: House, story: Callable[[House], Awaitable[Any]], *, idle_s: float = 0.0, seed: int = 1) -> Any:
    """Runs the story on a clock that jumps when nothing can run; `idle_s`: after so long, where threads work beside.

    Trio's scheduler draws the order of tasks from `seed`, so that a run that failed can be had again.
    """
    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True
    trio_run._r.seed(seed)
    try:
        return trio.run(house.run, story, clock=MockClock(autojump_threshold=idle_s))
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before
