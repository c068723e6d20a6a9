"""The ingest endpoints over real sockets: the answers, their order, and what each of them costs."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from edge_kit import PATIENCE_S, H2Client, ended, h2_client, post, response, served
from msgspec import Struct
from trio_run import run

from actors.messages import BatchAnswer, ParseBody, ParsedBatch, RecordBatch, StoreUnavailable
from actors.runtime import ActorCrashed, ActorDead, AskTimeout, MailboxFull
from web.audit_sink import LARGE_BODY_BYTES
from web.credentials import Tokens
from web.guard import FAILURES_BURST, Guard
from web.ingest import Ingest, make_audit_app
from web.listener import Limits

TOKEN = "right-token"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
HEAD = f"Authorization: Bearer {TOKEN}\r\n"


class StandInParser:
    """Answers every body as one read, "garbage" as no events; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[ParseBody] = []
        self.fails: Exception | None = None

    async def ask(self, message: Any, *, timeout_s: float) -> ParsedBatch:
        assert timeout_s > 0
        if self.fails is not None:
            raise self.fails
        self.asked.append(message)
        error = "not JSON, at byte 0" if message.body == b"garbage" else None
        events = 0 if error else 1
        digest = sha256(message.body).digest()
        return ParsedBatch(digest=digest, received_at=message.received_at, events=events, reads=(), error=error)


class StandInStore:
    """Answers every batch as new; `holds` makes it wait."""

    def __init__(self) -> None:
        self.recorded: list[ParsedBatch] = []
        self.fails: Exception | StoreUnavailable | None = None
        self.holds: trio.Event | None = None

    async def ask(self, message: RecordBatch, *, timeout_s: float) -> BatchAnswer | StoreUnavailable:
        assert timeout_s > 0
        if self.holds is not None:
            await self.holds.wait()
        if isinstance(self.fails, Exception):
            raise self.fails
        if self.fails is not None:
            return self.fails
        self.recorded.append(message.batch)
        events = message.batch.events
        return BatchAnswer(events=events, reads=events, new=events, dropped={})


class Cap(Struct, frozen=True):
    """The settings that ingest reads."""

    max_body_bytes: int = 4 << 20
    body_timeout_s: float = 20.0


class Bench:
    """An audit application with its stand-ins."""

    def __init__(
        self,
        cap: Cap | None = None,
        *,
        rate_per_s: float = 1000.0,
        burst: int = 1000,
        bodies: int | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self.parser, self.parser_large, self.store = StandInParser(), StandInParser(), StandInStore()
        self.tokens = tokens or Tokens(inline=TOKEN, listener="audit", setting="PROTECTOR_INGEST_TOKEN")
        cap = cap or Cap()
        self.guard = Guard(
            self.tokens,
            rate_per_s=rate_per_s,
            burst=burst,
            max_body_bytes=cap.max_body_bytes,
            bodies_bytes_max=bodies,
        )
        self.draining = False
        self.unusable: list[tuple[str, int, str, str]] = []
        self.app: Ingest = make_audit_app(
            self.parser,
            self.parser_large,
            self.store,
            self.guard,
            cap,
            lambda: self.draining,
            now=lambda: 1234.5,
            unusable=lambda *what: self.unusable.append(what),
        )


@asynccontextmanager
async def door(bench: Bench, *, http2: bool = False, limits: Limits | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a TLS listener with this application."""
    async with served(bench.app, limits=limits) as server, server.httpx(http2=http2) as client:
        yield client
        assert server.listener.statistics().failures == {}


VERSIONS = pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])


# --- taken -----------------------------------------------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize("path", ["/", "/audit", "/?timeout=30s", "/audit?timeout=30s&x=%ff"])
def test_a_batch_is_taken_on_both_paths(http2: bool, path: str) -> None:
    """Whatever the query and the content type; the answer is the store's, as JSON with its length."""

    async def main() -> httpx.Response:
        bench = Bench()
        async with door(bench, http2=http2) as client:
            headers = AUTHORIZED | {"content-type": "application/vnd.kubernetes.protobuf", "x-forwarded-for": "8.8.8.8"}
            answer = await client.post(path, content=b"{}", headers=headers)
        assert bench.parser.asked == [ParseBody(body=b"{}", received_at=1234.5, peer="127.0.0.1")]
        return answer

    answer = run(main, real_time=True)
    assert answer.status_code == 200
    assert answer.json() == {"events": 1, "reads": 1, "new": 1, "dropped": {}, "duplicate": False}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.content))


