"""What is fuzzed: a whole server in this process, with its pipeline, over plaintext and TLS; and what it must look like after it."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from chaos_kit import places
from edge_kit import server_tls
from small_cluster import small_cluster

from actors.cluster.model import ClusterModel
from actors.engine.ended import EndedRing
from actors.runtime import Child, SupervisorSpec, System, open_system
from actors.store import MemoryJournal
from actors.tree import Parts, pipeline, refs_of
from fuzz.cases import TOKEN
from web.credentials import Tokens
from web.guard import Guard
from web.ingest import Ingest, make_audit_app
from web.listener import BoundSocket, Limits, bind
from web.listener.actor import STOP_TIMEOUT_S, ListenerActor
from web.listener.connection import Connection
from web.listener.http1 import Http1
from web.listener.http2 import Http2
from web.listener.request import Inbox, RequestStream

__all__ = ["Target", "target"]

LIMITS = Limits(linger_s=0.2, linger_bytes=64 * 1024, drain_s=2.0, request_end_s=5.0)
SETTLE_S = 20.0
HELD = (Connection, Http1, Http2, RequestStream, Inbox)
"""What a connection is made of: none of them may be left."""


class _Settings:
    max_body_bytes = 1 << 20
    body_timeout_s = 5.0


class Target:
    """The server as the fuzzer sees it."""

    def __init__(self, system: System, sockets: dict[str, BoundSocket], guard: Guard, app: Ingest) -> None:
        self.system = system
        self.ports = {name: bound.port for name, bound in sockets.items()}
        self._sockets = sockets
        self._guard = guard
        self._app = app

    def wrong(self, *, with_actors: bool) -> list[str]:
        """What must never be, whatever was sent: each as a line. `with_actors`: a restart or a failure of one counts too."""
        found = []
        for name, bound in self._sockets.items():
            statistics = bound.statistics()
            if statistics is not None and statistics.failures:
                found.append(f"{name}: raised {statistics.failures}")
        found += [
            f"{place.path} is {place.state}, restarted {place.restarts.count} times"
            for place in (places(self.system.snapshot()) if with_actors else ())
            if place.state != "running" or place.restarts.count
        ]
        return found

    async def left(self, tasks: int, files: int) -> list[str]:
        """What is left of the connections, once all clients have gone: each as a line. `tasks`, `files`: how many there were before."""
        found: list[str] = []
        with trio.move_on_after(SETTLE_S):
            while found := self._left(tasks, files):  # noqa: ASYNC110 - what is waited for are counts, not an event
                await trio.sleep(0.05)
        gc.collect()
        kinds = Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, HELD))
        return found + [f"{count} objects of {kind}" for kind, count in kinds.items()]

    def _left(self, tasks: int, files: int) -> list[str]:
        now = {
            "connections": (sum(bound.statistics().connections for bound in self._sockets.values()), 0),  # type: ignore[union-attr]
            "unread bytes": (sum(bound.statistics().unread_bytes for bound in self._sockets.values()), 0),  # type: ignore[union-attr]
            "bytes of bodies": (self._guard.bodies.in_use, 0),
            "requests in flight": (self._app.statistics().in_flight, 0),
            "tasks": (self.tasks(), tasks),
            "files": (open_files(), files),
        }
        return [f"{count} {what}, not {wanted}" for what, (count, wanted) in now.items() if count > wanted]

    @staticmethod
    def tasks() -> int:
        """Tasks of this run of Trio that are no account's: those come and go with what was read, and are the pipeline's business."""
        accounts = 0
        waiting = [trio.lowlevel.current_root_task()]
        count = 0
        while waiting:
            task = waiting.pop()
            if task is None:
                continue
            count += 1
            accounts += "/accounts/" in task.name
            waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        return count - accounts


def open_files() -> int:
    """Descriptors of this process."""
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


@asynccontextmanager
async def target() -> AsyncIterator[Target]:
    """The server, for as long as the block lasts."""
    sockets = {"plaintext": bind("127.0.0.1", 0), "tls": bind("127.0.0.1", 0)}
    tokens = Tokens(inline=TOKEN, listener="audit", setting="PROTECTOR_INGEST_TOKEN")
    guard = Guard(tokens, rate_per_s=1e6, burst=10**6, max_body_bytes=_Settings.max_body_bytes)

    async def write(_line: str) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    parts: Any = Parts(
        journal=MemoryJournal(),
        model=ClusterModel(),
        snapshots=(small_cluster().snapshot(),),
        ended=EndedRing(),
        write=write,
        cluster_name="fuzz",
        max_observations=200,
    )
    try:
        async with open_system("protector", stop_timeout_s=10.0) as system:
            refs = refs_of(system)
            app = make_audit_app(refs.parser, refs.parser_large, refs.store, guard, _Settings(), lambda: False)
            contexts: dict[str, Any] = {"plaintext": lambda: None, "tls": server_tls().context}
            listeners = tuple(
                Child(
                    name,
                    ListenerActor,
                    (name, bound, app),
                    {"tls": contexts[name], "limits": LIMITS, "doorman": app.doorman},
                    stop_timeout_s=STOP_TIMEOUT_S,
                )
                for name, bound in sockets.items()
            )
            await system.start(pipeline(system, parts))
            await system.start(SupervisorSpec("edge", listeners))
            yield Target(system, sockets, guard, app)
    finally:
        for bound in sockets.values():
            bound.close()
