"""Refusing at the door: what is refused there, what goes the ordinary way, and that both answer the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from edge_kit import Served, post, response, served
from trio_run import run

from actors.runtime import ActorDead
from web.behavior_ingest import make_behavior_app
from web.credentials import Tokens
from web.guard import FAILURES_BURST, Guard
from web.ingest import Ingest

RIGHT, WRONG = "Authorization: Bearer right\r\n", "Authorization: Bearer wrong\r\n"


class _Settings:
    max_body_bytes = 1000
    body_timeout_s = 5.0


class _Gone:
    async def ask(self, message: Any, *, timeout_s: float) -> Any:
        raise ActorDead("gone")


def app_of(is_draining: Callable[[], bool] = lambda: False) -> tuple[Guard, Ingest]:
    """An application whose right answer is 503: what is asked here is who gets as far as that."""
    tokens = Tokens(inline="right", listener="test", setting="TEST")
    guard = Guard(tokens, rate_per_s=1000.0, burst=1000, max_body_bytes=1000)
    return guard, make_behavior_app(_Gone(), guard, _Settings(), is_draining, now=lambda: 0.0)


CLIENT = ("10.0.0.1", 5)


@pytest.mark.parametrize(
    ("request_bytes", "is_refused"),
    [
        # a wrong token, none, one of another scheme
        (post("/", headers=WRONG), True),
        (post("/behavior?timeout=30s", headers=WRONG, body=b"{}"), True),
        (post("/"), True),
        (post("/", headers="Authorization: Basic right\r\n"), True),
        # the right one, however it is written
        (post("/", headers=RIGHT), False),
        (post("/", headers="aUTHORIZATION:bearer  right \r\n"), False),
        # the order of the answers: 404, 405 and what is no request come first
        (post("/nowhere", headers=WRONG), False),
        (post("/", headers=WRONG).replace(b"POST", b"GET"), False),
        (post("/", headers=WRONG).replace(b"HTTP/1.1", b"HTTP/1.0"), False),
        # what needs a closer look
        (post("/", headers=WRONG)[:-1], False),
        (post("/", headers=WRONG + RIGHT), False),
        (post("/", headers=WRONG + " folded\r\n"), False),
        (post("/", headers=WRONG + "Expect: 100-continue\r\n"), False),
        (post("/", headers=WRONG + "Transfer-Encoding: chunked\r\n"), False),
        (post("/", headers=WRONG + "Content-Length: 3\r\n"), False),
        (post("/", headers=WRONG + "no colon\r\n"), False),
        (post("/", headers=WRONG).replace(b"Host: localhost\r\n", b""), False),
        (b"\x16\x03\x01\r\n\r\n", False),
    ],
)
def test_who_is_refused_at_the_door(request_bytes: bytes, is_refused: bool) -> None:
    """Of an address that is over its rate of failures: a plain request without a right token, and nothing else."""

    async def main() -> None:
        guard, app = app_of()
        for _ in range(FAILURES_BURST):
            assert app.doorman(post("/", headers=WRONG), CLIENT) is None
            guard.admit([b"Bearer wrong"], CLIENT[0], trio.current_time())
        before = guard.statistics()
        assert (app.doorman(request_bytes, CLIENT) is not None) is is_refused
        after = guard.statistics()
        assert (after.unauthorized - before.unauthorized, after.closed - before.closed) == (is_refused, is_refused)
        assert app.statistics().answers == ({401: 1} if is_refused else {})
        assert app.doorman(request_bytes, ("10.0.0.2", 5)) is None

    run(main)


def test_while_it_drains_the_door_refuses_nobody() -> None:
    """503 comes before 401."""

    async def main() -> None:
        is_draining = False
        guard, app = app_of(lambda: is_draining)
        for _ in range(FAILURES_BURST):
            guard.admit([], CLIENT[0], trio.current_time())
        assert app.doorman(post("/"), CLIENT) is not None
        is_draining = True
        assert app.doorman(post("/"), CLIENT) is None

    run(main)


async def _exchange(server: Served, request: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    stream = await server.connect()
    await stream.send_all(request)
    return await response(stream)


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "tls"])
def test_the_door_says_what_the_application_says(tls: bool) -> None:
    """Header by header; half a body is no matter; a right token meanwhile gets as far as ever, as many as there are."""

    async def main() -> None:
        _, app = app_of()
        async with served(app, tls=tls) as plain, served(app, tls=tls, doorman=app.doorman) as guarded:
            for _ in range(FAILURES_BURST + 1):
                status, headers, body = await _exchange(plain, post("/", headers=WRONG, body=b"{}"))
            assert (status, headers[b"connection"]) == (401, b"close")
            for length in (2, 400, 10**14):
                said = await _exchange(guarded, post("/", headers=WRONG, body=b"{}", length=length))
                assert said[0] == status
                assert set(said[1]) == set(headers)
                assert {k: v for k, v in said[1].items() if k != b"date"} == {
                    k: v for k, v in headers.items() if k != b"date"
                }
                assert said[2] == body
                assert (await _exchange(guarded, post("/", headers=RIGHT, body=b"{}")))[0] == 503
            assert app.statistics().answers == {401: FAILURES_BURST + 1 + 3, 503: 3}
            assert guarded.listener.statistics().failures == {}

    run(main, real_time=True)