@VERSIONS
def test_bodies_arrive_whole(http2: bool) -> None:
    """Empty, one byte, and some megabytes, with a length and in chunks; large ones go to their own parser."""

    async def main() -> list[int]:
        bench = Bench()

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(30):
                yield b"c" * 100_000

        async with door(bench, http2=http2) as client:
            for content in (b"", b"x", b"y" * LARGE_BODY_BYTES, b"z" * (LARGE_BODY_BYTES + 1), chunks()):
                answer = await client.post("/", content=content, headers=AUTHORIZED)
                assert answer.status_code == 200
        assert bench.guard.bodies.in_use == 0
        assert {len(m.body) for m in bench.parser_large.asked} == {LARGE_BODY_BYTES + 1, 3_000_000}
        return sorted(len(m.body) for m in bench.parser.asked)

    assert run(main, real_time=True) == [0, 1, LARGE_BODY_BYTES]


def test_what_cannot_be_read_is_taken_all_the_same() -> None:
    """200 with `error`, told on by hash, size, peer and reason; never by content."""

    async def main() -> tuple[httpx.Response, Bench]:
        bench = Bench()
        async with door(bench) as client:
            headers = AUTHORIZED | {"content-encoding": "snappy"}
            return await client.post("/", content=b"garbage", headers=headers), bench

    answer, bench = run(main, real_time=True)
    assert answer.status_code == 200
    assert answer.json().items() >= {"events": 0, "reads": 0, "error": "not JSON, at byte 0"}.items()
    assert bench.unusable == [(sha256(b"garbage").hexdigest(), 7, "127.0.0.1", "not JSON, at byte 0")]
    assert bench.app.statistics().unusable == 1


@pytest.mark.parametrize("http2", [False, True])
def test_a_compressed_body_is_taken_as_what_it_unfolds_to(*, http2: bool) -> None:
    """Of both sizes; a bomb gets 413 and is counted, and the parser never sees it."""

    async def main() -> tuple[list[int], Bench]:
        bench = Bench(Cap(max_body_bytes=2 * LARGE_BODY_BYTES))
        headers = AUTHORIZED | {"content-encoding": "gzip"}
        bodies = [b"x", b"y" * (LARGE_BODY_BYTES + 1), b"z" * (2 * LARGE_BODY_BYTES + 1), b"last"]
        async with door(bench, http2=http2) as client:
            answers = [await client.post("/", content=gzip.compress(body), headers=headers) for body in bodies]
        return [answer.status_code for answer in answers], bench

    statuses, bench = run(main, real_time=True)
    assert statuses == [200, 200, 413, 200]
    assert [message.body for message in bench.parser.asked] == [b"x", b"last"]
    assert [len(message.body) for message in bench.parser_large.asked] == [LARGE_BODY_BYTES + 1]
    assert (bench.app.statistics().bombs, bench.guard.bodies.in_use) == (1, 0)


def test_an_expectation_is_met() -> None:
    """`Expect: 100-continue`: 100 first, then the body, then 200."""

    async def main() -> list[int]:
        async with served(Bench().app) as server:
            stream = await server.connect()
            await stream.send_all(post("/", length=2, headers=HEAD + "Expect: 100-continue\r\n"))
            first = bytes(await stream.receive_some(1000))
            await stream.send_all(b"{}")
            return [int(first.split()[1]), (await response(stream))[0]]

    assert run(main, real_time=True) == [100, 200]


# --- refused, in order -----------------------------------------------------------------------------------------------


