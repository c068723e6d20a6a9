"""HTTP/1.1 on one connection: Hypercorn's H11Protocol without its doors to other protocols, and with an honest early answer.

Differences: `Upgrade` is ignored (no websockets, no h2c: RFC 9110, 7.8 lets a server do so); prior-knowledge HTTP/2, CONNECT
and unusable targets are refused; `100 Continue` is sent when the application first asks for the body, not before it could
refuse; an answer that comes before the request's end says `connection: close`; a head goes
out with its body. Counterpart: web/listener/connection.py.
"""

from __future__ import annotations

from typing import Any, Final

import h11
from h11._state import MIGHT_SWITCH_PROTOCOL
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.events import Body, EndBody, Request, Response
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol

from web.listener.limits import Proven
from web.listener.request import Inbox, RequestStream, origin_form
from web.listener.setup import Setup

__all__ = ["Http1"]

_READ_TO_THE_END: Final = frozenset({h11.DONE, h11.MUST_CLOSE, h11.CLOSED, MIGHT_SWITCH_PROTOCOL})
"""The client's states in which nothing of its request is outstanding."""


class Http1(H11Protocol):
    """The protocol of one connection; constructed as Hypercorn's, with a Setup as the configuration."""

    config: Setup
    connection: h11.Connection
    stream: RequestStream | None
    _head = b""
    """An answer's head that waits for the first part of its body, which has been announced: they go out together."""

    async def stream_send(self, event: StreamEvent) -> None:
        """What the application answers; tells the client where the connection ends with this answer."""
        if isinstance(event, Response) and 200 <= event.status_code < 300:
            await self.send(Proven())
        if isinstance(event, Response) and event.status_code >= 200 and self._ends_with_answer():
            headers = [(name, value) for name, value in event.headers if name.lower() != b"connection"]
            event = Response(
                stream_id=event.stream_id,
                headers=[*headers, (b"connection", b"close")],
                status_code=event.status_code,
            )
        await super().stream_send(event)

    @property
    def expects_more(self) -> bool:
        """Whether the client may still be sending, so that a close at once could cost it the answer."""
        return self.connection.their_state not in _READ_TO_THE_END or bool(self.connection.trailing_data[0])

    @property
    def is_within_head(self) -> bool:
        """Whether a part of the next request's head has arrived."""
        return self.connection.their_state is h11.IDLE and bool(self.connection.trailing_data[0])

    async def farewell(self) -> None:
        """HTTP/1.1 has no word for it."""

    def _ends_with_answer(self) -> bool:
        return self.context.terminated.is_set() or self.connection.their_state not in _READ_TO_THE_END

    async def _handle_events(self) -> None:
        while True:
            try:
                event = self.connection.next_event()
            except h11.RemoteProtocolError as error:
                self.config.counters.protocol_errors += 1
                await self._refuse(error.error_status_hint)
                return
            if isinstance(event, h11.Request):
                await self.send(Updated(idle=False))
                if (status := _refusal(event)) is not None:
                    self.config.counters.refused_requests += 1
                    await self._refuse(status)
                    return
                await self._create_stream(event)
            elif event is h11.PAUSED:
                await self.can_read.clear()
                await self.can_read.wait()
            elif isinstance(event, h11.ConnectionClosed) or event is h11.NEED_DATA or self.stream is None:
                return
            elif isinstance(event, h11.Data):
                stream = self.stream
                await stream.handle(Body(stream_id=STREAM_ID, data=event.data))
                await stream.inbox.wait_room(self.config.limits.inbox_bytes)
            elif isinstance(event, h11.EndOfMessage):
                await self.stream.handle(EndBody(stream_id=STREAM_ID))

    async def _create_stream(self, request: h11.Request) -> None:
        self.stream = RequestStream(self, Inbox(self.config.counters, wanted=self._continue), STREAM_ID)
        headers: list[Any] = list(request.headers)
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=headers,
                http_version=request.http_version.decode("ascii"),
                method=request.method.decode("ascii"),  # as it is: methods are case-sensitive (RFC 9110, 9.1)
                raw_path=origin_form(request.target) or b"/",
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1

    async def _send_h11_event(self, event: Any) -> None:
        try:
            data = self.connection.send(event)
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        data, self._head = self._head + (data or b""), b""
        if isinstance(event, h11.Response) and any(name == b"content-length" for name, _ in event.headers):
            self._head = data
        else:
            await self.send(RawData(data))

    async def _continue(self) -> None:
        if self.connection.they_are_waiting_for_100_continue:
            await self._send_h11_event(h11.InformationalResponse(status_code=100, headers=[]))

    async def _refuse(self, status: int) -> None:
        if self.connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            await self._send_error_response(status)
        await self.send(Closed())


def _refusal(request: h11.Request) -> int | None:
    """The status for a request that never reaches an application."""
    if request.http_version not in (b"1.1", b"1.0"):  # HTTP/2 with prior knowledge is "PRI * HTTP/2.0"
        return 505
    if request.method == b"CONNECT":
        return 405
    return 400 if origin_form(request.target) is None else None
