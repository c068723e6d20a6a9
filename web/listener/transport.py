"""The raw TCP side of a connection: counted, every send bounded, the close lingering where an answer could be lost.

Under TLS this is what trio.SSLStream sends through, so its rules hold there as well. Counterpart: web/listener/connection.py.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

import trio

from web.listener.limits import SEND_CHUNK_BYTES, Counters, Limits

__all__ = ["Transport"]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Transport(trio.abc.HalfCloseableStream):
    """A socket stream whose `send_all` raises trio.BrokenResourceError when the peer does not read for `limits.send_s`.

    `lingers`: what the peer still sends is read for a while after our last byte, within two bounds, before the socket closes:
    closing with unread input resets the connection, and with that the peer may lose the answer (RFC 9112, section 9.6).
    """

    def __init__(self, sock: trio.socket.SocketType, limits: Limits, counters: Counters) -> None:
        self._stream = trio.SocketStream(sock)
        self._limits = limits
        self._counters = counters
        self.lingers = False

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket itself."""
        return self._stream.socket

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Sends everything; cuts the connection when the peer takes too long for a part of it."""
        view = memoryview(data)
        for start in range(0, len(view), SEND_CHUNK_BYTES):
            part = view[start : start + SEND_CHUNK_BYTES]
            with trio.move_on_after(self._limits.send_s) as bound:
                await self._stream.send_all(part)
            if bound.cancelled_caught:
                self._counters.slow_readers += 1
                self.abort()
                raise trio.BrokenResourceError("the peer does not read")
            self._counters.bytes_out += len(part)

    async def wait_send_all_might_not_block(self) -> None:
        """Waits until the kernel takes more."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """What has arrived; empty at the end."""
        data = await self._stream.receive_some(max_bytes)
        self._counters.bytes_in += len(data)
        return data

    async def send_eof(self) -> None:
        """Shuts down our sending side."""
        await self._stream.send_eof()

    def abort(self) -> None:
        """Closes at once, whoever waits in a send or receive; what the kernel still holds is thrown away."""
        with suppress(OSError):
            self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._stream.socket.close()

    async def aclose(self) -> None:
        """Closes, after lingering where that was asked for."""
        try:
            if self.lingers:
                await self._drain()
        finally:
            await self._stream.aclose()

    async def _drain(self) -> None:
        left = self._limits.linger_bytes
        with (
            trio.move_on_after(self._limits.linger_s),
            suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError),
        ):
            await self._stream.send_eof()
            while left > 0:
                data = await self.receive_some(min(left, 65536))
                if not data:
                    return
                left -= len(data)