@VERSIONS
def test_the_order_of_the_answers(http2: bool) -> None:
    """Each request deserves every later refusal too: 404, 405, 503, 401, 429, 413."""

    async def main() -> list[int]:
        bench = Bench(Cap(max_body_bytes=100), rate_per_s=0.01, burst=1)
        large, wrong = b"x" * 1000, {"authorization": "Bearer wrong"}
        statuses = []
        async with door(bench, http2=http2) as client:

            async def ask(path: str, method: str, headers: dict[str, str]) -> httpx.Response:
                answer = await client.request(method, path, content=large, headers=headers)
                statuses.append(answer.status_code)
                return answer

            bench.draining = True
            await ask("/nothing", "PUT", wrong)
            assert (await ask("/audit", "PUT", wrong)).headers["allow"] == "POST"
            assert (await ask("/audit", "POST", wrong)).headers["retry-after"] == "5"
            bench.draining = False
            assert (await ask("/audit", "POST", wrong)).headers["www-authenticate"] == "Bearer"
            await ask("/audit", "POST", AUTHORIZED)  # takes the only place
            assert (await ask("/audit", "POST", AUTHORIZED)).headers["retry-after"] == "5"
        assert bench.app.statistics().answers == {404: 1, 405: 1, 503: 1, 401: 1, 413: 1, 429: 1}
        assert bench.store.recorded == []
        return statuses

    assert run(main, real_time=True) == [404, 405, 503, 401, 413, 429]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"])
def test_only_post_is_a_method_here(method: str) -> None:
    """405 with Allow, for made-up methods too."""

    async def main() -> tuple[int, str]:
        async with door(Bench()) as client:
            answer = await client.request(method, "/", headers=AUTHORIZED)
            return answer.status_code, answer.headers["allow"]

    assert run(main, real_time=True) == (405, "POST")


@pytest.mark.parametrize("path", ["/audit/", "/Audit", "/audit/x", "/behavior", "/a%75dit%00", "/healthz"])
def test_other_paths_are_not_found(path: str) -> None:
    """No redirect to a path with or without a slash: it would turn a POST into a GET."""

    async def main() -> int:
        async with door(Bench()) as client:
            return (await client.post(path, headers=AUTHORIZED)).status_code

    assert run(main, real_time=True) == 404


@VERSIONS
def test_no_token_no_reading(http2: bool) -> None:
    """100 MB without a token: 401 at once and less than 1 MiB read."""

    async def main() -> tuple[int, int]:
        async with served(Bench().app) as server:
            if http2:
                async with h2_client(server) as client:
                    stream = await client.open("/audit", **{"content-length": "104857600"})
                    status = (await client.answer(stream)).status
            else:
                raw = await server.connect()
                await raw.send_all(post("/audit", length=104_857_600))
                status = (await response(raw))[0]
            return status, server.listener.statistics().bytes_in

    status, count = run(main, real_time=True)
    assert status == 401
    assert count < 1 << 20


@pytest.mark.parametrize("length", [str((4 << 20) + 1), "104857600", "99999999999999999999", "0" * 11 + "104857600"])
def test_a_length_over_the_cap_is_refused_before_the_body(length: str) -> None:
    """413 while nothing of the body was sent, for numbers of any size."""

    async def main() -> int:
        async with served(Bench().app) as server:
            stream = await server.connect()
            head = f"POST / HTTP/1.1\r\nHost: x\r\n{HEAD}Content-Length: {length}\r\n\r\n"
            await stream.send_all(head.encode())
            return (await response(stream))[0]

    assert run(main, real_time=True) == 413


@VERSIONS
def test_chunks_over_the_cap_are_refused_where_they_cross_it(http2: bool) -> None:
    """A body without a length is read up to the cap and no further; what it held is given back."""

    async def main() -> tuple[int, int, int]:
        bench = Bench(Cap(max_body_bytes=1_000_000))
        async with served(bench.app) as server:
            if http2:
                async with h2_client(server) as client:
                    stream = await client.open("/", **AUTHORIZED)
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(client.send, stream, b"x" * 3_000_000)
                        status = (await client.answer(stream)).status
                        nursery.cancel_scope.cancel()
            else:
                raw = await server.connect()
                head = f"POST / HTTP/1.1\r\nHost: x\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n"
                await raw.send_all(head.encode())
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_send_chunks, raw)
                    status = (await response(raw))[0]
                    nursery.cancel_scope.cancel()
            return status, bench.guard.bodies.peak, bench.guard.bodies.in_use

    status, peak, in_use = run(main, real_time=True)
    assert (status, in_use) == (413, 0)
    assert peak <= 1_000_000


