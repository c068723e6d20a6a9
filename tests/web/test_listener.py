"""The listener over real sockets: what it serves, what it bounds, and how it ends."""

from __future__ import annotations

from typing import Any

import h2.errors
import pytest
import trio
from edge_kit import PATIENCE_S, echo, ended, h2_client, post, refuse_early, respond, response, served, server_tls
from hypercorn.protocol.events import EndBody, Request, StreamClosed
from quart import Response
from quart_trio import QuartTrio
from trio_run import run

from web.listener import Limits, Listener, bind
from web.listener.http1 import Http1
from web.listener.limits import Counters
from web.listener.request import Inbox, RequestStream, origin_form
from web.listener.setup import Setup

BOTH = pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
VERSIONS = pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])


async def endless(scope: Any, _receive: Any, send: Any) -> None:
    """Answers without end, as fast as it is read, and never looks whether anybody is there; /hold answers nothing."""
    if scope["type"] != "http":
        raise TypeError("http only")
    if scope["path"] == "/hold":
        await trio.sleep_forever()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})


def test_defaults_outlast_an_api_servers_idle_connections() -> None:
    """An API server reuses a connection that was idle for up to 90 s, so it must not be closed before 120 s."""
    limits = Limits()
    assert limits.idle_s >= 120
    assert (
        limits.connections,
        limits.connections_per_peer,
        limits.handshake_s,
        limits.streams,
    ) == (1000, 256, 10.0, 250)


# --- serving ---------------------------------------------------------------------------------------------------------


@VERSIONS
def test_real_clients_are_served_over_tls(http2: bool) -> None:
    """httpx with HTTP/1.1 and HTTP/2 posts small and large bodies on one verified connection."""

    async def main() -> list[tuple[str, str]]:
        async with served(echo) as server, server.httpx(http2=http2) as client:
            answers = [await client.post("/", content=b"x" * size) for size in (0, 10, 519_000, 5_000_000)]
            assert server.listener.statistics().connections_total == 1
            return [(a.http_version, a.text) for a in answers]

    version = "HTTP/2" if http2 else "HTTP/1.1"
    assert [(version, str(n)) for n in (0, 10, 519_000, 5_000_000)] == run(main, real_time=True)


@pytest.mark.slow
def test_one_http2_connection_serves_more_requests_than_hypercorns_bound() -> None:
    """Hypercorn closes an HTTP/2 connection under its 1,001st request; an API server has one for everything."""

    async def main() -> int:
        async with served(echo) as server, h2_client(server) as client:
            for _ in range(1010):
                answer = await client.answer(await client.open("/", end=True))
                assert (answer.status, answer.reset) == (200, None)
            return server.listener.statistics().connections_total

    assert run(main, real_time=True) == 1


@BOTH
def test_continue_is_sent_when_the_body_is_wanted(tls: bool) -> None:
    """`Expect: 100-continue` is answered 100 when the application reads, and with the refusal alone when it does not."""

    async def main() -> list[bytes]:
        async with served(refuse_early(), tls=tls) as server:
            first = []
            for path in ("/", "/early"):
                stream = await server.connect()
                await stream.send_all(post(path, length=3, headers="Expect: 100-continue\r\n"))
                first.append(bytes(await stream.receive_some(12)))
            return first

    assert run(main, real_time=True) == [b"HTTP/1.1 100", b"HTTP/1.1 401"]


@VERSIONS
def test_an_application_that_raises_costs_its_own_request_only(http2: bool) -> None:
    """500 on that request, counted by type; the same connection goes on."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/bug":
            raise ZeroDivisionError
        await echo(scope, receive, send)

    async def main() -> list[int]:
        async with served(app) as server, server.httpx(http2=http2) as client:
            statuses = [(await client.post(path)).status_code for path in ("/bug", "/", "/bug", "/")]
            assert server.listener.statistics().failures == {"ZeroDivisionError": 2}
            return statuses

    assert run(main, real_time=True) == [500, 200, 500, 200]


def test_half_an_answer_is_never_taken_for_a_whole_one() -> None:
    """An application that raises in the middle of its answer has its stream reset, on a connection that lives on."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/bug":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise ZeroDivisionError
        await echo(scope, receive, send)

    async def main() -> tuple[int | None, int]:
        async with served(app) as server, h2_client(server) as client:
            broken = await client.answer(await client.open("/bug", end=True))
            whole = await client.answer(await client.open("/", end=True))
            return broken.reset, whole.status

    assert run(main, real_time=True) == (h2.errors.ErrorCodes.INTERNAL_ERROR, 200)


