"""Four single requests that end hypercorn.serve, without any token: each must end its own connection at most."""

from __future__ import annotations

import pytest
from edge_kit import H2Stream, Served, echo, ended, h2_client, post, response, served
from hpack import Encoder
from hyperframe.frame import HeadersFrame, SettingsFrame
from trio_run import run

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def _h2_with_odd_path() -> bytes:
    headers = HeadersFrame(stream_id=1)
    block = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/\xff\xfe")]
    headers.data = Encoder().encode(block)
    headers.flags |= {"END_HEADERS", "END_STREAM"}
    return PREFACE + SettingsFrame(0).serialize() + headers.serialize()


KILLS = {
    "websocket upgrade with trailing bytes": (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n\xff\xff\xff\xff"
    ),
    "HTTP/2 with a path that is not ASCII": _h2_with_odd_path(),
    "h2c upgrade with malformed settings": (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n\r\n"
    ),
    "host that is not UTF-8": b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
}


async def _probe(server: Served) -> int:
    stream = await server.connect()
    await stream.send_all(post("/", body=b"12345"))
    status, _, body = await response(stream)
    assert body == b"5"
    return status


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
@pytest.mark.parametrize("kill", KILLS)
def test_it_ends_its_own_connection_at_most(kill: str, tls: bool) -> None:
    """A bystander's open connection and a new one are both served after it, and nothing counted as a failure of ours."""

    async def main() -> None:
        async with served(echo, tls=tls) as server:
            bystander = await server.connect()
            await bystander.send_all(post("/", length=3, body=b"a"))
            stream = await server.connect(*(["h2"] if tls and "HTTP/2" in kill else []))
            await stream.send_all(KILLS[kill])
            first = await stream.receive_some(1000)
            assert b"101" not in first, "it switched protocols"
            assert await _probe(server) == 200
            await bystander.send_all(b"bc")
            assert (await response(bystander))[0] == 200
            assert server.listener.statistics().failures == {}

    run(main, real_time=True)


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (PREFACE, 505),  # prior knowledge
        (b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400),  # no path to route on
        (b"GET http://x/audit HTTP/1.1\r\nHost: x\r\n\r\n", 200),  # RFC 9112 wants the absolute form taken
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", 200),
        (
            b"hEaD / HTTP/1.1\r\nHost: x\r\n\r\n",
            200,
        ),  # no HEAD: methods are case-sensitive (RFC 9110, 9.1), so it has a body
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n", 431),
    ],
)
@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
def test_other_doors_are_closed_with_an_answer(request_bytes: bytes, expected: int, tls: bool) -> None:
    """HTTP/2 without TLS, CONNECT and the like get a plain HTTP/1.1 answer, not a reset."""

    async def main() -> int:
        async with served(echo, tls=tls) as server:
            stream = await server.connect()
            await stream.send_all(request_bytes)
            status = (await response(stream))[0]
            assert expected == 200 or await ended(stream)
            return status

    assert expected == run(main, real_time=True)


def test_connect_over_http2_is_answered_and_the_connection_lives() -> None:
    """CONNECT without :path, which Hypercorn takes for a websocket, is 405 on its stream alone."""

    async def main() -> list[int]:
        async with served(echo) as server, h2_client(server) as client:
            stream_id = client.h2.get_next_available_stream_id()
            refused = client.streams[stream_id] = H2Stream()
            client.h2.send_headers(stream_id, [(":method", "CONNECT"), (":authority", "x:443")])
            await client.flush()
            await client.answer(stream_id)
            other = await client.open("/", end=True)
            return [refused.status, (await client.answer(other)).status]

    assert run(main, real_time=True) == [405, 200]
