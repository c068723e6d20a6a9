"""Real sockets for the tests of the edge: a served application, raw clients, and a small HTTP/2 client that does as it is told."""

from __future__ import annotations

import atexit
import functools
import shutil
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import h11
import httpx
import trio
from hyperframe.frame import Frame, SettingsFrame

from web.listener import BoundSocket, Limits, Listener, bind
from web.listener.limits import Doorman
from web.tls import ServerTls

PATIENCE_S = 20.0
"""No single step of a test may take longer; reached only by a failure."""


@functools.cache
def server_tls() -> ServerTls:
    """One self-made certificate for all tests of this process."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return ServerTls(state_dir=Path(folder), now=time.time())


def client_tls(*alpn: str) -> ssl.SSLContext:
    """What a sender has: the CA alone, verified as strictly as Python 3.13 does by default."""
    context = ssl.create_default_context(cafile=str(server_tls().files.ca))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@dataclass
class Served:
    """A listener that runs, and how to reach it."""

    listener: Listener
    bound: BoundSocket
    tls: bool
    opened: list[trio.abc.Stream] = field(default_factory=list)
    """Raw connections, closed when the test is over."""

    @property
    def port(self) -> int:
        return self.bound.port

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}"

    def httpx(self, *, http2: bool = False, **kwargs: Any) -> httpx.AsyncClient:
        verify = client_tls() if self.tls else True
        return httpx.AsyncClient(base_url=self.url, http2=http2, verify=verify, timeout=PATIENCE_S, **kwargs)

    async def connect(self, *alpn: str, context: ssl.SSLContext | None = None) -> trio.abc.Stream:
        """A raw connection, through the handshake where there is one."""
        tcp = await self.connect_tcp()
        if not self.tls:
            return tcp
        context = context or client_tls(*alpn)
        stream = trio.SSLStream(tcp, context, server_hostname="localhost", https_compatible=True)
        await stream.do_handshake()
        return stream

    async def connect_tcp(self) -> trio.SocketStream:
        """The same without TLS, whatever the server expects."""
        tcp = await trio.open_tcp_stream("127.0.0.1", self.port)
        self.opened.append(tcp)
        return tcp

    async def settled(self, is_so: Callable[[], bool]) -> None:
        """Waits until the server's side has caught up with what the client did."""
        with trio.fail_after(PATIENCE_S):
            while not is_so():
                await trio.lowlevel.checkpoint()


@asynccontextmanager
async def served(
    app: Any,
    *,
    tls: bool | Callable[[], ssl.SSLContext] = True,
    limits: Limits | None = None,
    name: str = "test",
    doorman: Doorman | None = None,
) -> AsyncIterator[Served]:
    """Serves `app` on a free port; at the end the listener is drained, and nothing of it may be left.

    `tls`: a context of the test's own for each connection, True for the kit's, False for plaintext.
    """
    bound = bind("127.0.0.1", 0)
    context = tls if callable(tls) else server_tls().context if tls else lambda: None
    listener = Listener(name, app, tls=context, limits=limits or Limits(drain_s=0.2, linger_s=1.0), doorman=doorman)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(listener.serve_connections, bound)
            server = Served(listener, bound, bool(tls))
            try:
                with trio.fail_after(60):
                    yield server
            finally:
                for stream in server.opened:
                    await trio.aclose_forcefully(stream)
                with trio.move_on_after(15, shield=True) as in_time:
                    await listener.drain()
                assert not in_time.cancelled_caught, "the listener did not end"
            nursery.cancel_scope.cancel()
        assert listener.statistics().connections == 0
        assert listener.statistics().unread_bytes == 0
    finally:
        bound.close()


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the number of bytes that it was sent."""
    if scope["type"] != "http":
        raise TypeError("http only")
    count = 0
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return
        count += len(event["body"])
        if not event["more_body"]:
            break
    await respond(send, 200, str(count).encode())


async def respond(send: Any, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """A whole answer."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


