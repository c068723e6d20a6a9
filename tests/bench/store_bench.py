"""The store's window: one read, one expiry and one pull at 100,000 and at 1,000,000 live observations, and its longest step."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import trio

from actors.evidence import Account, PodClaim, Read, Scope
from actors.messages import ParsedBatch
from actors.store import Ledger, MemoryJournal, SqliteJournal, Window
from actors.store.actor import EXPIRE_STEP
from actors.store.ledger import Overlay
from actors.store.records import Record
from tests.bench.measure import Measure

SMALL, LARGE = 100_000, 1_000_000
NOW = 1_800_000_000.0
TTL_S = 300.0
STEP = 400
"""Reads of one batch."""


def _read(n: int, accounts: int, at: float) -> Read:
    account = Account(f"ns-{n % 50}", f"sa-{n % accounts}")
    claim = PodClaim(f"pod-{n % accounts}", f"uid-{n % accounts}")
    return Read(account, Scope(account.namespace, f"secret-{n}"), "get", at, at, claim=claim, source_ip="10.0.0.1")


class _Filled:
    """A window with so many live observations, and the longest time that anything in it took while it was filled."""

    def __init__(self, size: int, accounts: int) -> None:
        self.size, self.accounts = size, accounts
        self.window = Window(TTL_S, size * 2, epoch=1)
        self.longest_s = 0.0
        gc.collect()
        gc.freeze()
        for start in range(0, size, STEP):
            self._batch(range(start, min(start + STEP, size)), NOW)

    def _batch(self, numbers: range, at: float) -> float:
        reads = [_read(n, self.accounts, at + n * 1e-6) for n in numbers]
        start = time.perf_counter()
        for read in reads:
            step = time.thread_time()
            self.window.record(read, at + 2.0, at + 2.0)
            self.longest_s = max(self.longest_s, time.thread_time() - step)
        return time.perf_counter() - start

    def refresh(self, rounds: int = 50) -> float:
        """Seconds a refreshed read, least of several tries over reads from all over the window."""
        best = float("inf")
        for turn in range(5):
            spent = 0.0
            for r in range(rounds):
                first = (r * 7919 + turn * 104729) * STEP % (self.size - STEP)
                spent += self._batch(range(first, first + STEP), NOW + 1 + turn)
            best = min(best, spent / (rounds * STEP))
        return best

    def expire_all(self) -> tuple[float, float]:
        """Seconds an observation for letting everything end, and the longest step."""
        longest, start, now = 0.0, time.perf_counter(), NOW + 10 * TTL_S
        more = True
        while more:
            step = time.thread_time()
            more = self.window.expire(now, EXPIRE_STEP)
            longest = max(longest, time.thread_time() - step)
        return (time.perf_counter() - start) / self.size, longest


def measures() -> Iterator[Measure]:
    """Refresh and expiry at both sizes, with many accounts and with one that holds everything; one commit of a batch."""
    for accounts in (5_000, 1):
        small, large = _Filled(SMALL, accounts), _Filled(LARGE, accounts)
        pairs = [(small.refresh(), large.refresh()) for _ in range(3)]
        ratio = min(b for _, b in pairs) / min(a for a, _ in pairs)
        how = f"get reads with a pod claim, {accounts} account(s), live ones from all over the window; {SMALL:,} against {LARGE:,}"
        yield Measure(
            f"store.read.{accounts}_accounts",
            min(b for _, b in pairs) * 1e6,
            "us/read",
            how,
            f"at {SMALL:,}",
            ratio,
            "<= 2",
            ratio <= 2,
        )
        expiry_s, step_s = large.expire_all()
        yield Measure(
            f"store.expire.{accounts}_accounts",
            expiry_s * 1e6,
            "us/observation",
            f"{LARGE:,} end at once, in steps of {EXPIRE_STEP}",
        )
        longest_ms = max(large.longest_s, step_s) * 1000
        how = (
            f"the longest single call while {LARGE:,} observations are taken in, refreshed and ended; {accounts} account(s); "
            "CPU time of the thread, garbage collector on, so that being preempted does not count"
        )
        yield Measure(f"store.longest.{accounts}_accounts", longest_ms, "ms", how, must="<= 10 ms", ok=longest_ms <= 10)
        del small, large
        gc.unfreeze()
        gc.collect()
    yield from _commits()


def _commits() -> Iterator[Measure]:
    for name in ("memory", "sqlite"):
        with tempfile.TemporaryDirectory() as folder:
            journal = MemoryJournal() if name == "memory" else SqliteJournal(Path(folder) / "db")
            spent = trio.run(_commit_batches, journal)
        how = f"one batch of {STEP} new reads a commit ({name}): plan, append, apply; wall time, median of 50"
        yield Measure(f"store.commit.{name}", spent * 1000, "ms/batch", how)


async def _commit_batches(journal: MemoryJournal | SqliteJournal) -> float:
    ledger = Ledger(TTL_S, SMALL, 90, epoch=1)
    ledger.begin(await journal.open())
    taken: list[float] = []
    for k in range(50):
        reads = tuple(_read(k * STEP + n, 40, NOW) for n in range(STEP))
        batch = ParsedBatch(b"%032d" % k, NOW, STEP, reads)
        start = time.perf_counter()
        plan = ledger.plan(batch, k + 1, NOW, Overlay())
        record = _result(plan)
        await journal.append([record])
        for _ in ledger.accept(record):
            pass
        taken.append(time.perf_counter() - start)
    await journal.close()
    return statistics.median(taken)


def _result(steps: Generator[None, None, Record]) -> Record:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            record: Record = end.value
            return record
