"""One connection from its handshake to its close: what Hypercorn's TCPServer does, without what lets one connection end others.

Reads in one task, closes in the same one, once; the idle bound is a deadline on that task (Hypercorn's idle task is restarted
inside the application's last send, where a cancelled application leaves it undone); every send is whole or the connection ends.
Counterparts: web/listener/server.py runs it contained; http1.py and http2.py are its protocols.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import trio
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from web.listener.http1 import Http1
from web.listener.http2 import Http2
from web.listener.limits import Doorman, Proven
from web.listener.records import drained, released
from web.listener.request import App
from web.listener.setup import Setup
from web.listener.transport import Transport

__all__ = ["Connection"]

RECEIVE_BYTES: Final = 128 * 1024
"""Read at once from the socket."""
CLOSE_S: Final = 1.0
"""For the last TLS record (close_notify) and the socket's close, beside the time for lingering."""


class Connection:
    """One accepted socket. `run` returns when it is closed; whatever it raises is the caller's to contain.

    `proven` is called once, with the first answer of 200 to 299.
    """

    def __init__(
        self,
        app: App,
        setup: Setup,
        context: WorkerContext,
        sock: trio.socket.SocketType,
        tls: ssl.SSLContext | None,
        *,
        doorman: Doorman | None = None,
        proven: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        self._app = app
        self._doorman = doorman
        self._proven: Callable[[Connection], None] | None = proven
        self._setup = setup
        self._context = context
        self._transport = Transport(sock, setup.limits, setup.counters)
        self._stream: trio.abc.HalfCloseableStream | trio.SSLStream[Transport] = self._transport
        if tls is not None:  # not "https_compatible": then trio sends no close_notify at the end
            self._stream = trio.SSLStream(self._transport, tls, server_side=True)
        self._send_lock = trio.Lock()
        self._reading = trio.CancelScope()
        self._shaking_hands = trio.CancelScope()
        self._is_stopped = False
        self._is_idle = True
        self._is_aborted = False
        self._is_within_head = False
        self._protocol: Http1 | Http2 | None = None

    async def run(self) -> None:
        """Handshake, requests, close."""
        try:
            alpn = None if self._is_aborted else await self._handshake()
            if alpn is None or self._is_aborted:
                return
            async with trio.open_nursery() as nursery:
                try:
                    self._protocol = self._make_protocol(alpn, nursery)
                    await self._protocol.initiate()
                    if self._is_stopped:
                        return
                    self._reading.deadline = trio.current_time() + self._setup.limits.idle_s
                    await self._read(self._protocol)
                finally:
                    await self._end()
                    nursery.cancel_scope.deadline = trio.current_time() + self._setup.limits.request_end_s
        finally:
            await self._close()
            if isinstance(self._stream, trio.SSLStream):
                released(self._stream)

    def stop(self) -> None:
        """Ends at once if no request is in flight, else as soon as none is: what comes meanwhile, the application refuses.

        A handshake is no request. A connection that comes while the listener ends is not stopped: it ends after its first answer.
        """
        self._is_stopped = True
        self._shaking_hands.cancel()
        if self._is_idle:
            self._reading.cancel()

    def abort(self) -> None:
        """Closes the socket at once; whoever waits on it is woken."""
        self._is_aborted = True
        self._reading.cancel()
        self._transport.abort()

    async def send(self, event: Event) -> None:
        """What the protocol wants of the connection. Bytes are sent whole, whoever is cancelled meanwhile, within a bound."""
        if isinstance(event, RawData):
            if not event.data:
                return
            with trio.CancelScope(shield=True):
                async with self._send_lock:
                    try:
                        await self._stream.send_all(event.data)
                    except (trio.BrokenResourceError, trio.ClosedResourceError):
                        self._reading.cancel()
        elif isinstance(event, Closed):
            self._transport.lingers = self._protocol is not None and self._protocol.expects_more
            self._reading.cancel()
        elif isinstance(event, Updated):
            self._is_idle = event.idle
            self._reading.deadline = trio.current_time() + self._setup.limits.idle_s if event.idle else math.inf
            if event.idle and self._context.terminated.is_set():
                self._reading.cancel()
        elif isinstance(event, Proven) and self._proven is not None:
            tell, self._proven = self._proven, None
            tell(self)

    async def _handshake(self) -> str | None:
        """The protocol that was agreed on; None where there is no connection to go on with."""
        if not isinstance(self._stream, trio.SSLStream):
            return "http/1.1"
        try:
            with self._shaking_hands, trio.fail_after(self._setup.limits.handshake_s):
                await self._stream.do_handshake()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            self._setup.counters.handshake_failures += 1
            return None
        if self._shaking_hands.cancelled_caught:
            return None
        return self._stream.selected_alpn_protocol() or "http/1.1"

    def _make_protocol(self, alpn: str, nursery: trio.Nursery) -> Http1 | Http2:
        sock = self._transport.socket
        is_tls = isinstance(self._stream, trio.SSLStream)
        state: dict[str, Any] = {}
        if isinstance(self._stream, trio.SSLStream) and (shown := self._stream.getpeercert()):
            state = {
                "peer_certificate": shown,
                "tls": self._stream.context,
            }  # the context says which CA it was held against
        kind: Any = (
            Http2 if alpn == "h2" else Http1
        )  # Any: our application takes no wrapper's arguments, our tasks no apps
        protocol: Http1 | Http2 = kind(
            self._app,
            self._setup,
            self._context,
            _Tasks(nursery),
            ConnectionState(state),
            is_tls,
            parse_socket_addr(sock.family, sock.getpeername()),
            parse_socket_addr(sock.family, sock.getsockname()),
            self.send,
        )
        return protocol

    async def _read(self, protocol: Http1 | Http2) -> None:
        with self._reading:
            while True:
                try:
                    data = await self._stream.receive_some(RECEIVE_BYTES)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return
                if not data:
                    return
                if isinstance(self._stream, trio.SSLStream):
                    data = drained(self._stream, data, RECEIVE_BYTES)
                doorman, self._doorman = self._doorman, None
                if (
                    doorman is not None
                    and isinstance(protocol, Http1)
                    and await self._is_refused(doorman, data, protocol)
                ):
                    return
                await protocol.handle(RawData(bytes(data)))
                self._bound_head(protocol)
        if self._is_within_head and self._reading.cancelled_caught and trio.current_time() >= self._reading.deadline:
            self._setup.counters.slow_heads += 1

    def _bound_head(self, protocol: Http1 | Http2) -> None:
        """A head that has begun has to come to its end; the bound is set once, or a byte now and then would move it."""
        is_within, was_within = isinstance(protocol, Http1) and protocol.is_within_head, self._is_within_head
        self._is_within_head = is_within
        if is_within and not was_within and self._is_idle:
            self._reading.deadline = trio.current_time() + self._setup.limits.head_s

    async def _is_refused(self, doorman: Doorman, data: bytes | bytearray, protocol: Http1) -> bool:
        """Whether the doorman has answered, so that the connection ends. One with a certificate is not asked."""
        if protocol.connection_state.get("peer_certificate"):
            return False
        refusal = doorman(bytes(data), protocol.client)
        if refusal is None:
            return False
        answer, is_whole = refusal
        self._setup.counters.requests += 1
        self._transport.lingers = not is_whole
        await self.send(RawData(answer))
        return True

    async def _end(self) -> None:
        """Tells the client (unless it has left or was refused) and the applications, then closes."""
        with trio.CancelScope(shield=True):  # bounded: sends are, and the close is
            if self._protocol is not None:
                if self._reading.cancelled_caught and self._is_idle and not self._transport.lingers:
                    with suppress(Exception):  # the connection may be in any state; this is a courtesy
                        await self._protocol.farewell()
                await self._protocol.handle(Closed())
            await self._close()

    async def _close(self) -> None:
        bound_s = CLOSE_S + (self._setup.limits.linger_s if self._transport.lingers else 0.0)
        with (
            trio.move_on_after(bound_s, shield=True),
            suppress(trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError),
        ):
            await self._stream.aclose()
        self._transport.socket.close()


class _Tasks:
    """Hypercorn's TaskGroup as far as our protocols use it: tasks in the connection's nursery."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def spawn(self, func: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Starts a task of the connection."""
        self._nursery.start_soon(func, *args)