async def _send_chunks(stream: trio.abc.Stream) -> None:
    try:
        while True:
            await stream.send_all(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
    except trio.BrokenResourceError:
        pass


@VERSIONS
def test_half_a_body_is_given_up(http2: bool) -> None:
    """408 after body_timeout_s, also where a byte comes now and then; the connection ends (HTTP/1.1) or its stream (HTTP/2)."""

    async def main() -> tuple[int, int]:
        bench = Bench(Cap(body_timeout_s=0.2))
        async with served(bench.app) as server, trio.open_nursery() as nursery:
            if http2:
                async with h2_client(server) as client:
                    stream = await client.open("/", **AUTHORIZED)
                    nursery.start_soon(_trickle_h2, client, stream)
                    status = (await client.answer(stream)).status
                    nursery.cancel_scope.cancel()
            else:
                raw = await server.connect()
                await raw.send_all(post("/", length=1000, headers=HEAD))
                nursery.start_soon(_trickle, raw)
                status = (await response(raw))[0]
                assert await ended(raw)
            nursery.cancel_scope.cancel()
        return status, bench.guard.bodies.in_use

    assert run(main, real_time=True) == (408, 0)


def test_a_body_that_stalls_ends_no_other_batch_of_its_connection() -> None:
    """One stream is given up while a batch beside it waits for its commit: that one is answered 200, and so is a later one."""

    async def main() -> list[int]:
        bench = Bench(Cap(body_timeout_s=0.2))
        bench.store.holds = trio.Event()
        async with served(bench.app) as server, h2_client(server) as client:
            stalled = await client.open("/", **AUTHORIZED)
            await client.send(stalled, b"{")
            beside = await client.open("/", **AUTHORIZED)
            await client.send(beside, b"beside", end=True)
            statuses = [(await client.answer(stalled)).status]
            bench.store.holds.set()
            statuses.append((await client.answer(beside)).status)
            later = await client.open("/", **AUTHORIZED)
            await client.send(later, b"later", end=True)
            return [*statuses, (await client.answer(later)).status]

    assert run(main, real_time=True) == [408, 200, 200]


async def _trickle(stream: trio.abc.Stream) -> None:
    try:
        while True:
            await stream.send_all(b"{")
            await trio.sleep(0.02)  # the sender's pace is what this is about
    except trio.BrokenResourceError:
        pass


async def _trickle_h2(client: H2Client, stream: int) -> None:
    while client.streams[stream].reset is None:
        await client.send(stream, b"{")
        await trio.sleep(0.02)  # likewise


# --- rate and failures -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_burst_then_a_wait_then_429() -> None:
    """Of many at once: the burst at once, some after a wait for room, the rest 429 with Retry-After and at once."""

    async def main() -> tuple[list[int], float]:
        bench = Bench(rate_per_s=20.0, burst=4)
        statuses: list[int] = []

        async def ask(client: httpx.AsyncClient) -> None:
            answer = await client.post("/", content=b"{}", headers=AUTHORIZED)
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                assert answer.headers["retry-after"] == "5"

        async with door(bench, http2=True) as client:
            await ask(client)
            started = trio.current_time()
            async with trio.open_nursery() as nursery:
                for _ in range(9):
                    nursery.start_soon(ask, client)
            took_s = trio.current_time() - started
        return statuses, took_s

    statuses, took_s = run(main, real_time=True)
    assert statuses == [200] * 10
    assert 0.2 <= took_s < 2.0


def test_over_the_rate_is_told_at_once() -> None:
    """Where waiting would not help nobody waits, and what is refused is not used."""

    async def main() -> tuple[list[int], int]:
        bench = Bench(rate_per_s=0.01, burst=2)
        async with door(bench) as client:
            statuses = [(await client.post("/", content=b"{}", headers=AUTHORIZED)).status_code for _ in range(4)]
        return statuses, len(bench.store.recorded)

    assert run(main, real_time=True) == ([200, 200, 429, 429], 2)


def test_wrong_tokens_cost_the_good_one_nothing() -> None:
    """Far over the failure rate from the same address: every batch is taken; the stranger's connection is closed after its 401."""

    async def main() -> tuple[list[int], list[int]]:
        bench = Bench(rate_per_s=1000.0, burst=10)
        good, bad = [], []
        async with served(bench.app) as server, server.httpx() as client:
            for _ in range(FAILURES_BURST + 5):
                stranger = await server.connect()
                await stranger.send_all(post("/", body=b"{}", headers="Authorization: Bearer wrong\r\n"))
                bad.append((await response(stranger))[0])
                good.append((await client.post("/", content=b"{}", headers=AUTHORIZED)).status_code)
            assert await ended(stranger)
            assert server.listener.statistics().connections_total == len(bad) + 1, "the good one kept its connection"
        return good, bad

    good, bad = run(main, real_time=True)
    assert (set(good), set(bad)) == ({200}, {401})


def test_over_http2_the_strangers_connection_ends_as_well() -> None:
    """After the 401 that is over the failure rate: GOAWAY and close."""

    async def main() -> list[int]:
        async with served(Bench().app) as server, h2_client(server) as client:
            statuses = []
            while not client.ended.is_set() and len(statuses) <= FAILURES_BURST:
                statuses.append((await client.answer(await client.open("/", end=True))).status)
            with trio.fail_after(PATIENCE_S):
                await client.ended.wait()
            assert client.goaway is not None
            return statuses

    assert run(main, real_time=True) == [401] * (FAILURES_BURST + 1)


def test_tokens_rotate_without_a_pause(tmp_path: Path) -> None:
    """On an open connection: the new token counts after the file changed, the one that stayed always, the old no longer."""

    async def main() -> list[int]:
        file = tmp_path / "tokens"
        file.write_text("first\nsecond\n")
        tokens = Tokens(file=file, listener="audit", setting="PROTECTOR_INGEST_TOKEN")
        statuses = []
        async with door(Bench(tokens=tokens)) as client:

            async def ask_all() -> None:
                for token in ("first", "second", "third"):
                    headers = {"authorization": f"Bearer {token}"}
                    statuses.append((await client.post("/", content=b"{}", headers=headers)).status_code)

            await ask_all()
            file.write_text("second\nthird\n")
            tokens.refresh(time.time())
            await ask_all()
        return statuses

    assert run(main, real_time=True) == [200, 200, 401, 401, 200, 200]


# --- full, failing, ending ---------------------------------------------------------------------------------------------


def test_bodies_in_memory_are_bounded() -> None:
    """What would go over the bound is 503 and its stream ended, while the one that holds the memory is still answered."""

    async def main() -> list[tuple[int, int]]:
        bench = Bench(bodies=1_000_000)
        bench.store.holds = trio.Event()
        async with served(bench.app) as server, h2_client(server) as client:
            first = await client.open("/", **AUTHORIZED)
            await client.send(first, b"x" * 700_000, end=True)
            await server.settled(lambda: bench.app.statistics().taken_bytes == 700_000)
            second = await client.open("/", **AUTHORIZED)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send, second, b"x" * 700_000)
                refused = await client.answer(second)
                nursery.cancel_scope.cancel()
            bench.store.holds.set()
            taken = await client.answer(first)
            return [(taken.status, len(bench.store.recorded)), (refused.status, bench.guard.bodies.in_use)]

    assert run(main, real_time=True) == [(200, 1), (503, 0)]


