"""HTTP/2 on one connection: Hypercorn's H2Protocol with flow control by stream and every early end stated to the client.

Differences: only what the application took is credited to a stream, and no stream's unread bytes stall the others, because the
connection's window holds all streams' windows; an answer before the request's end is followed by RST_STREAM NO_ERROR (RFC 9113,
8.1) and the connection lives on; an answer is complete on the wire before its stream counts as closed; priorities (deprecated
by RFC 9113, 5.3) and CONNECT are refused; floods of control frames end the connection. Counterpart: web/listener/connection.py.
"""

from __future__ import annotations

from typing import Any, Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import priority
import trio
from hypercorn.events import Closed, RawData, Updated
from hypercorn.events import Event as WireEvent
from hypercorn.protocol.events import Body, EndBody, Request, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, BufferCompleteError, H2Protocol, StreamBuffer
from hypercorn.utils import filter_pseudo_headers

from web.listener.request import Inbox, RequestStream, origin_form
from web.listener.setup import Setup

__all__ = ["FRAME_BYTES", "Http2"]

FRAME_BYTES: Final = 64 * 1024
"""Largest frame that we take, told to the peer: a batch is a few frames instead of dozens, each of which costs Python code."""
CONTROL_BURST_S: Final = 10.0
"""How many seconds' worth of control frames (Limits.resets_per_s) may come at once."""
_DEFAULT_WINDOW: Final = 65_535
"""The connection's window before it is widened (RFC 9113, 6.9.2)."""
_OF_HTTP1: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
"""Headers that HTTP/2 does not have (RFC 9113, 8.2.2)."""
_CONTROL: Final = (
    h2.events.StreamReset,
    h2.events.PingReceived,
    h2.events.RemoteSettingsChanged,
    h2.events.PriorityUpdated,
)


