"""The memory of a TLS connection goes with the connection, not when the garbage collector next looks."""

from __future__ import annotations

import gc
import ssl
import weakref

import trio
from edge_kit import echo, ended, served, server_tls
from trio_run import run


def test_closed_connections_leave_no_tls_behind_without_the_collector() -> None:
    """After handshakes that failed: what Trio's stream hangs on to in a cycle is let go by us."""
    made: list[weakref.ref[ssl.SSLObject]] = []

    def context() -> ssl.SSLContext:
        found = server_tls().context()
        real = found.wrap_bio

        class Seen(ssl.SSLContext):
            def wrap_bio(self, *args: object, **kwargs: object) -> ssl.SSLObject:
                wrapped = real(*args, **kwargs)  # type: ignore[arg-type]
                made.append(weakref.ref(wrapped))
                return wrapped

        return Seen(ssl.PROTOCOL_TLS_SERVER)

    async def main() -> int:
        async with served(echo, tls=context) as server:
            for _ in range(5):
                stream: trio.SocketStream = await server.connect_tcp()
                await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
                await ended(stream)
            await server.settled(lambda: server.listener.statistics().connections == 0)
            assert server.listener.statistics().handshake_failures == 5
            return sum(one() is not None for one in made)

    gc.disable()
    try:
        assert run(main, real_time=True) == 0
    finally:
        gc.enable()
    assert len(made) == 5