@pytest.mark.parametrize(
    "failure",
    [
        AskTimeout("late"),
        ActorCrashed("bug"),
        ActorDead("gone"),
        MailboxFull("full"),
        StoreUnavailable(why="disk full"),
    ],
    ids=lambda f: type(f).__name__,
)
@pytest.mark.parametrize("where", ["parser", "store"])
def test_a_pipeline_that_cannot_is_503(failure: Any, where: str) -> None:
    """With Retry-After; the next batch is taken once it can again. Nothing in between is answered 200."""
    if where == "parser" and isinstance(failure, StoreUnavailable):
        return

    async def main() -> list[tuple[int, str | None]]:
        bench = Bench()
        broken: Any = getattr(bench, where)
        answers = []
        async with door(bench) as client:
            for fails in (failure, None):
                broken.fails = fails
                answer = await client.post("/", content=b"{}", headers=AUTHORIZED)
                answers.append((answer.status_code, answer.headers.get("retry-after")))
        return answers

    assert run(main, real_time=True) == [(503, "5"), (200, None)]


def test_a_client_that_leaves_is_no_failure() -> None:
    """In the middle of its body: nothing is parsed, nothing held, nothing counted as an answer."""

    async def main() -> tuple[Bench, dict[str, int]]:
        bench = Bench()
        async with served(bench.app) as server:
            stream = await server.connect()
            await stream.send_all(post("/", length=1000, body=b"{", headers=HEAD))
            await server.settled(lambda: bench.app.statistics().in_flight == 1)
            await trio.aclose_forcefully(stream)
            await server.settled(lambda: bench.app.statistics().in_flight == 0)
            return bench, server.listener.statistics().failures

    bench, failures = run(main, real_time=True)
    statistics = bench.app.statistics()
    assert (statistics.left, statistics.answers, failures) == (1, {}, {})
    assert (bench.parser.asked, bench.guard.bodies.in_use) == ([], 0)


