"""Chaos behind real sockets: actors and listeners are killed while real senders post over TLS, in real time.

Counterpart: test_chaos.py, which has the minute on a virtual clock; here the load is shorter, and a sender comes again until it
is answered. CHAOS_POSTS=2000 in the environment makes it longer.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from typing import Any

import msgspec
import pytest
import trio
from chaos_kit import Chaos, load, places
from edge_kit import PATIENCE_S, client_tls, post, response, server_tls
from pipeline_kit import House
from small_cluster import Acts, small_cluster
from trio_run import run

from actors.cluster.model import ClusterModel
from actors.config import Address, Settings
from actors.runtime import SystemClock, open_system
from actors.store import SqliteJournal
from actors.tree import Parts, pipeline, refs_of
from web.edge import Edge
from web.events import EventHub
from web.listener import bind

pytestmark = pytest.mark.slow

POSTS = int(os.environ.get("CHAOS_POSTS", "") or 200)
SENDERS = 4
PAUSE_S = 0.03
"""Between two posts of a sender, and before it comes again; an API server waits longer."""
STRIKE_EVERY_S = 0.04
TOKEN = "chaos-" + "t" * 26
AUTHORIZATION = f"Authorization: Bearer {TOKEN}\r\n"
HOST = "127.0.0.1"


class Served(House):
    """The pipeline and its listeners in one system, as `serve` has them."""

    def __init__(self, journal: Any) -> None:
        super().__init__(small_cluster(), journal=journal)
        self.clock = SystemClock()
        self.answers: Counter[int] = Counter()
        """By status; 0 where the connection ended before there was one."""

    async def run(self, story: Any) -> Any:
        """What `story` returns, told while all of it runs."""
        sockets = {name: bind(HOST, 0) for name in ("audit", "dashboard")}
        self.ports = {name: bound.port for name, bound in sockets.items()}
        audit, dashboard = (Address(HOST, port) for port in self.ports.values())
        settings = Settings(audit_addr=audit, dashboard_addr=dashboard, ingest_token=TOKEN)
        parts = Parts(
            journal=self.journal,
            model=ClusterModel(),
            snapshots=(self.cluster.snapshot(),),
            ended=self.ended,
            write=self._write,
            cluster_name="test",
        )
        try:
            async with open_system("protector", stop_timeout_s=10.0) as self.system:
                self.refs = refs_of(self.system)
                edge = Edge(settings, self.system, self.refs, EventHub(), server_tls(), trio.Event())
                await self.system.start(pipeline(self.system, parts), edge.spec(sockets))
                return await story(self)
        finally:
            await self.journal.close()
            for bound in sockets.values():
                bound.close()

    async def send(self, bodies: list[bytes]) -> None:
        """One sender: each body until it is taken, on one connection for as long as that lasts."""
        while bodies:
            try:
                tcp = await trio.open_tcp_stream(HOST, self.ports["audit"])
                stream = trio.SSLStream(tcp, client_tls(), server_hostname="localhost", https_compatible=True)
                async with stream:
                    while bodies:
                        await stream.send_all(post("/audit", body=bodies[0], headers=AUTHORIZATION))
                        status, _, _ = await response(stream)
                        self.answers[status] += 1
                        assert status in (200, 503, 0)
                        if status == 200:
                            bodies.pop(0)
                        await trio.sleep(PAUSE_S)
                        if status == 0:
                            break
            except (OSError, trio.BrokenResourceError):
                self.answers[0] += 1
                await trio.sleep(PAUSE_S)

    async def look(self) -> tuple[Any, ...]:
        """Where it stands: who does not run, chains, evidence, what was said."""
        away = [place.path for place in places(self.system.snapshot()) if place.state != "running"]
        chains, evidence = await self.chains(), await self.evidence()
        keys = ("event", "chain", "workload", "service_account", "secret")
        said = {tuple(line[key] for key in keys) for line in self.lines}
        return away, sorted(map(msgspec.json.encode, chains)), sorted(map(msgspec.json.encode, evidence)), said


def story_of(bodies: list[bytes], chaos: Chaos | None, expected: tuple[Any, ...] | None) -> Any:
    """All bodies posted by SENDERS, `chaos` meanwhile; then the state, once it is the one that is expected."""

    async def story(house: Served) -> tuple[Any, ...]:
        async with trio.open_nursery() as beside:
            if chaos is not None:
                chaos.system = house.system
                times = (trio.current_time() + n * STRIKE_EVERY_S for n in range(100_000))
                beside.start_soon(chaos.at_random, times)
            async with trio.open_nursery() as senders:
                for n in range(SENDERS):
                    senders.start_soon(house.send, bodies[n::SENDERS])
            beside.cancel_scope.cancel()
        with trio.move_on_after(PATIENCE_S):
            before = None
            while (now := await house.look()) != (expected or before):
                before = now
                await trio.sleep(0.2 if expected is None else PAUSE_S)
        return await house.look()

    return story


def test_a_sender_over_tls_loses_nothing_while_actors_and_listeners_are_killed(tmp_path):
    """Every batch is taken in the end, each read counts once, and chains, evidence and flips are the undisturbed run's."""
    begun_at, for_s = time.time() - 60.0, 50.0
    posts = load(Acts(small_cluster()), begun_at, random.Random(1), for_s=for_s, every_s=for_s / POSTS)
    bodies = [each.body for each in posts]
    calm = Served(SqliteJournal(tmp_path / "calm.db"))
    expected = run(calm.run, story_of(bodies, None, None), real_time=True)
    assert calm.answers == {200: len(bodies)}
    assert expected[0] == []

    chaos, house = Chaos(1), Served(SqliteJournal(tmp_path / "chaos.db"))
    found = run(house.run, story_of(bodies, chaos, expected), real_time=True)
    sys.stdout.write(f"{chaos.figures()}, answers {dict(house.answers)}\n")
    for one, other in zip(expected, found, strict=True):
        assert ([o for o in one if o not in other], [o for o in other if o not in one]) == ([], [])
    assert house.answers[200] == len(bodies)
    names = {path.split("/")[2] for path in chaos.killed}
    assert {"pipeline", "edge"} <= names
