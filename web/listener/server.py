"""A listener without the actor: bound sockets, the accept loop, the table of connections, draining.

`BoundSocket` is made once, outside every supervised part, so that a listener that is started anew refuses no connection: the
kernel holds them until the next accept. Counterparts: web/listener/actor.py supervises; web/app.py binds.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.worker_context import WorkerContext

from web.listener.census import Census
from web.listener.connection import Connection
from web.listener.limits import Counters, Doorman, Limits, ListenerStatistics, contained
from web.listener.request import App
from web.listener.setup import Setup

__all__ = ["BACKLOG", "BoundSocket", "Listener", "bind"]

BACKLOG: Final = 512
"""Connections that the kernel holds for us, also while a listener is started anew. Overflow: the kernel lets them try again."""
ACCEPT_PAUSE_S: Final = 0.1
"""Pause of the accept loop where the process or the machine has no room for another socket."""
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_GONE: Final = frozenset(
    {
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.EHOSTDOWN,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,
    }
)
"""What accept(2) says of a connection that ended before it was accepted: nothing about the listening socket."""

log = structlog.get_logger(__name__)


class BoundSocket:
    """Listening sockets for one address (several where a name has several). Outlives the listeners that accept from it."""

    def __init__(self, sockets: tuple[socket.socket, ...]) -> None:
        self.sockets = sockets
        self._listener: Listener | None = None

    def accepted_by(self, listener: Listener) -> None:
        """From now on this one accepts from here."""
        self._listener = listener

    def statistics(self) -> ListenerStatistics | None:
        """Of the listener that accepts from here, or did last; None before the first."""
        return None if self._listener is None else self._listener.statistics()

    @property
    def addresses(self) -> tuple[str, ...]:
        """`host:port` of each, as bound."""
        return tuple(_shown(sock) for sock in self.sockets)

    @property
    def port(self) -> int:
        """The port, also where 0 was asked for."""
        return int(self.sockets[0].getsockname()[1])

    def close(self) -> None:
        """From here on connections are refused."""
        for sock in self.sockets:
            sock.close()


def _shown(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(host: str, port: int) -> BoundSocket:
    """Binds and listens. Raises OSError where the address cannot be had."""
    found: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            sock = socket.socket(family, kind, protocol)
            found.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # "::" alone means every address of both families; a name that has both gets a socket for each.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
            sock.bind((address[0], port or (found[0].getsockname()[1] if len(found) > 1 else 0), *address[2:]))
            sock.listen(BACKLOG)
    except OSError:
        for sock in found:
            sock.close()
        raise
    return BoundSocket(tuple(found))


class Listener:
    """One run of one listener: `serve_connections` until `drain`, or until it is cancelled.

    `tls` gives the context for the next connection (None: plaintext). `doorman` refuses by a connection's first bytes.
    Whatever one connection raises ends that one alone.
    """

    def __init__(
        self,
        name: str,
        app: App,
        *,
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
        limits: Limits | None = None,
        doorman: Doorman | None = None,
    ) -> None:
        self.name = name
        self.limits = limits or Limits()
        self._app = app
        self._tls = tls
        self._counters = Counters()
        self._setup = Setup(name, self.limits, self._counters)
        self._context = WorkerContext(None)
        self._doorman = doorman
        self._census = Census(self.limits, self._counters)
        self._stop = trio.Event()
        self._ready = trio.Event()
        self._ended = trio.Event()
        self._closed = trio.lowlevel.ParkingLot()
        self._addresses: tuple[str, ...] = ()
        self._is_tls = False

    @property
    def is_draining(self) -> bool:
        """Whether it ends as soon as what was in flight is answered."""
        return self._stop.is_set()

    async def serve_connections(
        self, bound: BoundSocket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accepts from `bound` and serves until `drain` is done.

        Resource handling: every connection is closed when this returns or raises; `bound` never is.
        Error handling: what a connection or a request raises is counted; what the accept loop or the application's
        start raises comes out of here.
        """
        bound.accepted_by(self)
        self._addresses = bound.addresses
        self._is_tls = self._tls() is not None
        try:
            async with trio.open_nursery() as lifespan_nursery:
                lifespan = Lifespan(ASGIWrapper(self._app), self._setup, {})
                await lifespan_nursery.start(lifespan.handle_lifespan)
                await lifespan.wait_for_startup()
                await self._serve(bound, task_status)
                await lifespan.wait_for_shutdown()
                lifespan_nursery.cancel_scope.cancel()
        finally:
            self._ready.set()
            self._ended.set()

    async def _serve(self, bound: BoundSocket, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as connections:
            try:
                async with trio.open_nursery() as accepting:
                    for sock in bound.sockets:
                        listening = trio.socket.from_stdlib_socket(sock)
                        accepting.start_soon(self._accept, listening, connections)
                    self._ready.set()
                    task_status.started()
                    await self._stop.wait()
                    with trio.move_on_after(self.limits.drain_s):
                        # Who connects meanwhile is served (by ingest: 503 and Retry-After), but never waited for.
                        waited_for = frozenset(self._census.connections)
                        for connection in waited_for:
                            connection.stop()
                        while not waited_for.isdisjoint(self._census.connections):
                            await self._closed.park()
                    accepting.cancel_scope.cancel()
            finally:
                for connection in list(self._census.connections):
                    connection.abort()
                connections.cancel_scope.cancel()

    async def wait_ready(self) -> None:
        """Waits until connections are accepted, or `serve_connections` has ended."""
        await self._ready.wait()

    async def drain(self) -> None:
        """Closes what has no request in flight, lets the rest end within `limits.drain_s`, cuts what is left then.

        Until then new connections are accepted, so that they are answered. Returns when all is closed.
        """
        await self._context.terminated.set()
        self._stop.set()
        await self._ended.wait()

    async def _accept(self, listening: trio.socket.SocketType, connections: trio.Nursery) -> None:
        while True:
            try:
                sock, address = await listening.accept()
            except OSError as error:
                if error.errno not in _NO_ROOM | _GONE:
                    raise
                self._counters.accept_errors += 1
                if error.errno in _NO_ROOM:
                    log.error("no room for another connection", listener=self.name, why=error.strerror)
                    await trio.sleep(ACCEPT_PAUSE_S)
                continue
            self._admit(sock, str(address[0]), connections)

    def _admit(self, sock: trio.socket.SocketType, peer: str, connections: trio.Nursery) -> None:
        if not self._census.makes_room(peer):
            sock.close()
            return
        connection = Connection(
            self._app, self._setup, self._context, sock, self._tls(), doorman=self._doorman, proven=self._census.prove
        )
        self._census.add(connection, peer)
        connections.start_soon(self._run, connection)

    async def _run(self, connection: Connection) -> None:
        try:
            with contained(self._counters, of="connection", listener=self.name):
                await connection.run()
        finally:
            self._census.remove(connection)
            self._closed.unpark_all()

    def statistics(self) -> ListenerStatistics:
        """Connections now and so far, what was refused and why, what failed by type."""
        counts = dict(vars(self._counters))
        counts["failures"] = dict(self._counters.failures)
        return ListenerStatistics(
            name=self.name,
            addresses=self._addresses,
            tls=self._is_tls,
            draining=self.is_draining,
            connections=self._census.count,
            **counts,
        )
