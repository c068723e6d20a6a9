"""The runtime with its metrics on, against Pykka's ThreadingActor; and what very many idle actors cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pykka
import trio

from actors.runtime import Actor, Child, DynamicSpec, MailboxPolicy, open_system
from tests.bench.measure import Measure, best_in_turn
from web.app import settle_memory

TELLS, ASKS, IDLE, STARTS = 100_000, 5_000, 100_000, 2_000


class _Counting:
    """What both kinds of actor do with a message: count it, and say when the last one came."""

    count = 0

    def on_receive(self, message: Any) -> Any:
        """Counts."""
        self.count += 1
        if callable(message):
            message()
        return self.count


class _Trio(_Counting, Actor):
    mailbox = MailboxPolicy(capacity=2 * TELLS)


class _Thread(_Counting, pykka.ThreadingActor):
    pass


async def _trio_tells() -> float:
    async with open_system("bench") as system:
        await system.start(Child("counter", _Trio))
        ref, done = system.ref("/bench/counter"), trio.Event()
        start = time.perf_counter()
        for _ in range(TELLS // 1000):
            for _ in range(1000):
                ref.tell(1)
            await trio.lowlevel.checkpoint()
        ref.tell(done.set)
        await done.wait()
        return time.perf_counter() - start


def _thread_tells() -> float:
    ref, done = _Thread.start(), threading.Event()
    start = time.perf_counter()
    for _ in range(TELLS):
        ref.tell(1)
    ref.tell(done.set)
    done.wait()
    spent = time.perf_counter() - start
    ref.stop()
    return spent


async def _foreign_tells() -> float:
    """From another thread to an actor on the loop."""
    async with open_system("bench") as system:
        await system.start(Child("counter", _Trio))
        ref, done = system.ref("/bench/counter"), trio.Event()

        def tell() -> None:
            for _ in range(TELLS):
                ref.tell(1)
            ref.tell(done.set)

        start = time.perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, tell)
            await done.wait()
        return time.perf_counter() - start


async def _trio_starts() -> float:
    """Started one after the other as in Pykka, by `Actor.start`, each with its `on_start`, until the last one answers."""
    async with open_system("bench") as system:
        start = time.perf_counter()
        refs = [_Trio.start() for _ in range(STARTS)]
        await refs[-1].ask(1)
        spent = time.perf_counter() - start
        assert len(system.snapshot().children) == STARTS
    return spent


def _thread_starts() -> float:
    start = time.perf_counter()
    refs = [_Thread.start() for _ in range(STARTS)]
    refs[-1].ask(1)
    spent = time.perf_counter() - start
    stops = [ref.stop(block=False) for ref in refs]
    for stop in stops:
        stop.get()
    return spent


async def _traced_tells(traced: bool) -> float:
    """Tells with or without the teller's context variables."""
    async with open_system("bench", trace_context=traced) as system:
        await system.start(Child("counter", _Trio))
        ref, done = system.ref("/bench/counter"), trio.Event()
        start = time.perf_counter()
        for _ in range(TELLS // 1000):
            for _ in range(1000):
                ref.tell(1)
            await trio.lowlevel.checkpoint()
        ref.tell(done.set)
        await done.wait()
        return time.perf_counter() - start


async def _trio_asks(at_once: int) -> float:
    async with open_system("bench") as system:
        await system.start(Child("counter", _Trio))
        ref = system.ref("/bench/counter")

        async def asker() -> None:
            for _ in range(ASKS // at_once):
                await ref.ask(1)

        start = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(asker)
        return time.perf_counter() - start


def _thread_asks(at_once: int) -> float:
    ref = _Thread.start()

    def asker() -> None:
        for _ in range(ASKS // at_once):
            ref.ask(1)

    askers = [threading.Thread(target=asker) for _ in range(at_once)]  # noqa: TID251 - the other side of the comparison
    start = time.perf_counter()
    for each in askers:
        each.start()
    for each in askers:
        each.join()
    spent = time.perf_counter() - start
    ref.stop()
    return spent


async def _idle() -> tuple[float, float, float]:
    """MiB, seconds to start, seconds to stop; the garbage collector is set as `protector serve` sets it."""
    settle_memory()
    before = _resident_mib()
    async with open_system("bench", stop_timeout_s=120.0) as system:
        start = time.perf_counter()
        await system.start(DynamicSpec("many", lambda key: Child(key, _Trio), max_children=IDLE + 1))
        many = system.dynamic("/bench/many")
        last = None
        for n in range(IDLE):
            last = many.ref(str(n))
            if n % 1000 == 0:
                await trio.lowlevel.checkpoint()
        if last is not None:
            await last.ask(1)
        started_s = time.perf_counter() - start
        mib = _resident_mib() - before
        start = time.perf_counter()
    return mib, started_s, time.perf_counter() - start


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / (1 << 20)


def measures() -> Iterator[Measure]:
    """Tells and asks a second, then the idle ones."""
    ours, theirs = best_in_turn(lambda: trio.run(_trio_tells), _thread_tells)
    how = f"{TELLS:,} messages to one actor from its own loop (yielding every 1,000) / from another thread; metrics on; best of 5"
    yield Measure("runtime.tell", TELLS / ours, "1/s", how, "ThreadingActor", theirs / ours, ">= 2", theirs / ours >= 2)
    ours, theirs = best_in_turn(lambda: trio.run(_foreign_tells), _thread_tells)
    how = f"{TELLS:,} messages from another thread to one actor on the loop; metrics on; best of 5"
    yield Measure("runtime.tell.cross_thread", TELLS / ours, "1/s", how, "ThreadingActor", theirs / ours)
    plain, traced = best_in_turn(lambda: trio.run(_traced_tells, False), lambda: trio.run(_traced_tells, True))
    how = f"{TELLS:,} messages from its own loop, each with its teller's context variables (trace_context); best of 5"
    yield Measure("runtime.tell.traced", TELLS / traced, "1/s", how, "without them", plain / traced)
    ours, theirs = best_in_turn(lambda: trio.run(_trio_starts), _thread_starts, rounds=3)
    how = f"{STARTS:,} actors by Actor.start, until the last one answers; best of 3"
    yield Measure("runtime.start", STARTS / ours, "1/s", how, "ThreadingActor", theirs / ours)
    for at_once in (1, 10):
        ours, theirs = best_in_turn(lambda n=at_once: trio.run(_trio_asks, n), lambda n=at_once: _thread_asks(n))
        how = f"{ASKS:,} asks, {at_once} asker(s) at a time; metrics on; best of 5"
        yield Measure(
            f"runtime.ask.{at_once}_at_once",
            ASKS / ours,
            "1/s",
            how,
            "ThreadingActor",
            theirs / ours,
            ">= 2",
            theirs / ours >= 2,
        )
    mib, started_s, stopped_s = trio.run(_idle)
    yield Measure("runtime.idle.memory", mib, "MiB", f"{IDLE:,} idle actors, resident", must="< 819", ok=mib < 819)
    how = f"{IDLE:,} dynamic actors; the garbage collector as `protector serve` sets it"
    yield Measure("runtime.idle.start", started_s, "s", how, must="< 10", ok=started_s < 10)
    yield Measure("runtime.idle.stop", stopped_s, "s", how, must="< 10", ok=stopped_s < 10)
