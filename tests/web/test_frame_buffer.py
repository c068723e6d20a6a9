"""Frames of HTTP/2 are not turned into text when they are received."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import pytest
from hyperframe.frame import DataFrame

from web.listener.frame_buffer import Frames


def received(connection: h2.connection.H2Connection, body: bytes) -> list[h2.events.Event]:
    """What a server's connection makes of a request with this body."""
    client = h2.connection.H2Connection()
    client.initiate_connection()
    connection.initiate_connection()
    client.send_headers(1, [(":method", "POST"), (":path", "/"), (":scheme", "https"), (":authority", "a")])
    client.send_data(1, body, end_stream=True)
    return connection.receive_data(client.data_to_send())


def server(frames: bool) -> h2.connection.H2Connection:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    if frames:
        connection.incoming_buffer = Frames(server=True)
    return connection


@pytest.mark.parametrize("frames", [False, True])
def test_a_body_is_not_written_in_digits_when_it_comes(frames: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With our buffer of frames; h2's own does it for each frame, whatever its logger keeps (else ours could go)."""
    written: list[int] = []
    monkeypatch.setattr("hyperframe.frame._raw_data_repr", lambda data: written.append(len(data or b"")) or "")
    events = received(server(frames), b"x" * 1000)
    assert [e.data for e in events if isinstance(e, h2.events.DataReceived)] == [b"x" * 1000]
    assert (1000 not in written) == frames


def test_a_frame_still_says_what_it_is() -> None:
    """Its type, stream and flags."""
    buffer = Frames(server=False)
    buffer.add_data(DataFrame(3, data=b"secret").serialize())
    buffer.max_frame_size = 16384
    assert repr(next(iter(buffer))) == "DataFrame(stream_id=3, flags=[]): ..."
