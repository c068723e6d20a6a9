"""Three API servers at full rate for a minute over TLS and HTTP/2: refusals, the time of the answers, the longest stall of the loop."""

from __future__ import annotations

import os
import ssl
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import trio

from tests.bench.measure import Measure
from tests.bench.servers import Protector
from tests.bench.world import cluster, filled, template

SENDERS = 3
PER_S = 10.0
"""Batches a second of one API server (--audit-webhook-batch-throttle-qps)."""
SECONDS = float(os.environ.get("PROTECTOR_BENCH_LOAD_S", "60"))
ACCOUNTS = 40
IN_FLIGHT_MAX = 20
"""Batches of one sender that wait for their answers; over it a batch is left out and counted, as an API server does."""
NEW_EVERY = 10
"""Every so many-th batch holds new reads only, the others repeat."""


class Load:
    """What the senders saw."""

    def __init__(self, server: Protector, seconds: float) -> None:
        self.server = server
        self.seconds = seconds
        self.statuses: Counter[int] = Counter()
        self.taken_s: list[float] = []
        self.probes_s: list[float] = []
        self.left_out = self._sent = 0
        self._repeat, self._fresh = template(ACCOUNTS), template(ACCOUNTS, fresh=True)

    async def run(self) -> None:
        """All senders for the time, then no more."""
        context = ssl.create_default_context(cafile=str(self.server.ca))
        async with trio.open_nursery() as nursery:
            for number in range(SENDERS):
                nursery.start_soon(self._sender, context, number)

    async def _sender(self, context: ssl.SSLContext, number: int) -> None:
        url = f"https://localhost:{self.server.port}/audit?timeout=30s"
        headers = {"Authorization": f"Bearer {self.server.token}", "Content-Type": "application/json"}
        async with (
            httpx.AsyncClient(http2=True, verify=context, timeout=30.0, headers=headers) as client,
            trio.open_nursery() as posts,
        ):
            start = trio.current_time() + number / (SENDERS * PER_S)
            for turn in range(int(self.seconds * PER_S)):
                await trio.sleep_until(start + turn / PER_S)
                if len(posts.child_tasks) >= IN_FLIGHT_MAX:
                    self.left_out += 1
                    continue
                self._sent += 1
                body = filled(self._fresh if self._sent % NEW_EVERY == 0 else self._repeat, self._sent)
                posts.start_soon(self._post, client, url, body)

    async def _post(self, client: httpx.AsyncClient, url: str, body: bytes) -> None:
        start = time.perf_counter()
        try:
            status = (await client.post(url, content=body)).status_code
        except httpx.HTTPError:  # httpx gives up on a stream that was answered before its body was out
            status = 0
        self.taken_s.append(time.perf_counter() - start)
        self.statuses[status] += 1


def measures() -> Iterator[Measure]:
    """Refusals, p50 and p99 of the answer, the longest stall."""
    server = Protector(cluster(ACCOUNTS), store="sqlite:///STATE/db", plaintext=False)
    try:
        load = Load(server, SECONDS)
        trio.run(load.run)
        stall_ms = server.metric("protector_loop_lag_worst_minute_seconds") * 1000
    finally:
        server.stop()
    taken = sorted(load.taken_s)
    how = (
        f"{SENDERS} senders of {PER_S:g} batches/s of 400 reads ({ACCOUNTS} accounts, one batch in {NEW_EVERY} new), {SECONDS:g} s, "
        "TLS, HTTP/2, one connection each, SQLite; sender and server share the machine"
    )
    refused = sum(n for status, n in load.statuses.items() if status != 200)
    yield Measure(
        "load.refused",
        refused,
        "batches",
        f"of {len(taken)}, {load.left_out} left out; {how}",
        must="0",
        ok=refused == 0,
    )
    yield Measure("load.answer_p50", taken[len(taken) // 2] * 1000, "ms", how)
    p99_ms = taken[int(len(taken) * 0.99)] * 1000
    yield Measure("load.answer_p99", p99_ms, "ms", how, must="< 250", ok=p99_ms < 250)
    yield Measure(
        "load.stall",
        stall_ms,
        "ms",
        f"worst lateness of a timer of 250 ms in the server's loop; {how}",
        must="< 100",
        ok=stall_ms < 100,
    )
