"""The sender over a real socket: TLS by a local CA, HTTP/2 by ALPN, one connection for everything."""

from __future__ import annotations

import ssl
import time

import h2.config
import h2.connection
import h2.events
import pytest
import trio
from trio_run import run

from actors.testing.apiserver import SenderOptions, SimulatedApiServer, webhook_transport
from actors.testing.events import Caller, Request, User, encode_batch, events_of
from web.localca import ensure_local_certificate

EVENTS = [
    events_of(Request(caller=Caller(User("u")), verb="get", namespace="n", name="s", at=1e9, audit_id=f"{i}"))[0]
    for i in range(900)
]


class Http2Receiver:
    """Answers every request of every connection with 200; keeps headers and bodies."""

    def __init__(self):
        self.connections, self.requests = [], []

    async def serve(self, stream):
        await stream.do_handshake()
        self.connections.append(stream.selected_alpn_protocol())
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="ascii"))
        connection.initiate_connection()
        await stream.send_all(connection.data_to_send())
        open_ = {}
        while data := await stream.receive_some(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    open_[event.stream_id] = (dict(event.headers), bytearray())
                elif isinstance(event, h2.events.DataReceived):
                    open_[event.stream_id][1].extend(event.data)
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    self.requests.append(open_.pop(event.stream_id))
                    connection.send_headers(event.stream_id, [(":status", "200")])
                    connection.send_data(event.stream_id, b"{}", end_stream=True)
            await stream.send_all(connection.data_to_send())


@pytest.mark.slow
def test_batches_go_over_one_http2_connection(tmp_path):
    """Three batches, 400 events and 200 kB in the larger ones, with the headers of the real one and nothing else."""
    files = ensure_local_certificate(tmp_path, ("127.0.0.1",), now=time.time())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    receiver = Http2Receiver()

    async def main():
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        listener = trio.SSLListener(listener, context)
        transport = webhook_transport(files.ca.read_text())
        server = SimulatedApiServer(
            f"https://127.0.0.1:{port}/audit", "t", transport, options=SenderOptions(batch_wait_s=1)
        )
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, receiver.serve, [listener])
                server.submit(EVENTS)
                server.close()
                await server.run()
                nursery.cancel_scope.cancel()
        return port, server.statistics()

    port, statistics = run(main, real_time=True)
    assert (statistics.accepted, statistics.lost) == (3, 0)
    assert receiver.connections == ["h2"]
    assert sorted(bytes(body) for _, body in receiver.requests) == sorted(
        encode_batch(EVENTS[start : start + 400]) for start in (0, 400, 800)
    )
    headers, body = receiver.requests[0]
    assert headers == {
        ":method": "POST",
        ":authority": f"127.0.0.1:{port}",
        ":scheme": "https",
        ":path": "/audit?timeout=30s",
        "accept": "application/json, */*",
        "accept-encoding": "gzip",
        "authorization": "Bearer t",
        "content-length": str(len(body)),
        "content-type": "application/json",
        "user-agent": "Go-http-client/2.0",
    }