def test_draining_answers_what_is_in_flight_and_refuses_what_comes() -> None:
    """A batch that is being stored gets its 200; a new one on the same connection 503 with Retry-After."""

    async def main() -> tuple[int, int]:
        bench = Bench()
        bench.store.holds = trio.Event()
        async with served(bench.app, limits=Limits(drain_s=10)) as server, h2_client(server) as client:
            first = await client.open("/", **AUTHORIZED)
            await client.send(first, b"{}", end=True)
            await server.settled(lambda: len(bench.parser.asked) == 1)
            bench.draining = True
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.listener.drain)
                await server.settled(lambda: server.listener.is_draining)
                second = await client.open("/", **AUTHORIZED)
                refused = (await client.answer(second)).status
                bench.store.holds.set()
                taken = (await client.answer(first)).status
            return taken, refused

    assert run(main, real_time=True) == (200, 503)


@VERSIONS
@pytest.mark.slow
def test_many_at_once_on_one_connection(http2: bool) -> None:
    """Two hundred batches, wrong tokens and oversized bodies mixed: each gets its own answer."""

    async def main() -> dict[int, int]:
        bench = Bench(Cap(max_body_bytes=300_000))
        counts: dict[int, int] = {}

        async def ask(client: httpx.AsyncClient, i: int) -> None:
            content = b"x" * (400_000 if i % 5 == 0 else 100_000)
            headers = {"authorization": "Bearer wrong"} if i % 10 == 1 else AUTHORIZED
            answer = await client.post("/", content=content, headers=headers)
            assert i % 5 != 2 or json.loads(answer.content)["new"] == 1
            counts[answer.status_code] = counts.get(answer.status_code, 0) + 1

        # httpx takes RST_STREAM after a whole answer for an error; 200 bodies at once take it longer than the default bound.
        limits = Limits(linger_s=20.0)
        async with door(bench, http2=http2, limits=limits) as client, trio.open_nursery() as nursery:
            for i in range(200):
                nursery.start_soon(ask, client, i)
        assert bench.guard.bodies.in_use == 0
        return counts

    assert run(main, real_time=True) == {200: 140, 413: 40, 401: 20}


# --- behaviors -----------------------------------------------------------------------------------------------------------


def test_only_http_is_served() -> None:
    """Only http is served here: anything else is our own mistake and raises."""

    async def main() -> None:
        with pytest.raises(TypeError, match="lifespan"):
            await Bench().app({"type": "lifespan"}, None, None)  # type: ignore[arg-type]  # never called

    run(main)
