"""HTTP/2 on one connection: Hypercorn's H2Protocol with flow control by stream, and every end stated to the client.

Differences in what arrives (web/listener/http2_answers.py has those in what is answered): only what the application took is
credited to a stream, and no stream's unread bytes stall the others, because the connection's window holds all streams'
windows; priorities (deprecated by RFC 9113, 5.3) are ignored and CONNECT is refused; floods of control frames end the
connection. Counterpart: web/listener/connection.py.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import trio
from hypercorn.events import Closed, RawData, Updated
from hypercorn.events import Event as WireEvent
from hypercorn.protocol.events import EndBody, Request
from hypercorn.protocol.h2 import StreamBuffer
from hypercorn.utils import filter_pseudo_headers

from web.listener.frame_buffer import Flood, Frames
from web.listener.http2_answers import Http2Answers
from web.listener.request import Inbox, RequestStream, origin_form

__all__ = ["FRAME_BYTES", "Http2"]

FRAME_BYTES: Final = 64 * 1024
"""Largest frame that we take, told to the peer: a batch is a few frames instead of dozens, each of which costs Python code."""
ENCODER_TABLE_BYTES: Final = 4096
"""Largest table of headers that we keep for a peer's sake, however large a one it offers (RFC 7541, 4.2: the encoder chooses)."""
_DEFAULT_WINDOW: Final = 65_535
"""The connection's window before it is widened (RFC 9113, 6.9.2)."""


class Http2(Http2Answers):
    """The protocol of one connection; constructed as Hypercorn's, with a Setup as the configuration."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        limits = self.config.limits
        self.connection = h2.connection.H2Connection(
            config=h2.config.H2Configuration(client_side=False, header_encoding=None)
        )
        self._frames = self.connection.incoming_buffer = Frames(
            server=True,
            control_per_s=limits.resets_per_s,
            small_per_s=limits.small_frames_per_s,
            headers_bytes=limits.headers_bytes,
            now=trio.current_time(),
        )
        self.connection.decoder.max_header_list_size = limits.headers_bytes
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

    async def handle(self, event: WireEvent) -> None:
        """Bytes from the peer, or the connection's end."""
        if isinstance(event, RawData):
            self._frames.refill(trio.current_time())
            try:
                events = self.connection.receive_data(event.data)
            except Flood:  # h2 has said GOAWAY
                await self._flooded()
                return
            except h2.exceptions.ProtocolError:
                self.config.counters.protocol_errors += 1
                await self._flush()
                await self.send(Closed())
                return
            await self._handle_events(events)
        elif isinstance(event, Closed):
            self.closed = True
            self._over.set()
            for stream_id in list(self.streams):
                await self._close_stream(stream_id)
            for stream_id in list(self.stream_buffers):
                await self._drop_buffer(stream_id)
            await self.has_data.set()

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.RequestReceived):
                await self._request(event)
            elif isinstance(event, h2.events.DataReceived):
                await self._data(event)
            elif isinstance(event, h2.events.StreamEnded):
                self._received(event.stream_id)
                if event.stream_id in self.streams:
                    await self.streams[event.stream_id].handle(EndBody(stream_id=event.stream_id))
            elif isinstance(event, h2.events.StreamReset):
                self.config.counters.resets += 1
                await self._abandon(event.stream_id)
                if not event.remote_reset and not self._frames.take_control():
                    self.connection.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
                    await self._flooded()
                    return
            elif isinstance(event, h2.events.WindowUpdated):
                await self._window_updated(event.stream_id)
            elif isinstance(event, h2.events.RemoteSettingsChanged):
                encoder = self.connection.encoder
                encoder.header_table_size = min(encoder.header_table_size, ENCODER_TABLE_BYTES)
                if h2.settings.SettingCodes.INITIAL_WINDOW_SIZE in event.changed_settings:
                    await self._window_updated(None)
            elif isinstance(event, h2.events.ConnectionTerminated):
                await self.send(Closed())
        await self._flush()

    async def _flooded(self) -> None:
        self.config.counters.floods += 1
        await self._flush()
        await self.send(Closed())

    async def _request(self, event: h2.events.RequestReceived) -> None:
        stream_id = event.stream_id
        if self._leaves:  # "not processed": to be sent again without risk (RFC 9113, 8.7)
            self._reset(stream_id, h2.errors.ErrorCodes.REFUSED_STREAM)
            return
        self._newest = stream_id
        if event.stream_ended is None:
            self._receiving.add(stream_id)
        headers: list[Any] = list(event.headers)
        pseudo = {name: value for name, value in headers if name.startswith(b":")}
        path, method = origin_form(pseudo.get(b":path", b"")), pseudo.get(b":method", b"")
        if path is None or method == b"CONNECT" or not method.isascii():
            self.config.counters.refused_requests += 1
            status = b"405" if method == b"CONNECT" else b"400"
            with suppress(h2.exceptions.ProtocolError):  # the stream or the connection ended in the same breath
                self.connection.send_headers(stream_id, [(b":status", status)], end_stream=True)
            if stream_id in self._receiving:
                self._reset(stream_id, h2.errors.ErrorCodes.NO_ERROR)
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
                method=method.decode("ascii"),
                raw_path=path,
                state=self.connection_state,
            )
        )

    async def _data(self, event: h2.events.DataReceived) -> None:
        stream_id, weight = event.stream_id, event.flow_controlled_length
        stream = self.streams.get(stream_id)
        counters = self.config.counters
        if stream_id in self._lingering:
            self._lingering[stream_id] -= weight
            if self._lingering[stream_id] < 0:
                self._reset(stream_id, h2.errors.ErrorCodes.NO_ERROR)
        if stream is not None and counters.unread_bytes + weight > self.config.limits.unread_bytes:
            counters.unread_resets += 1
            self.connection.reset_stream(stream_id, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            await self._abandon(stream_id)
            stream = None
        if stream is None or not event.data or not stream.inbox.put(event.data, weight):
            self.connection.acknowledge_received_data(weight, stream_id)
