"""TLS records that are there already are taken together, and what follows them is still found."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from edge_kit import client_tls, server_tls
from trio.testing import memory_stream_pair
from trio_run import run

from web.listener.records import RECORD_BYTES, drained


async def pair() -> tuple[trio.SSLStream[Any], trio.SSLStream[Any], Any]:
    """Server and client after the handshake, and the client's raw side."""
    near, far = memory_stream_pair()
    server = trio.SSLStream(near, server_tls().context(), server_side=True)
    client = trio.SSLStream(far, client_tls(), server_hostname="localhost")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.do_handshake)
        nursery.start_soon(client.do_handshake)
    return server, client, far


def test_records_that_are_there_come_together() -> None:
    """In their order, nothing lost, nothing twice; and no more than about the limit at once."""

    async def main() -> None:
        server, client, _ = await pair()
        body = bytes(i % 251 for i in range(20 * RECORD_BYTES + 5))
        await client.send_all(body)
        got: list[bytes] = []
        while sum(map(len, got)) < len(body):
            first = bytes(await server.receive_some(RECORD_BYTES))
            got.append(drained(server, first, 4 * RECORD_BYTES))
        assert body == b"".join(got)
        assert max(map(len, got)) == 4 * RECORD_BYTES
        assert len(got) < 12

    run(main)


def test_the_end_is_found_by_the_next_receive() -> None:
    """A goodbye behind the last record is not swallowed."""

    async def main() -> None:
        server, client, _ = await pair()
        async with trio.open_nursery() as nursery:
            await client.send_all(b"x" * (2 * RECORD_BYTES))
            nursery.start_soon(client.aclose)
            await trio.testing.wait_all_tasks_blocked()
            first = bytes(await server.receive_some(RECORD_BYTES))
            assert len(drained(server, first, 10 * RECORD_BYTES)) == 2 * RECORD_BYTES
            assert await server.receive_some(RECORD_BYTES) == b""
            nursery.cancel_scope.cancel()

    run(main)


def test_a_broken_record_breaks_the_next_receive() -> None:
    """What came whole before it is still given out."""

    async def main() -> None:
        server, client, raw = await pair()
        await client.send_all(b"x" * (2 * RECORD_BYTES))
        await raw.send_all(b"\x17\x03\x03\x00\x20" + b"?" * 32)
        first = bytes(await server.receive_some(RECORD_BYTES))
        assert len(drained(server, first, 10 * RECORD_BYTES)) == 2 * RECORD_BYTES
        with pytest.raises(trio.BrokenResourceError):
            await server.receive_some(RECORD_BYTES)

    run(main)
