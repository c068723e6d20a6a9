"""What a batch costs the server's CPU, from its first byte until the engine is quiet, against the bare handler."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.measure import Cpu, Measure, best_in_turn
from tests.bench.servers import Bare, Client, Protector, Server
from tests.bench.world import cluster, filled, template

BATCHES = 40


class _Side:
    """One server, posted to in rounds; every body is another."""

    def __init__(self, server: Server, batch: bytes) -> None:
        self._client, self._cpu, self._batch = Client(server), Cpu(server.process.pid), batch
        self._number = 0

    def round(self) -> float:
        """CPU seconds of one batch."""
        bodies = [filled(self._batch, self._number + n) for n in range(BATCHES)]
        self._number += BATCHES
        before = self._cpu.read_when_quiet()
        for body in bodies:
            self._client.post(body)
            self._cpu.wait_until_asleep()  # so that each is worked off by itself and none is folded with the next
        return (self._cpu.read_when_quiet() - before) / BATCHES


def measures() -> Iterator[Measure]:
    """Repeats into memory, new reads into SQLite, with 40 and with 400 accounts."""
    for accounts in (40, 400):
        world = cluster(accounts)
        for store, fresh, must in (("memory", False, 2.5), ("sqlite:///STATE/db", True, 5.0)):
            bare = Bare()
            ours = Protector(world, store=store, PROTECTOR_RATE_PER_S="100000", PROTECTOR_MAX_OBSERVATIONS="1000000")
            try:
                batch = template(accounts, fresh=fresh)
                sides = [_Side(ours, batch), _Side(bare, batch)]
                for side in sides:
                    side.round()
                cost_s, bare_s = best_in_turn(*(side.round for side in sides))
            finally:
                ours.stop()
                bare.stop()
            ratio = cost_s / bare_s
            kind = "all 400 new, SQLite" if fresh else "repeats, memory"
            is_bound = accounts == 40
            yield Measure(
                f"ingest.{'sqlite_new' if fresh else 'memory_repeats'}.{accounts}_accounts",
                cost_s * 1000,
                "ms CPU/batch",
                how=f"400 reads of {accounts} accounts, {len(batch)} B, {kind}; plaintext HTTP/1.1, {BATCHES} batches a round, "
                f"one at a time, best of 5; bare: {bare_s * 1000:.2f} ms (Quart-Trio, get_data, actors.parser.views.Body)",
                against="bare Quart-Trio handler",
                ratio=ratio,
                must=f"<= {must}" if is_bound else None,
                ok=ratio <= must if is_bound else None,
            )
