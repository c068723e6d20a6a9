"""Floods of HTTP/2 frames: each kind ends its own connection with ENHANCE_YOUR_CALM, before most of it was worked on."""

from __future__ import annotations

from collections.abc import Callable

import h2.errors
import h2.settings
import pytest
from edge_kit import echo, h2_client, h2_said, served
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from trio_run import run

from web.listener.frame_buffer import Flood, Frames
from web.listener.http2 import ENCODER_TABLE_BYTES
from web.listener.limits import Limits

COUNT = 20_000
"""Frames of one flood: more than any room for them."""
BLOCK = Encoder().encode([(":method", "POST"), (":path", "/"), (":scheme", "https"), (":authority", "localhost")])


def _headers(stream_id: int, *flags: str, block: bytes = BLOCK) -> bytes:
    return HeadersFrame(stream_id, data=block, flags=flags).serialize()


def _rapid_reset() -> bytes:
    streams = range(1, 2 * COUNT // 4, 2)
    return b"".join(_headers(n, "END_HEADERS") + RstStreamFrame(n, error_code=8).serialize() for n in streams)


def _resets_by_us() -> bytes:
    """Each stream is opened and then misused, so that the server resets it (CVE-2025-8671)."""
    streams = range(1, 2 * COUNT // 4, 2)
    return b"".join(_headers(n, "END_HEADERS", "END_STREAM") + DataFrame(n, data=b"x").serialize() for n in streams)


def _continuation() -> bytes:
    parts = [ContinuationFrame(1, data=b"").serialize()] * COUNT
    return _headers(1, block=b"") + b"".join(parts)


def _large_block() -> bytes:
    return _headers(1) + b"".join(ContinuationFrame(1, data=b"\x00" * 16000).serialize() for _ in range(30))


FLOODS: dict[str, Callable[[], bytes]] = {
    "pings": lambda: PingFrame(opaque_data=b"12345678").serialize() * COUNT,
    "settings": lambda: SettingsFrame(settings={4: 1}).serialize() * COUNT,
    "empty settings": lambda: SettingsFrame().serialize() * COUNT,
    "priorities": lambda: PriorityFrame(1, depends_on=0, stream_weight=1).serialize() * COUNT,
    "unknown frames": lambda: ExtensionFrame(0xEE, 0, flag_byte=0, body=b"").serialize() * COUNT,
    "window updates": lambda: WindowUpdateFrame(0, window_increment=1).serialize() * COUNT,
    "empty data": lambda: _headers(1, "END_HEADERS") + DataFrame(1).serialize() * COUNT,
    "data of one byte": lambda: _headers(1, "END_HEADERS") + DataFrame(1, data=b"x").serialize() * COUNT,
    "continuations": _continuation,
    "a header block without end": _large_block,
    "rapid reset": _rapid_reset,
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_ends_its_own_connection(kind: str) -> None:
    """GOAWAY with ENHANCE_YOUR_CALM, one flood counted, and a bystander is answered on its connection as before."""

    async def main() -> tuple[int, int, int, dict[str, int]]:
        async with served(echo) as server, h2_client(server) as bystander:
            first = await bystander.open("/")
            said = await h2_said(server, FLOODS[kind]())
            await bystander.send(first, b"abc", end=True)
            answer = await bystander.answer(first)
            assert (answer.status, answer.body) == (200, b"3")
            statistics = server.listener.statistics()
            codes = [frame.error_code for frame in said if isinstance(frame, GoAwayFrame)]
            return codes[0], statistics.floods, statistics.protocol_errors, statistics.failures

    assert run(main, real_time=True) == (h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, 1, 0, {})


def test_resets_that_we_are_made_to_send_count() -> None:
    """Opening streams and misusing each of them is a flood, whoever writes the resets; what it may end with is one of two."""

    async def main() -> bool:
        async with served(echo) as server:
            await h2_said(server, _resets_by_us())
            statistics = server.listener.statistics()
            assert statistics.failures == {}
            return statistics.floods + statistics.protocol_errors == 1

    assert run(main, real_time=True)


def test_a_full_house_of_small_requests_is_no_flood() -> None:
    """As many streams as are allowed, opened and answered several times over: what an eager sender may do."""

    async def main() -> set[int]:
        async with served(echo) as server, h2_client(server) as client:
            statuses: set[int] = set()
            for _ in range(4):
                streams = [await client.open("/") for _ in range(Limits().streams)]
                for stream_id in streams:
                    await client.send(stream_id, b"x", end=True)
                statuses |= {(await client.answer(stream_id)).status for stream_id in streams}
            assert server.listener.statistics().floods == 0
            return statuses

    assert run(main, real_time=True) == {200}


def test_the_meters_are_by_frame_and_time() -> None:
    """Room for the burst, none for one more, and as much again as time has passed; large frames of data count for nothing."""
    frames = Frames(server=False, control_per_s=1.0, small_per_s=10.0)
    frames.max_frame_size = 65536
    ping, small, large = (
        PingFrame(opaque_data=b"12345678").serialize(),
        DataFrame(1, data=b"x").serialize(),
        DataFrame(1, data=b"x" * 2000).serialize(),
    )

    def passed(data: bytes, count: int) -> int:
        frames.add_data(data * count)
        done = 0
        try:
            for _ in frames:
                done += 1
        except Flood:
            del frames._data[:]
        return done

    assert [passed(ping, 11), passed(small, 5), passed(large, 500)] == [10, 4, 500]
    frames.refill(3.0)
    assert [passed(ping, 11), passed(small, 5)] == [2, 4]


def test_the_table_of_headers_is_ours_to_choose() -> None:
    """A peer that offers a table of 4 GiB gets one of ENCODER_TABLE_BYTES, and understands every answer."""

    async def main() -> tuple[int, int]:
        async with served(echo) as server, h2_client(server) as client:
            client.h2.update_settings({h2.settings.SettingCodes.HEADER_TABLE_SIZE: 2**32 - 1})
            await client.flush()
            statuses = set()
            for size in range(5):
                stream_id = await client.open("/")
                await client.send(stream_id, b"x" * (size + 1), end=True)
                statuses.add((await client.answer(stream_id)).status)
            (connection,) = server.listener._census.connections
            assert statuses == {200}
            return connection._protocol.connection.encoder.header_table_size, client.h2.decoder.header_table_size  # type: ignore[union-attr]

    assert run(main, real_time=True) == (ENCODER_TABLE_BYTES, ENCODER_TABLE_BYTES)


def test_what_is_over_is_never_worked_on() -> None:
    """Of 14,000 frames in one read the room for them is used, and the rest stays bytes."""
    frames = Frames(server=False, control_per_s=1.0)
    frames.max_frame_size = 65536
    frames.add_data(PingFrame(opaque_data=b"12345678").serialize() * 14_000)
    done = [next(frames) for _ in range(10)]
    with pytest.raises(Flood):
        next(frames)
    assert (len(done), len(frames._data)) == (10, 17 * (14_000 - 11))