def refuse_early(status: int = 401) -> Callable[[Any, Any, Any], Awaitable[None]]:
    """An application that answers /early without reading and echoes everything else."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/early":
            await respond(send, status, b"no")
        else:
            await echo(scope, receive, send)

    return app


def post(path: str, *, length: int | None = None, body: bytes = b"", headers: str = "") -> bytes:
    """A request head with as much of its body as given; `length`: the Content-Length, else that of the body."""
    length = len(body) if length is None else length
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n".encode() + body


async def response(stream: trio.abc.Stream) -> tuple[int, dict[bytes, bytes], bytes]:
    """The next HTTP/1.1 answer on the connection. (0, {}, b"") where it ended without one."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "localhost")]))
    client.send(h11.EndOfMessage())
    status, headers, body = 0, {}, b""
    with trio.fail_after(PATIENCE_S):
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                try:
                    data = await stream.receive_some(65536)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return status, headers, body
                if not data and status == 0:
                    return status, headers, body
                client.receive_data(bytes(data))
            elif isinstance(event, h11.Response):
                status, headers = event.status_code, dict(event.headers)
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                return status, headers, body


async def ended(stream: trio.abc.Stream) -> bool:
    """Reads until the server ends the connection, however it does; fails after PATIENCE_S."""
    with trio.fail_after(PATIENCE_S):
        try:
            while await stream.receive_some(65536):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
    return True


@dataclass
class H2Stream:
    """What the server said on one stream."""

    status: int = 0
    body: bytes = b""
    done: trio.Event = field(default_factory=trio.Event)
    reset: int | None = None


class H2Client:
    """One HTTP/2 connection. `streams` is filled by `run`, which reads until the connection ends."""

    def __init__(self, stream: trio.abc.Stream, *, window: int | None = None) -> None:
        self._stream = stream
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        if window is not None:
            self.h2.local_settings = h2.settings.Settings(
                client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
            )
        self.h2.initiate_connection()
        self.streams: dict[int, H2Stream] = {}
        self.goaway: h2.events.ConnectionTerminated | None = None
        self.ended = trio.Event()
        self._moved = trio.lowlevel.ParkingLot()
        self._sending = trio.Lock()

    async def run(self) -> None:
        await self.flush()
        try:
            while data := await self._stream.receive_some(65536):
                for event in self.h2.receive_data(bytes(data)):
                    self._take(event)
                self._moved.unpark_all()
                await self.flush()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        self.ended.set()
        self._moved.unpark_all()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event
            return
        stream = self.streams.get(getattr(event, "stream_id", None) or -1)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.status = int(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if event.stream_ended is None and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.done.set()
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = int(event.error_code)
            stream.done.set()

    async def flush(self) -> None:
        async with self._sending:
            if data := self.h2.data_to_send():
                await self._stream.send_all(data)

    async def open(self, path: str, *, method: str = "POST", end: bool = False, **headers: str) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        self.streams[stream_id] = H2Stream()
        pseudo = [(":method", method), (":path", path), (":scheme", "https"), (":authority", "localhost")]
        self.h2.send_headers(stream_id, [*pseudo, *headers.items()], end_stream=end)
        await self.flush()
        return stream_id

    async def send(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Sends as the windows allow."""
        view = memoryview(data)
        with trio.fail_after(PATIENCE_S):
            while view:
                room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size, len(view))
                if room <= 0:
                    await self._moved.park()
                    continue
                self.h2.send_data(stream_id, bytes(view[:room]), end_stream=end and room == len(view))
                view = view[room:]
                await self.flush()

    async def answer(self, stream_id: int) -> H2Stream:
        with trio.fail_after(PATIENCE_S):
            await self.streams[stream_id].done.wait()
        return self.streams[stream_id]


@asynccontextmanager
async def h2_client(
    served: Served, *, window: int | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[H2Client]:
    """An HTTP/2 connection to a TLS listener, read in the background."""
    stream = await served.connect("h2", context=context)
    client = H2Client(stream, window=window)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.run)
            try:
                yield client
            finally:
                nursery.cancel_scope.cancel()  # and nothing awaited here: it would be cancelled, and hide what the test raised
    finally:
        await trio.aclose_forcefully(stream)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


async def h2_said(
    served: Served, data: bytes, *, preface: bytes = PREFACE + SettingsFrame().serialize()
) -> list[Frame]:
    """The frames that the server answers such bytes with, whatever they are, on a connection of their own, until it ends."""
    stream = await served.connect("h2")
    received = bytearray()

    async def send() -> None:
        try:
            await stream.send_all(preface + data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the server has heard enough

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            try:
                while part := await stream.receive_some(65536):
                    received += part
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            nursery.cancel_scope.cancel()
    await trio.aclose_forcefully(stream)
    return parsed_frames(bytes(received))


def parsed_frames(data: bytes) -> list[Frame]:
    """Whole frames of these bytes."""
    found: list[Frame] = []
    while len(data) >= 9:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + length]))
        found.append(frame)
        data = data[9 + length :]
    return found