@BOTH
def test_what_a_connection_raises_ends_it_alone(tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in the protocol's own code is counted by type; the bystander's request goes on, and new clients are served."""
    handle = Http1.handle

    async def buggy(self: Http1, event: Any) -> None:
        if b"BOOM" in getattr(event, "data", b""):
            raise KeyError("BOOM")
        await handle(self, event)

    monkeypatch.setattr(Http1, "handle", buggy)

    async def main() -> tuple[list[int], dict[str, int]]:
        async with served(echo, tls=tls) as server:
            bystander, victim = await server.connect(), await server.connect()
            await bystander.send_all(post("/", length=3, body=b"a"))
            await victim.send_all(b"BOOM")
            assert await ended(victim)
            await bystander.send_all(b"bc")
            newcomer = await server.connect()
            await newcomer.send_all(post("/"))
            statuses = [(await response(stream))[0] for stream in (bystander, newcomer)]
            return statuses, server.listener.statistics().failures

    assert run(main, real_time=True) == ([200, 200], {"KeyError": 1})


def test_the_final_send_is_done_although_the_application_is_cancelled_by_it() -> None:
    """As quart-trio does: on hearing that the answer is out it cancels itself, while the connection has still to become idle."""

    class Protocol:
        """Stands in for a protocol whose last step waits for something."""

        config = Setup("test", Limits(), Counters())
        app = context = client = server = None
        ssl = False
        became_idle = False

        async def stream_send(self, event: Any) -> None:
            if isinstance(event, StreamClosed):
                await self.stream.handle(event)
                await trio.testing.wait_all_tasks_blocked()
                await trio.lowlevel.checkpoint()
                self.became_idle = True

        def spawn(self, task: Any) -> None:
            self.nursery.start_soon(task)

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                nursery.cancel_scope.cancel()

            nursery.start_soon(listen)
            await respond(send, 200, b"")

    async def main() -> bool:
        async with trio.open_nursery() as nursery:
            protocol: Any = Protocol()
            protocol.app, protocol.task_group, protocol.nursery = app, protocol, nursery
            protocol.stream = RequestStream(protocol, Inbox(protocol.config.counters), 1)
            head = {"headers": [], "http_version": "1.1", "method": "GET", "raw_path": b"/", "state": {}}
            await protocol.stream.handle(Request(stream_id=1, **head))
            await protocol.stream.handle(EndBody(stream_id=1))
        return bool(protocol.became_idle)

    assert run(main) is True


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/audit?timeout=30s", b"/audit?timeout=30s"),
        (b"http://host:1/audit?x=/", b"/audit?x=/"),
        (b"https://host?x=/y", b"/?x=/y"),
        (b"http://host", b"/"),
        (b"*", None),
        (b"host:443", None),
        (b"/\xff", None),
        (b"", None),
    ],
)
def test_a_target_becomes_path_and_query(target: bytes, expected: bytes | None) -> None:
    """RFC 9112, 3.2: origin and absolute form; anything else has no path to route on."""
    assert expected == origin_form(target)


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_plaintext_to_a_tls_port_is_just_closed() -> None:
    """No answer in plaintext; counted as a failed handshake; the next client is served."""

    async def main() -> tuple[bool, int]:
        async with served(echo) as server:
            plain = await server.connect_tcp()
            await plain.send_all(post("/", body=b"x"))
            answer = (await response_bytes(plain)).startswith(b"HTTP/")
            async with server.httpx() as client:
                assert (await client.post("/")).status_code == 200
            return answer, server.listener.statistics().handshake_failures

    assert run(main, real_time=True) == (False, 1)


async def send_for_ever(stream: trio.abc.Stream) -> None:
    while True:
        await stream.send_all(b"x" * 65536)


async def response_bytes(stream: trio.abc.Stream) -> bytes:
    data = b""
    with trio.fail_after(PATIENCE_S):
        try:
            while part := await stream.receive_some(65536):
                data += part
        except trio.BrokenResourceError:
            pass
    return data


def test_a_handshake_that_does_not_come_is_given_up() -> None:
    """A client that connects and says nothing to a TLS port is closed after handshake_s, others are served meanwhile."""

    async def main() -> int:
        async with served(echo, limits=Limits(handshake_s=0.1)) as server:
            silent = await server.connect_tcp()
            async with server.httpx() as client:
                assert (await client.post("/")).status_code == 200
            assert await ended(silent)
            return server.listener.statistics().handshake_failures

    assert run(main, real_time=True) == 1


def _quart() -> QuartTrio:
    app = QuartTrio("test")

    @app.route("/", methods=["GET", "POST"])
    async def index() -> str:
        return "page"

    @app.route("/events")
    async def events() -> Response:
        async def stream() -> Any:
            yield b": hello\n\n"
            await trio.sleep_forever()

        answer = Response(stream(), mimetype="text/event-stream")
        answer.timeout = None
        return answer

    return app


@BOTH
@pytest.mark.parametrize("make", [lambda: echo, _quart], ids=["asgi", "quart"])
@pytest.mark.parametrize("request_first", [b"", b"POST / HT", post("/")], ids=["nothing", "half a head", "a request"])
def test_an_idle_connection_is_closed(tls: bool, make: Any, request_first: bytes) -> None:
    """After idle_s without a whole request head, before the first request and after an answer, Quart's answers included.

    Under hypercorn.serve the last one stays open for ever (the keep-alive timer is not started again after a Quart-Trio answer).
    """

    async def main() -> bool:
        async with served(make(), tls=tls, limits=Limits(idle_s=0.1)) as server:
            stream = await server.connect()
            await stream.send_all(request_first)
            if request_first.endswith(b"\r\n\r\n"):
                assert (await response(stream))[0] == 200
            return await ended(stream)

    assert run(main, real_time=True)


@pytest.mark.slow
@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
def test_a_head_that_comes_by_the_byte_is_given_up(tls: bool) -> None:
    """The first one and a later one; idle connections live on meanwhile, also behind a body that was read to its end."""

    async def drip(stream: trio.abc.Stream) -> None:
        try:
            for byte in b"POST / HTTP/1.1\r\nX-Long: " + b"x" * 10_000:
                await stream.send_all(bytes([byte]))
                await trio.sleep(0.02)  # the sender's pace is what this is about
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def main() -> None:
        async with served(echo, tls=tls, limits=Limits(head_s=0.3, idle_s=60.0, drain_s=0.2)) as server:
            idle, later, first = [await server.connect() for _ in range(3)]
            for stream in (idle, later):
                await stream.send_all(post("/", length=2))
                await stream.send_all(b"xy")
                assert (await response(stream))[0] == 200
            for stream in (first, later):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(drip, stream)
                    assert await ended(stream)
                    nursery.cancel_scope.cancel()
            await idle.send_all(post("/"))
            assert (await response(idle))[0] == 200
            assert server.listener.statistics().slow_heads == 2
            assert server.listener.statistics().failures == {}

    run(main, real_time=True)


def test_an_idle_http2_connection_is_told_so() -> None:
    """GOAWAY before the close, with the last stream that was taken: a client knows what to send again."""

    async def main() -> tuple[int, int]:
        async with served(_quart(), limits=Limits(idle_s=0.1)) as server, h2_client(server) as client:
            stream_id = await client.open("/", method="GET", end=True)
            assert (await client.answer(stream_id)).status == 200
            with trio.fail_after(PATIENCE_S):
                await client.ended.wait()
            assert client.goaway is not None
            return int(client.goaway.error_code), client.goaway.last_stream_id - stream_id

    assert run(main, real_time=True) == (0, 0)


@BOTH
def test_a_client_that_does_not_read_is_cut(tls: bool) -> None:
    """A send that the peer does not take within send_s ends the connection, counted, and the application is told."""

    async def main() -> int:
        async with served(endless, tls=tls, limits=Limits(send_s=0.1)) as server:
            stream = await server.connect()
            await stream.send_all(post("/"))
            await server.settled(lambda: server.listener.statistics().connections == 1)
            await server.settled(lambda: server.listener.statistics().connections == 0)
            assert server.listener.statistics().failures == {}
            return server.listener.statistics().slow_readers

    assert run(main, real_time=True) == 1


def test_an_http2_stream_whose_window_stays_shut_is_reset_alone() -> None:
    """A client that opens no window loses that stream after send_s; its connection goes on."""

    async def main() -> tuple[int | None, int]:
        async with served(echo, limits=Limits(send_s=0.1)) as server, h2_client(server, window=0) as client:
            stuck = await client.answer(await client.open("/", end=True))
            second = await client.open("/", end=True)
            client.h2.increment_flow_control_window(100, second)
            await client.flush()
            return stuck.reset, (await client.answer(second)).status

    assert run(main, real_time=True) == (h2.errors.ErrorCodes.CANCEL, 200)


def test_a_flood_of_control_frames_ends_the_connection() -> None:
    """Pings over the rate are answered with GOAWAY ENHANCE_YOUR_CALM."""

    async def main() -> int:
        async with served(echo, limits=Limits(resets_per_s=1.0)) as server, h2_client(server) as client:
            for _ in range(30):
                client.h2.ping(b"12345678")
            await client.flush()
            with trio.fail_after(PATIENCE_S):
                await client.ended.wait()
            assert client.goaway is not None
            assert server.listener.statistics().floods == 1
            return int(client.goaway.error_code)

    assert run(main, real_time=True) == h2.errors.ErrorCodes.ENHANCE_YOUR_CALM


def test_unread_bodies_are_bounded_over_all_streams() -> None:
    """Where applications do not read, the stream that goes over unread_bytes is reset; the others stay."""

    async def main() -> tuple[int | None, int]:
        limits = Limits(unread_bytes=100_000, window_bytes=80_000, drain_s=0.1)
        async with served(endless, limits=limits) as server, h2_client(server) as client:
            first, second = await client.open("/hold"), await client.open("/hold")
            await client.send(first, b"x" * 70_000)
            await client.send(second, b"x" * 60_000)
            reset = (await client.answer(second)).reset
            return reset, server.listener.statistics().unread_resets

    assert run(main, real_time=True) == (h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, 1)


# --- early answers ---------------------------------------------------------------------------------------------------


@BOTH
def test_a_huge_body_is_answered_at_once_and_hardly_read(tls: bool) -> None:
    """Of 100 MB under an early 401 less than 1 MiB is read, then the connection ends."""

    async def main() -> tuple[int, bytes | None, int]:
        async with served(refuse_early(), tls=tls) as server:
            stream = await server.connect()
            await stream.send_all(post("/early", length=100_000_000))
            status, headers, _ = await response(stream)
            with trio.fail_after(PATIENCE_S), pytest.raises(trio.BrokenResourceError):
                await send_for_ever(stream)
            return status, headers.get(b"connection"), server.listener.statistics().bytes_in

    status, connection, count = run(main, real_time=True)
    assert (status, connection) == (401, b"close")
    assert count < 1 << 20


@BOTH
def test_the_early_answer_reaches_a_client_that_sends_first_and_reads_then(tls: bool) -> None:
    """A client in the middle of sending 300 kB gets the answer, not a reset; then the connection is closed by us."""

    async def main() -> tuple[int, bytes]:
        async with served(refuse_early(413), tls=tls) as server:
            stream = await server.connect()
            await stream.send_all(post("/early", length=300_000))
            for _ in range(30):
                await stream.send_all(b"x" * 10_000)
            status, _, body = await response(stream)
            assert await ended(stream)
            return status, body

    assert run(main, real_time=True) == (413, b"no")


def test_a_small_body_that_was_there_leaves_the_connection_open() -> None:
    """An early answer to a request that had wholly arrived is an ordinary one: keep-alive."""

    async def main() -> list[int]:
        async with served(refuse_early()) as server:
            stream = await server.connect()
            statuses = []
            for path in ("/early", "/", "/early"):
                await stream.send_all(post(path, body=b"{}"))
                statuses.append((await response(stream))[0])
            return statuses

    assert run(main, real_time=True) == [401, 200, 401]


def test_an_early_answer_on_http2_ends_its_stream_and_no_other() -> None:
    """The refused stream gets its answer and RST_STREAM NO_ERROR while another body on the connection is taken at once."""

    async def main() -> tuple[int, int | None, bytes]:
        async with served(refuse_early(413), limits=Limits(linger_s=0.1)) as server, h2_client(server) as client:
            refused = await client.open("/early", **{"content-length": "100000000"})
            normal = await client.open("/")
            answer = await client.answer(refused)
            await client.send(normal, b"x" * 519_000, end=True)
            body = (await client.answer(normal)).body
            with trio.fail_after(PATIENCE_S):
                while answer.reset is None:
                    await trio.lowlevel.checkpoint()
            return answer.status, answer.reset, body

    assert run(main, real_time=True) == (413, h2.errors.ErrorCodes.NO_ERROR, b"519000")


def _leaving(go: trio.Event) -> Any:
    """Answers /leave with the connection's end, /hold after `go`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/leave":
            await respond(send, 401, b"no", (b"connection", b"close"))
            return
        if scope["type"] == "http" and scope["path"] == "/hold":
            await go.wait()
        await echo(scope, receive, send)

    return app


def test_a_connection_that_ends_answers_what_is_in_flight_and_takes_nothing_more() -> None:
    """The stream beside the last answer gets its own, a later one REFUSED_STREAM (it may be sent again); then comes GOAWAY."""

    async def main() -> tuple[int | None, int, bool, int]:
        go = trio.Event()
        async with served(_leaving(go)) as server, h2_client(server) as client:
            held = await client.open("/hold", end=True)
            await client.answer(await client.open("/leave", end=True))
            refused = (await client.answer(await client.open("/", end=True))).reset
            was_open = client.goaway is None
            go.set()
            status = (await client.answer(held)).status
            with trio.fail_after(PATIENCE_S):
                await client.ended.wait()
            assert client.goaway is not None
            return refused, status, was_open, int(client.goaway.error_code)

    assert run(main, real_time=True) == (h2.errors.ErrorCodes.REFUSED_STREAM, 200, True, 0)


@pytest.mark.parametrize("is_reset", [False, True], ids=["never answered", "reset by the client"])
def test_a_connection_that_ends_does_so_within_a_bound(is_reset: bool) -> None:
    """What is in flight is waited for until drain_s, and no longer than the client wants it."""

    async def main() -> bool:
        limits = Limits(drain_s=60.0 if is_reset else 0.1)
        go = trio.Event()
        async with served(_leaving(go), limits=limits) as server, h2_client(server) as client:
            held = await client.open("/hold", end=True)
            await client.answer(await client.open("/leave", end=True))
            if is_reset:
                client.h2.reset_stream(held)
                await client.flush()
            with trio.fail_after(PATIENCE_S):
                await client.ended.wait()
            go.set()
            return client.goaway is not None

    assert run(main, real_time=True)


def test_refused_bodies_give_their_window_back() -> None:
    """After refused bodies of many times the connection's window, a normal one still gets through."""

    async def main() -> bytes:
        limits = Limits(streams=4, window_bytes=64 * 1024, linger_s=0.001)  # 256 KiB for the connection
        async with served(refuse_early(), limits=limits) as server, h2_client(server) as client:
            for _ in range(24):
                refused = await client.open("/early")
                client.h2.send_data(refused, b"x" * 16_384)
                client.h2.send_data(refused, b"x" * 16_384)
                await client.flush()
                answer = await client.answer(refused)
                assert answer.status == 401
                await server.settled(lambda answer=answer: answer.reset is not None)
            normal = await client.open("/")
            await client.send(normal, b"x" * 500_000, end=True)
            return (await client.answer(normal)).body

    assert run(main, real_time=True) == b"500000"


def test_a_body_that_is_not_read_stalls_no_other() -> None:
    """An application that sits on its body holds up its own stream only, however much the client would send on it."""

    async def main() -> bytes:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and scope["path"] == "/slow":
                await trio.sleep_forever()
            await echo(scope, receive, send)

        async with served(app) as server, h2_client(server) as client, trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(client.send, await client.open("/slow"), b"x" * 1_000_000)
            normal = await client.open("/")
            await client.send(normal, b"x" * 519_000, end=True)
            body = (await client.answer(normal)).body
            nursery.cancel_scope.cancel()
            return body

    assert run(main, real_time=True) == b"519000"


@pytest.mark.slow
def test_padding_alone_is_credited() -> None:
    """Frames with padding and no data use the window up too; it is given back for them."""

    async def main() -> bytes:
        limits = Limits(streams=2, window_bytes=64 * 1024)
        async with served(echo, limits=limits) as server, h2_client(server) as client:
            stream = await client.open("/")
            for _ in range(2000):
                with trio.fail_after(PATIENCE_S):
                    while client.h2.local_flow_control_window(stream) < 300:
                        await trio.lowlevel.checkpoint()
                client.h2.send_data(stream, b"", pad_length=255)
                await client.flush()
            await client.send(stream, b"end", end=True)
            return (await client.answer(stream)).body

    assert run(main, real_time=True) == b"3"


# --- the end -----------------------------------------------------------------------------------------------------------


@VERSIONS
@BOTH
@pytest.mark.slow
def test_shutdown_is_bounded_whatever_is_open(tls: bool, http2: bool) -> None:
    """Endless answers read or not, half bodies, half heads and open event streams are cut after drain_s."""

    async def main() -> float:
        started = trio.current_time()
        limits = Limits(drain_s=0.2, send_s=30.0)
        async with served(endless, tls=tls, limits=limits) as server:
            streams = [await server.connect() for _ in range(4)]
            requests = (post("/"), post("/hold", length=1000, body=b"{"), b"POST / HT", b"")
            for stream, data in zip(streams, requests, strict=True):
                await stream.send_all(data)
            if tls and http2:
                async with h2_client(server) as client:
                    await client.open("/")
                    await client.open("/hold")
                    await server.settled(lambda: server.listener.statistics().requests == 4)
                    started = trio.current_time()
                    await server.listener.drain()
            await server.settled(lambda: server.listener.statistics().requests >= 2)
            started = min(started, trio.current_time())
            await server.listener.drain()
            return trio.current_time() - started

    assert run(main, real_time=True) < 5.0


@pytest.mark.slow
def test_an_open_event_stream_does_not_hold_up_the_end() -> None:
    """A Quart generator that never ends is cancelled when the listener stops."""

    async def main() -> bytes:
        async with served(_quart(), tls=False, limits=Limits(drain_s=0.1)) as server:
            stream = await server.connect()
            await stream.send_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            data = b""
            while b"hello" not in data:
                data += await stream.receive_some(1000)
            with trio.fail_after(5):
                await server.listener.drain()
            return data[:15]

    assert run(main, real_time=True) == b"HTTP/1.1 200 \r\n"


@VERSIONS
def test_what_is_in_flight_is_answered_before_the_end(http2: bool) -> None:
    """Draining waits for an answer that is being made, and tells the client that the connection ends."""

    async def main() -> list[Any]:
        go = trio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                raise TypeError
            await go.wait()
            await respond(send, 200, b"done")

        async with served(app, limits=Limits(drain_s=10)) as server, server.httpx(http2=http2) as client:
            answers: list[Any] = []

            async def ask() -> None:
                answers.append(await client.post("/", content=b"x"))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await server.settled(lambda: server.listener.statistics().requests == 1)
                nursery.start_soon(server.listener.drain)
                await server.settled(lambda: server.listener.is_draining)
                go.set()
            return [(a.status_code, a.text, a.headers.get("connection")) for a in answers]

    assert [(200, "done", None if http2 else "close")] == run(main, real_time=True)


@BOTH
def test_what_has_no_request_in_flight_is_closed_as_soon_as_draining_begins(tls: bool) -> None:
    """A connection that never said anything, its handshake included, and half a request head hold up no stop."""

    async def main() -> float:
        async with served(echo, tls=tls, limits=Limits(drain_s=10.0)) as server:
            silent = await server.connect_tcp()
            half = await server.connect()
            await half.send_all(b"POST / HT")
            await server.settled(lambda: server.listener.statistics().connections == 2)
            started = trio.current_time()
            await server.listener.drain()
            took_s = trio.current_time() - started
            assert await ended(silent)
            assert await ended(half)
            assert server.listener.statistics().handshake_failures == 0
            return took_s

    assert run(main, real_time=True) < 3.0


@VERSIONS
def test_who_comes_while_it_drains_is_served_and_holds_up_nothing(http2: bool) -> None:
    """A new connection is answered, with the word that it ends; one that says nothing is not waited for."""

    async def main() -> tuple[int, str | None, float]:
        go = trio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and scope["path"] == "/hold":
                await go.wait()
            await echo(scope, receive, send)

        async with served(app, limits=Limits(drain_s=10.0)) as server, trio.open_nursery() as nursery:
            held = await server.connect()
            await held.send_all(post("/hold"))
            await server.settled(lambda: server.listener.statistics().requests == 1)
            nursery.start_soon(server.listener.drain)
            await server.settled(lambda: server.listener.is_draining)
            await server.connect_tcp()
            async with server.httpx(http2=http2) as client:
                answer = await client.post("/")
            started = trio.current_time()
            go.set()
            assert (await response(held))[0] == 200
            await server.listener.drain()
            return answer.status_code, answer.headers.get("connection"), trio.current_time() - started

    status, connection, took_s = run(main, real_time=True)
    assert (status, connection) == (200, None if http2 else "close")
    assert took_s < 3.0


def test_a_restart_refuses_no_connection() -> None:
    """The socket outlives the listener: who connects between two of them is served by the next."""

    async def main() -> list[int]:
        bound = bind("127.0.0.1", 0)
        statuses = []
        for _ in range(3):
            waiting = await trio.open_tcp_stream("127.0.0.1", bound.port)
            await waiting.send_all(post("/"))
            listener = Listener("test", echo)
            async with trio.open_nursery() as nursery:
                await nursery.start(listener.serve_connections, bound)
                statuses.append((await response(waiting))[0])
                await listener.drain()
            await trio.aclose_forcefully(waiting)
        bound.close()
        return statuses

    assert run(main, real_time=True) == [200, 200, 200]


def test_a_cancelled_listener_leaves_no_task_and_no_socket() -> None:
    """Cancelling serve_connections, as a supervisor does, closes every connection at once, slow readers included."""

    async def main() -> tuple[bool, int]:
        bound = bind("127.0.0.1", 0)
        listener = Listener("test", endless, tls=server_tls().context, limits=Limits())
        async with trio.open_nursery() as nursery:
            await nursery.start(listener.serve_connections, bound)
            tcp = await trio.open_tcp_stream("127.0.0.1", bound.port)
            await tcp.send_all(b"\x16\x03\x01")
            while listener.statistics().connections == 0:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        is_closed = await ended(tcp)
        await tcp.aclose()
        bound.close()
        return is_closed, listener.statistics().connections

    assert run(main, real_time=True) == (True, 0)


def test_both_families_of_a_name_are_bound() -> None:
    """localhost listens on every address it has, on one port."""
    bound = bind("localhost", 0)
    try:
        assert {str(bound.port)} == {address.rpartition(":")[2] for address in bound.addresses}
    finally:
        bound.close()
