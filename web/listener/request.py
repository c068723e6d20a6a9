"""One request: what has arrived of it, and the application that answers it.

Hypercorn's HTTPStream does the answering side; the arriving side is ours. Its own (a queue of events per request) blocks the
connection's reader when the application does not read, deadlocks when the application answers early, and grows with the
number of frames rather than of bytes. Counterparts: web/listener/http1.py and http2.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import trio
from hypercorn.protocol.events import Body, EndBody, Event, Request, StreamClosed
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream

from web.listener.limits import ClientGone, Counters, contained
from web.listener.setup import Setup

__all__ = ["App", "Inbox", "RequestStream", "origin_form"]

App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI 3 application."""


def origin_form(target: bytes) -> bytes | None:
    """The path and query of a request target; of an absolute one (RFC 9112, 3.2.2) what follows the authority. Else None."""
    if target.startswith((b"http://", b"https://")):
        rest = target.partition(b"://")[2]
        slash, query = rest.find(b"/"), rest.find(b"?")
        is_bare = slash < 0 or 0 <= query < slash
        target = b"/" + (rest[query:] if query >= 0 else b"") if is_bare else rest[slash:]
    return target if target.startswith(b"/") and target.isascii() else None


class Inbox:
    """Bytes of one request's body between the connection's reader and the application.

    Bounded by its callers: HTTP/1.1 waits for room before it reads on, HTTP/2 credits the window only for what was taken.
    `weight` is what was received in terms of flow control (padding included). `taken(weight)` is awaited after each take,
    `wanted()` before the first.
    """

    def __init__(
        self,
        counters: Counters,
        *,
        taken: Callable[[int], Awaitable[None]] | None = None,
        wanted: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._counters = counters
        self._taken = taken
        self._wanted = wanted
        self._parts: list[bytes | bytearray] = []
        """As they came: a body is half a megabyte, and each time that it is copied shows."""
        self._size = 0
        self._weight = 0
        self._is_complete = self._is_told = self._is_gone = self._is_finished = False
        self._arrived = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()

    def put(self, data: bytes | bytearray, weight: int) -> bool:
        """Takes a part of the body in; False where nobody wants it any more."""
        if self._is_finished or self._is_gone:
            return False
        self._parts.append(data)
        self._size += len(data)
        self._weight += weight
        self._counters.unread_bytes += weight
        self._arrived.unpark_all()
        return True

    async def wait_room(self, bound: int) -> None:
        """Waits until less than `bound` bytes are here, or nobody wants any."""
        while self._size >= bound and not (self._is_finished or self._is_gone):
            await self._room.park()

    def complete(self) -> None:
        """The body is whole."""
        self._is_complete = True
        self._arrived.unpark_all()

    def disconnect(self) -> None:
        """The client has left, or the answer is out: the application hears of it next, a whole body that is here first."""
        self._is_gone = True
        self._arrived.unpark_all()
        self._room.unpark_all()

    async def finish(self) -> None:
        """Nobody will take anything more: throws away what is here, and counts it as taken."""
        self._is_finished = True
        weight, self._weight = self._weight, 0
        self._counters.unread_bytes -= weight
        self._parts, self._size = [], 0
        self._arrived.unpark_all()
        self._room.unpark_all()
        if self._taken is not None and weight:
            await self._taken(weight)

    async def receive(self) -> dict[str, Any]:
        """ASGI's receive: everything that is here in one event."""
        if self._wanted is not None and not self._is_complete:
            wanted, self._wanted = self._wanted, None
            await wanted()
        while True:
            is_whole = self._is_complete and not self._is_told
            if is_whole or (self._size and not self._is_gone):
                body = b"".join(self._parts)
                self._parts, self._size = [], 0
                weight, self._weight = self._weight, 0
                self._counters.unread_bytes -= weight
                self._is_told = self._is_complete
                self._room.unpark_all()
                if self._taken is not None and weight:
                    await self._taken(weight)
                return {"type": "http.request", "body": body, "more_body": not self._is_told}
            if self._is_gone or self._is_finished:
                return {"type": "http.disconnect"}
            await self._arrived.park()


class RequestStream(HTTPStream):
    """Hypercorn's HTTPStream with our inbox, the application isolated, and the final send shielded.

    The shield is here, in one place, for every application: quart-trio cancels its own handler as soon as it hears that the
    answer is out, which is in the middle of the final send; whatever the connection has still to do then must be done.
    """

    def __init__(self, protocol: Any, inbox: Inbox, stream_id: int) -> None:
        super().__init__(
            protocol.app,
            protocol.config,
            protocol.context,
            protocol.task_group,
            protocol.ssl,
            protocol.client,
            protocol.server,
            protocol.stream_send,
            stream_id,
        )
        self._application: App = protocol.app  # plain ASGI, where Hypercorn's wrapper takes two arguments more
        self.inbox = inbox
        self._setup: Setup = protocol.config

    async def handle(self, event: Event) -> None:
        """What the connection has read of this request."""
        if self.closed:
            return
        if isinstance(event, Request):
            self._open(event)
        elif isinstance(event, Body):
            self.inbox.put(event.data, len(event.data))
        elif isinstance(event, EndBody):
            self.inbox.complete()
        elif isinstance(event, StreamClosed):
            self.closed = True
            self.inbox.disconnect()

    def _open(self, request: Request) -> None:
        path, _, query = request.raw_path.partition(b"?")
        self.start_time = 0.0  # for the access log, which is off: it copies the environment for every request
        self.scope = {
            "type": "http",
            "http_version": request.http_version,
            "asgi": {"spec_version": "2.1", "version": "3.0"},
            "method": request.method,
            "scheme": self.scheme,
            "path": unquote(path.decode("ascii")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": request.headers,
            "client": self.client,
            "server": self.server,
            "state": request.state.copy(),  # type: ignore[typeddict-item]  # as Hypercorn does: a copy for each request
            "extensions": {},
        }
        self._setup.counters.requests += 1
        self.task_group.spawn(self._run_app)

    async def _run_app(self) -> None:
        try:
            with contained(self._setup.counters, of="request", listener=self._setup.listener):
                await self._application(self.scope, self.inbox.receive, self.app_send)
        finally:
            with trio.CancelScope(shield=True):  # bounded: every send below it is
                await self.inbox.finish()
                await self.app_send(None)

    async def app_send(self, message: Any) -> None:
        """ASGI's send; None when the application has ended. Raises ClientGone once the client has left."""
        if message is None:
            await super().app_send(None)
            return
        if self.closed and self.state is not ASGIHTTPState.CLOSED:
            await trio.lowlevel.checkpoint()  # or an application that only ever sends would never let go
            raise ClientGone("the client has left")
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        with trio.CancelScope(shield=is_last):
            await super().app_send(message)
