"""What a peer gets for each way of breaking RFC 9113: which error, on the connection or on its stream alone. As h2spec asks.

Each case is the frames that a client sends behind its preface; what the server says is read until it ends the connection. A case
of which only the stream ends closes with a ping, whose answer shows that the connection lives on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from edge_kit import PREFACE, echo, h2_client, h2_said, served
from h2.errors import ErrorCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from trio_run import run

from web.listener.http2 import FRAME_BYTES
from web.listener.limits import Limits

PSEUDO = [(":method", "POST"), (":path", "/"), (":scheme", "https"), (":authority", "localhost")]
LIMITS = Limits(drain_s=0.2, linger_s=0.2, idle_s=0.4, send_s=0.4, window_bytes=FRAME_BYTES // 2)
"""The connection of a case that the server survives ends soon by itself."""
OVER = FRAME_BYTES + 1

PROTOCOL, FLOW, CLOSED, SIZE, COMPRESSION = (
    {code}
    for code in (
        ErrorCodes.PROTOCOL_ERROR,
        ErrorCodes.FLOW_CONTROL_ERROR,
        ErrorCodes.STREAM_CLOSED,
        ErrorCodes.FRAME_SIZE_ERROR,
        ErrorCodes.COMPRESSION_ERROR,
    )
)


def block(fields: list[tuple[str, str]] | None = None) -> bytes:
    """An encoded header list that needs no table."""
    return Encoder().encode([(name, value, True) for name, value in fields or PSEUDO])  # type: ignore[misc]


def headers(stream_id: int = 1, *flags: str, data: bytes | None = None, fields: Any = None) -> bytes:
    """A HEADERS frame; END_HEADERS unless told."""
    frame = HeadersFrame(stream_id or 1, data=block(fields) if data is None else data, flags=flags or ("END_HEADERS",))
    return on(frame.serialize(), stream_id)


def on(frame: bytes, stream_id: int) -> bytes:
    """The frame on another stream, also where hyperframe would not make it."""
    return frame[:5] + stream_id.to_bytes(4, "big") + frame[9:]


def raw(kind: int, length: int, stream_id: int = 0, flags: int = 0, body: bytes | None = None) -> bytes:
    """A frame as nobody would make it."""
    content = bytes(length) if body is None else body
    return length.to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + content


def request(*more: tuple[str, str], without: str = "") -> bytes:
    """A whole request with these fields behind the pseudo-headers."""
    fields = [pair for pair in PSEUDO if pair[0] != without] + list(more)
    return headers(1, "END_HEADERS", "END_STREAM", fields=fields)


WHOLE = headers(1, "END_HEADERS", "END_STREAM")
PING = PingFrame(opaque_data=b"still on").serialize()

ENDS_THE_CONNECTION: dict[str, tuple[bytes, set[ErrorCodes]]] = {
    # 4.2: frame size
    "a frame larger than what was told": (headers() + raw(0, OVER, 1), SIZE),
    "a header block larger than what was told": (raw(1, OVER, 1, 0x4), SIZE),
    "a ping of 6 octets": (raw(6, 6), SIZE | PROTOCOL),
    "a reset of 3 octets": (headers() + raw(3, 3, 1), SIZE | PROTOCOL),
    "a window update of 3 octets": (raw(8, 3), SIZE | PROTOCOL),
    "settings of 3 octets": (raw(4, 3), SIZE | PROTOCOL),
    "an acknowledgement of settings with settings": (raw(4, 6, 0, 1), SIZE | PROTOCOL),
    # 4.3, 6.10: header blocks
    "a header block that is none": (headers(data=b"\xff\xff\xff\xff\xff\xff\xff\xff"), COMPRESSION | PROTOCOL),
    "another frame between a block's parts": (headers(1, "END_STREAM") + PING, PROTOCOL),
    "a block's rest on another stream": (headers(1, "END_STREAM") + ContinuationFrame(3).serialize(), PROTOCOL),
    "an unknown frame between a block's parts": (headers(1, "END_STREAM") + raw(0xEE, 1, 1), PROTOCOL),
    "a block's rest without a block": (ContinuationFrame(1, flags=("END_HEADERS",)).serialize(), PROTOCOL),
    "a block's rest after its end": (WHOLE + ContinuationFrame(1, flags=("END_HEADERS",)).serialize(), PROTOCOL),
    # 5.1: stream states
    "data on an idle stream": (DataFrame(1, data=b"x").serialize(), PROTOCOL | CLOSED),
    "a reset of an idle stream": (RstStreamFrame(1).serialize(), PROTOCOL | CLOSED),
    "a window update of an idle stream": (WindowUpdateFrame(1, window_increment=1).serialize(), PROTOCOL | CLOSED),
    # 5.1.1: identifiers
    "a stream of an even number": (headers(2), PROTOCOL),
    "a stream of a lower number": (headers(5, "END_HEADERS", "END_STREAM") + headers(3), PROTOCOL | CLOSED),
    # frames on a stream that are the connection's, and the other way round
    "data on stream 0": (raw(0, 1), PROTOCOL),
    "headers on stream 0": (headers(0), PROTOCOL),
    "a reset of stream 0": (raw(3, 4), PROTOCOL),
    "a block's rest on stream 0": (headers(1, "END_STREAM") + raw(9, 0, 0, 4), PROTOCOL),
    "settings on a stream": (raw(4, 0, 1), PROTOCOL),
    "a ping on a stream": (raw(6, 8, 1), PROTOCOL),
    "goaway on a stream": (raw(7, 8, 1), PROTOCOL),
    # padding
    "data with more padding than content": (headers() + raw(0, 2, 1, 0x8, b"\x05x"), PROTOCOL),
    "headers with more padding than content": (raw(1, 2, 1, 0xC, b"\x05x"), PROTOCOL),
    # 6.5.2: settings
    "ENABLE_PUSH of 2": (SettingsFrame(settings={2: 2}).serialize(), PROTOCOL),
    "an initial window over 2^31-1": (SettingsFrame(settings={4: 2**31}).serialize(), FLOW),
    "a frame size under 2^14": (SettingsFrame(settings={5: 2**14 - 1}).serialize(), PROTOCOL),
    "a frame size over 2^24-1": (SettingsFrame(settings={5: 2**24}).serialize(), PROTOCOL),
    # 6.6, 8.4: a client promises nothing
    "a promise of a client": (headers() + PushPromiseFrame(1, 2, data=block(), flags=("END_HEADERS",)).serialize(), PROTOCOL),
    # 6.9: flow control
    "an increment of 0 for the connection": (raw(8, 4), PROTOCOL),
    "a window of the connection over 2^31-1": (WindowUpdateFrame(0, window_increment=2**31 - 1).serialize(), FLOW),
    "more than the stream's window": (
        headers() + DataFrame(1, data=bytes(FRAME_BYTES)).serialize(),
        FLOW,
    ),
}  # fmt: skip

ENDS_THE_STREAM: dict[str, tuple[bytes, set[ErrorCodes]]] = {
    "data after the end of the request": (WHOLE + DataFrame(1, data=b"x").serialize(), CLOSED),
    "a window of the stream over 2^31-1": (headers() + WindowUpdateFrame(1, window_increment=2**31 - 1).serialize(), FLOW),
}  # fmt: skip

MALFORMED: dict[str, bytes] = {
    # 8.2: fields
    "an upper-case name": request(("X-Upper", "x")),
    "a connection header": request(("connection", "keep-alive")),
    "a transfer coding": request(("transfer-encoding", "chunked")),
    "te that is not trailers": request(("te", "gzip")),
    "a name of nothing": request(("", "x")),
    # 8.3: pseudo-headers
    "no method": request(without=":method"),
    "no scheme": request(without=":scheme"),
    "no path": request(without=":path"),
    "an empty path": request((":path", ""), without=":path"),
    "two methods": request((":method", "POST")),
    "two paths": request((":path", "/")),
    "an unknown pseudo-header": request((":unknown", "x")),
    "a pseudo-header of answers": request((":status", "200")),
    "a pseudo-header behind a field": headers(
        1, "END_HEADERS", "END_STREAM", fields=[PSEUDO[0], ("x-a", "b"), *PSEUDO[1:]]
    ),
    # 8.1.1: the length that was told
    "less than content-length": headers(fields=[*PSEUDO, ("content-length", "9")])
    + DataFrame(1, data=b"x", flags=("END_STREAM",)).serialize(),
    "more than content-length": headers(fields=[*PSEUDO, ("content-length", "1")])
    + DataFrame(1, data=b"xyz", flags=("END_STREAM",)).serialize(),
    # 8.1: trailers end the request, and have no pseudo-headers
    "trailers without an end": headers() + headers(1, "END_HEADERS", fields=[("x-a", "b")]),
    "trailers with a pseudo-header": headers() + headers(1, "END_HEADERS", "END_STREAM", fields=[(":method", "GET")]),
}  # fmt: skip

IS_IGNORED: dict[str, bytes] = {
    # 4.1, 5.5: what is unknown
    "an unknown frame": raw(0xEE, 20, 0),
    "an unknown frame on a stream": raw(0xEE, 20, 1),
    "unknown flags of a ping": raw(6, 8, 0, 0x16, b"12345678"),
    "an unknown setting": SettingsFrame(settings={0xFE: 1}).serialize(),
    # 5.3.2: priorities are deprecated
    "a priority of an idle stream": PriorityFrame(7, depends_on=0, stream_weight=3).serialize(),
    # 6.9.1: a window may go below nothing
    "an initial window of 0 and more again": SettingsFrame(settings={4: 0}).serialize() + SettingsFrame(settings={4: 99}).serialize(),
    # 5.1: what was on its way when the stream ended
    "a reset of a stream that was answered": headers(11, "END_HEADERS", "END_STREAM") + RstStreamFrame(11, error_code=8).serialize(),
}  # fmt: skip


async def said(data: bytes, **kwargs: Any) -> list[Frame]:
    """What the server answers, and that it lives on and counts no failure."""
    async with served(echo, limits=LIMITS) as server:
        frames = await h2_said(server, data, **kwargs)
        assert server.listener.statistics().failures == {}
        async with h2_client(server) as client:
            assert (await client.answer(await client.open("/", end=True))).status == 200
        return frames


def goaways(frames: list[Frame]) -> set[ErrorCodes]:
    """Why the connection ended, other than of old age."""
    codes = {ErrorCodes(frame.error_code) for frame in frames if isinstance(frame, GoAwayFrame)}
    return codes - {ErrorCodes.NO_ERROR}


def resets(frames: list[Frame]) -> dict[int, ErrorCodes]:
    """Streams that the server ended."""
    return {f.stream_id: ErrorCodes(f.error_code) for f in frames if isinstance(f, RstStreamFrame)}


def pongs(frames: list[Frame]) -> list[bytes]:
    """Answers to pings."""
    return [frame.opaque_data for frame in frames if isinstance(frame, PingFrame) and "ACK" in frame.flags]


def table(cases: dict[str, Any]) -> Callable[[Any], Any]:
    """One test for each."""
    return pytest.mark.parametrize("case", cases.values(), ids=cases.keys())


@table(ENDS_THE_CONNECTION)
def test_what_ends_the_connection(case: tuple[bytes, set[ErrorCodes]]) -> None:
    """GOAWAY with the right reason, and nothing behind it is answered."""
    data, expected = case
    frames = run(said, data + PING, real_time=True)
    assert goaways(frames) <= expected
    assert goaways(frames)
    assert b"still on" not in pongs(frames)


@table(ENDS_THE_STREAM)
def test_what_ends_its_stream_alone(case: tuple[bytes, set[ErrorCodes]]) -> None:
    """RST_STREAM with the right reason; the connection is used on."""
    data, expected = case
    frames = run(said, data + PING, real_time=True)
    assert goaways(frames) == set()
    assert set(resets(frames).values()) <= expected
    assert pongs(frames) == [b"still on"]


@table(MALFORMED)
def test_a_malformed_request_is_never_answered_200(case: bytes) -> None:
    """PROTOCOL_ERROR, on its stream or on the connection (RFC 9113, 8.1.1 leaves both), or a refusal."""
    frames = run(said, case, real_time=True)
    errors = goaways(frames) | set(resets(frames).values()) - {ErrorCodes.NO_ERROR}
    assert errors <= PROTOCOL
    assert errors or any(isinstance(frame, HeadersFrame) for frame in frames)
    assert not any(isinstance(frame, DataFrame) for frame in frames)


@table(IS_IGNORED)
def test_what_is_ignored(case: bytes) -> None:
    """The request and the ping behind it are answered."""
    frames = run(said, case + headers(21, "END_HEADERS", "END_STREAM") + PING, real_time=True)
    assert goaways(frames) == set()
    assert b"still on" in pongs(frames)
    assert 21 in {frame.stream_id for frame in frames if isinstance(frame, HeadersFrame)}


@table({"none": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "wrong": b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"})
def test_a_connection_without_a_preface_ends(case: bytes) -> None:
    """3.4: GOAWAY or just the end."""
    assert goaways(run(lambda: said(b"", preface=case), real_time=True)) <= PROTOCOL


def test_the_preface_begins_with_settings() -> None:
    """3.4: ours come first, and the client's are acknowledged; a preface without settings is an error of the client's."""
    frames = run(said, PING, real_time=True)
    assert isinstance(frames[0], SettingsFrame)
    assert "ACK" not in frames[0].flags
    assert any(isinstance(frame, SettingsFrame) and "ACK" in frame.flags for frame in frames)
    bare = run(lambda: said(PING, preface=PREFACE), real_time=True)
    assert goaways(bare) <= PROTOCOL


def test_answers_keep_within_what_the_client_allows() -> None:
    """6.9: of three octets one is sent where the window holds one; a client that never gives more has its stream ended."""
    few = SettingsFrame(settings={4: 1}).serialize()
    body = headers() + DataFrame(1, data=bytes(200), flags=("END_STREAM",)).serialize()
    frames = run(said, few + body, real_time=True)
    assert [len(frame.data) for frame in frames if isinstance(frame, DataFrame)] == [1]
    assert resets(frames) == {1: ErrorCodes.CANCEL}
    assert goaways(frames) == set()


def test_goaway_of_the_client_ends_it_quietly() -> None:
    """6.8: the server closes, without an error of its own."""
    frames = run(said, WHOLE + GoAwayFrame(last_stream_id=0, error_code=0).serialize(), real_time=True)
    assert goaways(frames) == set()
