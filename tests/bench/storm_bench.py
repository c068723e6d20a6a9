"""A rollout of 5,000 pods as a watch tells it, while an API server posts: the time of the answers against the same without it.

The clock is this thread's CPU time, and waiting for a moment is skipped: what is measured is what an answer waits for in this
process on a core of its own, not what else the machine does.
"""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Iterator
from typing import Any

import trio

from actors.cluster.model import ClusterModel
from actors.cluster.queries import ObjectsMoved
from actors.engine.ended import EndedRing
from actors.engine.queries import EvidenceQuery
from actors.messages import BatchAnswer, ParseBody, RecordBatch
from actors.runtime import VirtualClock, open_system
from actors.store import MemoryJournal
from actors.tree import Parts, pipeline, refs_of
from tests.bench.measure import Measure
from tests.storm_kit import Rollout, body, stamp
from web.app import settle_memory

PODS = int(os.environ.get("PROTECTOR_BENCH_STORM_PODS", "5000"))
READS = 400
STAMP = "2001-01-01T00:00:00.000000Z"
PER_S = 10.0
"""Batches a second of one API server."""
LOOKS_MAX = 300
STORM_S = 20.0
"""How long the rollout takes: a thousand and more deltas a second."""


class CpuClock(trio.abc.Clock):
    """Shows the CPU time of the thread, and what was skipped because nothing was to be done until a deadline."""

    def __init__(self) -> None:
        self._skipped_s = 0.0

    def start_clock(self) -> None:
        """It always runs."""

    def current_time(self) -> float:
        """Seconds."""
        return self._skipped_s + time.thread_time()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Trio asks when nothing can run: then it is that moment. Without a deadline somebody outside is waited for."""
        if math.isinf(deadline):
            return 1.0
        self._skipped_s += max(0.0, deadline - self.current_time())
        return 0.0


class Steps(trio.abc.Instrument):
    """The longest time for which an actor held the loop, in CPU seconds."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._began_at = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """It begins."""
        self._began_at = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """It ended. The tasks of this bench make the bodies, and are no part of it."""
        if task.name.startswith("/"):
            self.longest_s = max(self.longest_s, time.thread_time() - self._began_at)


class _Run:
    """The pipeline in this process, its ingest asked as the edge asks it."""

    def __init__(self, rollout: Rollout) -> None:
        self.rollout = rollout
        self.quiet_s: list[float] = []
        self.storm_s: list[float] = []
        self.cpu_s: list[float] = []
        self.lost = -1
        self.settled_s = 0.0
        self.stalls_s: list[float] = []
        self.steps = Steps()
        self._clock = VirtualClock()
        self._sent = 0

    async def _write(self, line: str) -> bool:
        return True

    async def run(self) -> None:
        parts = Parts(MemoryJournal(), ClusterModel(), (self.rollout.snapshot(),), EndedRing(), self._write)
        async with open_system("protector", clock=self._clock) as system:
            self.refs = refs_of(system)
            await system.start(pipeline(system, parts))
            settle_memory()
            await self._post_all(self._bodies(2.0, storm=False), [])
            bodies = self._bodies(STORM_S, storm=False)
            self.steps.longest_s, before = 0.0, time.thread_time()
            await self._post_all(bodies, self.quiet_s)
            self.cpu_s.append(time.thread_time() - before)
            self.stalls_s.append(self.steps.longest_s)
            self.steps.longest_s = 0.0
            bodies, deltas = self._bodies(STORM_S, storm=True), list(self.rollout.deltas())
            gc.collect()
            before = time.thread_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._storm, deltas)
                await self._post_all(bodies, self.storm_s)
            self.cpu_s.append(time.thread_time() - before)
            self.stalls_s.append(self.steps.longest_s)
            self.steps.longest_s = 0.0
            start = trio.current_time()
            self.lost = await self._not_exact()
            self.settled_s = trio.current_time() - start

    async def _storm(self, deltas: list[ObjectsMoved]) -> None:
        start = trio.current_time()
        for number, delta in enumerate(deltas):
            await trio.sleep_until(start + STORM_S * number / len(deltas))
            await self.refs.cluster.send(delta)

    def _bodies(self, seconds: float, *, storm: bool) -> list[bytes]:
        count = int(seconds * PER_S)
        return [self._body(turn / count if storm else 0.0) for turn in range(count)]

    async def _post_all(self, bodies: list[bytes], taken_s: list[float]) -> None:
        async with trio.open_nursery() as posts:
            start = trio.current_time()
            for turn, content in enumerate(bodies):
                await trio.sleep_until(start + turn / PER_S)
                posts.start_soon(
                    self._post, content.replace(STAMP.encode(), stamp(self._clock.now()).encode()), taken_s
                )

    def _body(self, done: float) -> bytes:
        """Reads of pods about where the rollout is, and of some that are not seen yet."""
        size = self.rollout.size
        events = []
        for n in range(READS):
            number = (int(done * size) + n - READS // 2) % size
            revision = int(done > 0 and number < int(done * size) + READS // 4)
            events.append(self.rollout.read(revision, number, STAMP, f"secret-{number % 50}", f"{self._sent}"))
        self._sent += 1
        return body(events)

    async def _post(self, content: bytes, taken_s: list[float]) -> None:
        start = trio.current_time()
        parsed = await self.refs.parser.ask(ParseBody(content, self._clock.now(), "192.0.2.1"), timeout_s=30)
        answer = await self.refs.store.ask(RecordBatch(parsed), timeout_s=30)
        taken_s.append(trio.current_time() - start)
        if not isinstance(answer, BatchAnswer) or answer.reads != READS:
            raise RuntimeError(f"not taken: {answer}")

    async def _not_exact(self) -> int:
        """Pieces of evidence that are not attributed to their pod, once that is nought or was looked at so many times."""
        found = 1
        for _ in range(LOOKS_MAX):
            found = await self._odd()
            if not found:
                break
            await trio.sleep(0.1)
        return found

    async def _odd(self) -> int:
        odd, seen, cursor = 0, 0, None
        while True:
            page: Any = await self.refs.engine.ask(EvidenceQuery(limit=1000, cursor=cursor), timeout_s=60)
            odd += sum(each.attribution != "exact" for each in page.evidence)
            seen += len(page.evidence)
            cursor = page.next_cursor
            if cursor is None:
                return odd if seen else 1


def measures() -> Iterator[Measure]:
    """p99 of the answer in the storm against without it; what was lost; how soon all is attributed."""
    run = _Run(Rollout(PODS))
    gc.collect()
    trio.run(run.run, clock=CpuClock(), instruments=[run.steps])
    quiet, storm = (sorted(each)[int(len(each) * 0.99)] * 1000 for each in (run.quiet_s, run.storm_s))
    how = (
        f"{PER_S:g} batches/s of {READS} reads by pods of one account, {STORM_S:g} s; {PODS:,} pods replaced, {5 * PODS:,} deltas "
        "meanwhile; pipeline in this process, memory store"
    )
    yield Measure(
        "storm.answer_p99", storm, "ms", how, "the same without the rollout", storm / quiet, "<= 3", storm <= 3 * quiet
    )
    yield Measure(
        "storm.cpu",
        run.cpu_s[1],
        "s",
        f"of {STORM_S:g} s; {how}",
        "the same without the rollout",
        run.cpu_s[1] / run.cpu_s[0],
    )
    stall, before = run.stalls_s[1] * 1000, run.stalls_s[0] * 1000
    yield Measure(
        "storm.longest_step", stall, "ms", f"for which an actor held the loop, CPU; {how}", "the same without the rollout",
        stall / before, "<= 100 ms", stall <= 100,
    )  # fmt: skip
    yield Measure("storm.not_attributed", run.lost, "reads", how, must="0", ok=run.lost == 0)
    yield Measure(
        "storm.settled", run.settled_s, "s", f"from the last post until every read is attributed to its pod; {how}"
    )