class Http2(H2Protocol):
    """The protocol of one connection; constructed as Hypercorn's, with a Setup as the configuration."""

    config: Setup
    streams: dict[int, RequestStream]  # type: ignore[assignment]  # Hypercorn's may be websockets as well

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        limits = self.config.limits
        self.connection = h2.connection.H2Connection(
            config=h2.config.H2Configuration(client_side=False, header_encoding=None)
        )
        self.connection.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: limits.headers_bytes,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: limits.window_bytes,
                h2.settings.SettingCodes.MAX_FRAME_SIZE: FRAME_BYTES,
            },
        )
        self.connection.max_inbound_frame_size = FRAME_BYTES
        self._receiving: set[int] = set()
        """Streams whose request is not whole yet."""
        self._answered: dict[int, trio.Event] = {}
        """Streams whose answer is on its way; the event is set when it is on the wire, or never will be."""
        self._control_room = limits.resets_per_s * CONTROL_BURST_S
        self._control_at = trio.current_time()
        self._newest = 0

    @property
    def expects_more(self) -> bool:
        """Always: where we end the connection, the client should still be able to read why."""
        return True

    async def initiate(self, _headers: Any = None, _settings: Any = None) -> None:
        """The preface: settings, and a window for the connection that holds every stream's."""
        limits = self.config.limits
        self.connection.initiate_connection()
        window = limits.streams * limits.window_bytes
        if window > _DEFAULT_WINDOW:
            self.connection.increment_flow_control_window(window - _DEFAULT_WINDOW)
        await self._flush()
        self.task_group.spawn(self.send_task)

    async def farewell(self) -> None:
        """Tells the client that the connection ends and up to which stream its requests were taken.

        Only once nothing is in flight: h2 sends nothing after it, and clients that use h2 understand nothing after it.
        """
        self.connection.close_connection(last_stream_id=self._newest)
        await self._flush()

    # --- what arrives ----------------------------------------------------------------------------------------------

    async def handle(self, event: WireEvent) -> None:
        """Bytes from the peer, or the connection's end."""
        if isinstance(event, RawData):
            try:
                events = self.connection.receive_data(event.data)
            except h2.exceptions.ProtocolError:
                self.config.counters.protocol_errors += 1
                await self._flush()
                await self.send(Closed())
                return
            await self._handle_events(events)
        elif isinstance(event, Closed):
            self.closed = True
            for stream_id in list(self.streams):
                await self._close_stream(stream_id)
            for stream_id in list(self.stream_buffers):
                await self._drop_buffer(stream_id)
            await self.has_data.set()

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, _CONTROL) and not self._control_frame_allowed():
                self.config.counters.floods += 1
                self.connection.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
                await self._flush()
                await self.send(Closed())
                return
            if isinstance(event, h2.events.RequestReceived):
                await self._request(event)
            elif isinstance(event, h2.events.DataReceived):
                await self._data(event)
            elif isinstance(event, h2.events.StreamEnded):
                self._receiving.discard(event.stream_id)
                if event.stream_id in self.streams:
                    await self.streams[event.stream_id].handle(EndBody(stream_id=event.stream_id))
            elif isinstance(event, h2.events.StreamReset):
                self.config.counters.resets += 1
                await self._abandon(event.stream_id)
            elif isinstance(event, h2.events.WindowUpdated):
                await self._window_updated(event.stream_id)
            elif isinstance(event, h2.events.RemoteSettingsChanged):
                if h2.settings.SettingCodes.INITIAL_WINDOW_SIZE in event.changed_settings:
                    await self._window_updated(None)
            elif isinstance(event, h2.events.ConnectionTerminated):
                await self.send(Closed())
        await self._flush()

    def _control_frame_allowed(self) -> bool:
        rate, now = self.config.limits.resets_per_s, trio.current_time()
        self._control_room = min(rate * CONTROL_BURST_S, self._control_room + (now - self._control_at) * rate) - 1
        self._control_at = now
        return self._control_room >= 0

    async def _request(self, event: h2.events.RequestReceived) -> None:
        stream_id = event.stream_id
        self._newest = stream_id
        if event.stream_ended is None:
            self._receiving.add(stream_id)
        headers: list[Any] = list(event.headers)
        pseudo = {name: value for name, value in headers if name.startswith(b":")}
        path, method = origin_form(pseudo.get(b":path", b"")), pseudo.get(b":method", b"")
        if path is None or method == b"CONNECT" or not method.isascii():
            self.config.counters.refused_requests += 1
            status = b"405" if method == b"CONNECT" else b"400"
            self.connection.send_headers(stream_id, [(b":status", status)], end_stream=True)
            if stream_id in self._receiving:
                self._receiving.discard(stream_id)
                self.connection.reset_stream(stream_id)
            return
        await self.send(Updated(idle=False))

        async def taken(weight: int) -> None:
            self.connection.acknowledge_received_data(weight, stream_id)
            await self.has_data.set()

        self.streams[stream_id] = stream = RequestStream(self, Inbox(self.config.counters, taken=taken), stream_id)
        self.stream_buffers[stream_id] = StreamBuffer(self.context.event_class)
        self.priority.insert_stream(stream_id)
        self.priority.block(stream_id)
        await stream.handle(
            Request(
                stream_id=stream_id,
                headers=filter_pseudo_headers(headers),
                http_version="2",
                method=method.decode("ascii").upper(),
                raw_path=path,
                state=self.connection_state,
            )
        )

    async def _data(self, event: h2.events.DataReceived) -> None:
        stream_id, weight = event.stream_id, event.flow_controlled_length
        stream = self.streams.get(stream_id)
        counters = self.config.counters
        if stream is not None and counters.unread_bytes + weight > self.config.limits.unread_bytes:
            counters.unread_resets += 1
            self.connection.reset_stream(stream_id, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            await self._abandon(stream_id)
            stream = None
        if stream is None or not event.data or not stream.inbox.put(event.data, weight):
            self.connection.acknowledge_received_data(weight, stream_id)

    async def _abandon(self, stream_id: int) -> None:
        """The stream is over on the wire; its application hears that the client has left."""
        self._receiving.discard(stream_id)
        await self._close_stream(stream_id)
        await self._drop_buffer(stream_id)
        if not self.streams:
            await self.send(Updated(idle=True))

    # --- what is answered ------------------------------------------------------------------------------------------

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

    def _reset(self, stream_id: int, code: h2.errors.ErrorCodes) -> None:
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
        self._receiving.discard(stream_id)
        await self.has_data.set()
        if not self.streams:
            await self.send(Updated(idle=True))

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
                self.connection.reset_stream(stream_id, h2.errors.ErrorCodes.NO_ERROR)
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
