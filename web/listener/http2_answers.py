"""The answering half of HTTP/2 on one connection: what the applications send, in turn, as far as the peer's windows allow.

An answer is complete on the wire before its stream counts as closed (Hypercorn closes the connection under it while draining);
an answer before the request's end leaves the client some time and bytes to end it, then comes RST_STREAM NO_ERROR (RFC 9113,
8.1); one that is never completed ends in a reset, never in something that looks whole. Counterpart: web/listener/http2.py.
"""

from __future__ import annotations

from typing import Any, Final

import h2.errors
import h2.exceptions
import priority
import trio
from hypercorn.events import Closed, Updated
from hypercorn.protocol.events import Body, EndBody, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, BufferCompleteError, H2Protocol, StreamBuffer

from web.listener.limits import Proven
from web.listener.request import RequestStream
from web.listener.setup import Setup

__all__ = ["Http2Answers"]

_OF_HTTP1: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""Headers that HTTP/2 does not have (RFC 9113, 8.2.2)."""


class Http2Answers(H2Protocol):
    """Hypercorn's protocol with its sending side replaced; constructed as Hypercorn's, with a Setup as the configuration."""

    config: Setup
    streams: dict[int, RequestStream]  # type: ignore[assignment]  # Hypercorn's may be websockets as well

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._receiving: set[int] = set()
        """Streams whose request is not whole yet."""
        self._lingering: dict[int, int] = {}
        """Those of them that are answered: how many bytes are still taken (some clients read only after they have sent)."""
        self._over = trio.Event()
        self._answered: dict[int, trio.Event] = {}
        """Streams whose answer is on its way; the event is set when it is on the wire, or never will be."""
        self._leaves = False
        """Whether an answer said `connection: close`: no further request is taken, and the connection ends once nothing is in
        flight any more, or when the bound for that is over."""
        self._newest = 0

    async def farewell(self) -> None:
        """Tells the client that the connection ends and up to which stream its requests were taken.

        Only once nothing is in flight: h2 sends nothing after it, and clients that use h2 understand nothing after it.
        """
        self.connection.close_connection(last_stream_id=self._newest)
        await self._flush()

    async def stream_send(self, event: StreamEvent) -> None:
        """What an application answers. Of a stream that is gone from the wire nothing is sent any more."""
        stream_id = event.stream_id
        if isinstance(event, StreamClosed):
            await self._finished(stream_id)
            return
        buffer = self.stream_buffers.get(stream_id)
        if buffer is None:
            return
        if isinstance(event, Response):
            headers = [(name, value) for name, value in event.headers if name.lower() not in _OF_HTTP1]
            if any(name.lower() == b"connection" and value.lower() == b"close" for name, value in event.headers):
                self._leave()
            if 200 <= event.status_code < 300:
                await self.send(Proven())
            status = (b":status", b"%d" % event.status_code)
            try:
                self.connection.send_headers(stream_id, [status, *headers, *self.config.response_headers("h2")])
            except h2.exceptions.ProtocolError:
                await self._drop_buffer(stream_id)
            await self.has_data.set()  # sent with the first part of the body, or at the sender's next turn
        elif isinstance(event, Body):
            for start in range(0, len(event.data), BUFFER_HIGH_WATER):
                with trio.move_on_after(self.config.limits.send_s) as bound:
                    await self._push(stream_id, buffer, event.data[start : start + BUFFER_HIGH_WATER])
                if bound.cancelled_caught:
                    await self._cut_slow_reader(stream_id)
                    return
        elif isinstance(event, EndBody):
            self._answered[stream_id] = on_the_wire = trio.Event()
            buffer.set_complete()
            self.priority.unblock(stream_id)
            await self.has_data.set()
            with trio.move_on_after(self.config.limits.send_s) as bound:
                await on_the_wire.wait()
            if bound.cancelled_caught:
                await self._cut_slow_reader(stream_id)

    async def _push(self, stream_id: int, buffer: StreamBuffer, data: bytes) -> None:
        if stream_id not in self.stream_buffers:
            return  # the stream ended on the wire while an earlier part was waiting
        self.priority.unblock(stream_id)
        await self.has_data.set()
        try:
            await buffer.push(data)
        except BufferCompleteError:
            return  # the stream ended on the wire while this part was waiting

    async def _cut_slow_reader(self, stream_id: int) -> None:
        self.config.counters.slow_readers += 1
        self._reset(stream_id, h2.errors.ErrorCodes.CANCEL)
        await self._abandon(stream_id)
        await self.has_data.set()

    def _received(self, stream_id: int) -> None:
        """Nothing of the request is outstanding any more."""
        self._receiving.discard(stream_id)
        self._lingering.pop(stream_id, None)

    async def _linger(self, stream_id: int) -> None:
        """Gives a client that is answered some time to end its request, then ends it."""
        with trio.move_on_after(self.config.limits.linger_s):
            await self._over.wait()
        if stream_id in self._lingering:
            self._reset(stream_id, h2.errors.ErrorCodes.NO_ERROR)
            await self.has_data.set()

    def _reset(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
        self._received(stream_id)
        try:
            self.connection.reset_stream(stream_id, code)
        except h2.exceptions.ProtocolError:
            return  # it, or the connection, is over already

    async def _finished(self, stream_id: int) -> None:
        """The application is done with this stream."""
        stream = self.streams.get(stream_id)
        await self._close_stream(stream_id)
        if stream is not None:
            await stream.inbox.finish()
        if stream_id in self.stream_buffers:  # its answer was never completed
            self._reset(stream_id, h2.errors.ErrorCodes.INTERNAL_ERROR)
            await self._drop_buffer(stream_id)
        await self.has_data.set()
        await self._check_idle()

    async def _check_idle(self) -> None:
        if self.streams:
            return  # another batch of the same sender may be on its way: no answer ends more than its own stream
        if self._leaves:
            await self._end()
        else:
            await self.send(Updated(idle=True))

    def _leave(self) -> None:
        if not self._leaves:
            self._leaves = True
            self.task_group.spawn(self._end_in_time)

    async def _end_in_time(self) -> None:
        """The bound on what is in flight on a connection that ends."""
        with trio.move_on_after(self.config.limits.drain_s):
            await self._over.wait()
        if not self._over.is_set():
            await self._end()

    async def _end(self) -> None:
        await self.farewell()
        await self.send(Closed())

    async def send_task(self) -> None:
        """Sends what the streams have, in turn, as far as the peer's windows allow."""
        try:
            while not self.closed:
                await self._flush()
                try:
                    stream_id = next(self.priority)
                except priority.DeadlockError:  # type: ignore[attr-defined]  # exported by the package, not listed in its __all__
                    await self.has_data.wait()
                    await self.has_data.clear()
                else:
                    await self._send_data(stream_id)
        finally:
            for event in self._answered.values():
                event.set()

    async def _send_data(self, stream_id: int) -> None:
        buffer = self.stream_buffers[stream_id]
        try:
            window = self.connection.local_flow_control_window(stream_id)
            data = await buffer.pop(max(0, min(window, self.connection.max_outbound_frame_size)))
            is_last = buffer.complete
            if data or is_last:
                self.connection.send_data(stream_id, data, end_stream=is_last)
            else:
                self.priority.block(stream_id)
            if is_last and stream_id in self._receiving:
                self._lingering[stream_id] = self.config.limits.linger_bytes
                self.task_group.spawn(self._linger, stream_id)
        except h2.exceptions.ProtocolError:
            is_last = True  # the stream is over on the wire
        await self._flush()
        if is_last:
            await self._drop_buffer(stream_id)

    async def _drop_buffer(self, stream_id: int) -> None:
        buffer = self.stream_buffers.pop(stream_id, None)
        if buffer is not None:
            await buffer.close()
            self.priority.remove_stream(stream_id)
        on_the_wire = self._answered.pop(stream_id, None)
        if on_the_wire is not None:
            on_the_wire.set()

    async def _abandon(self, stream_id: int) -> None:
        """The stream is over on the wire; its application hears that the client has left."""
        self._received(stream_id)
        await self._close_stream(stream_id)
        await self._drop_buffer(stream_id)
        await self._check_idle()
