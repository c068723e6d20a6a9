"""The ingest load for many minutes (PROTECTOR_BENCH_SOAK_MINUTES, else 10), and the server's memory meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import trio

from tests.bench.load_bench import ACCOUNTS, PER_S, SENDERS, Load
from tests.bench.measure import Measure
from tests.bench.servers import Protector
from tests.bench.world import cluster

MINUTES = float(os.environ.get("PROTECTOR_BENCH_SOAK_MINUTES", "10"))
LOOK_EVERY_S = 15.0
OBSERVATIONS_MAX = 4_000
"""The window's bound: full within the first seconds, since every tenth batch holds new reads only."""
GROWTH_MAX_KIB = 8 * 1024
"""From the end of the first third to the end: what pools and fragments may take, not what stays of every batch (a batch is 0.3 MiB)."""


def rss_kib(pid: int) -> int:
    """Memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def soak() -> Iterator[Measure]:
    """Memory over time, and the refusals."""
    settings = {"PROTECTOR_MAX_OBSERVATIONS": str(OBSERVATIONS_MAX)}
    server = Protector(cluster(ACCOUNTS), store="sqlite:///STATE/db", plaintext=False, **settings)
    marks: list[int] = []

    async def look_on() -> None:
        while True:
            marks.append(rss_kib(server.process.pid))
            await trio.sleep(LOOK_EVERY_S)

    async def main(load: Load) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look_on)
            await load.run()
            nursery.cancel_scope.cancel()

    try:
        load = Load(server, MINUTES * 60)
        trio.run(main, load)
        marks.append(rss_kib(server.process.pid))
    finally:
        server.stop()
    grown = marks[-1] - marks[len(marks) // 3]
    how = f"{SENDERS} senders of {PER_S:g} batches/s of 400 reads, {MINUTES:g} min, one in ten new, {OBSERVATIONS_MAX} observations; "
    how += f"MiB every {LOOK_EVERY_S:g} s: {', '.join(f'{mark / 1024:.0f}' for mark in marks)}; growth from the first third on"
    yield Measure("edge.soak.growth", grown, "KiB", how, must=f"< {GROWTH_MAX_KIB}", ok=grown < GROWTH_MAX_KIB)
    refused = sum(n for status, n in load.statuses.items() if status != 200)
    yield Measure(
        "edge.soak.refused",
        refused,
        "batches",
        f"of {len(load.taken_s)}: {dict(load.statuses)}, {load.left_out} left out",
        must="0",
        ok=refused == 0,
    )
