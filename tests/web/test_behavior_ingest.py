"""The behavior listener over real sockets: its doors, its answers, and what the actor's silence becomes."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from edge_kit import served
from msgspec import Struct
from trio_run import run

from actors.messages import BehaviorsAnswer, TakeBehaviors
from actors.runtime import ActorCrashed, AskTimeout, MailboxFull
from web.behavior_ingest import BEHAVIOR_BODY_BYTES_MAX, make_behavior_app
from web.credentials import Tokens
from web.guard import Guard

TOKEN = "agents-token"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}


class Cap(Struct, frozen=True):
    """Settings of the doors."""

    max_body_bytes: int = 48 << 20
    body_timeout_s: float = 25.0


class StandInBehaviors:
    """Answers every report as one taken behavior, `garbage` as none."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.asked: list[TakeBehaviors] = []
        self.fails = fails

    async def ask(self, message: Any, *, timeout_s: float) -> BehaviorsAnswer:
        assert timeout_s > 0
        if self.fails is not None:
            raise self.fails
        self.asked.append(message)
        if message.body == b"garbage":
            return BehaviorsAnswer(0, 0, 0, 0, {}, "not a JSON array of observations")
        return BehaviorsAnswer(3, 1, 1, 1, {"malformed": 2})


def make_guard() -> Guard:
    """The doors, with one token."""
    tokens = Tokens(inline=TOKEN, file=None, listener="behavior", setting="PROTECTOR_BEHAVIOR_TOKEN")
    return Guard(tokens, rate_per_s=500, burst=1000, max_body_bytes=48 << 20)


async def asked(behaviors: StandInBehaviors, method: str, path: str, **request: Any) -> httpx.Response:
    app = make_behavior_app(behaviors, make_guard(), Cap(), lambda: False, now=lambda: 1234.5)
    async with served(app) as server, server.httpx() as client:
        return await client.request(method, path, **request)


@pytest.mark.parametrize(
    ("method", "path", "headers", "size", "expected"),
    [
        ("POST", "/nothing", AUTHORIZED, 2, 404),
        ("POST", "/audit", AUTHORIZED, 2, 404),
        ("GET", "/behavior", {}, 0, 405),
        ("POST", "/behavior", {}, 2, 401),
        ("POST", "/", {"authorization": "Bearer wrong"}, 2, 401),
        ("POST", "/behavior", AUTHORIZED, BEHAVIOR_BODY_BYTES_MAX, 200),
        ("POST", "/", AUTHORIZED, 2, 200),
    ],
)
def test_the_behavior_listener_has_the_same_doors(
    method: str, path: str, headers: dict[str, str], size: int, expected: int
) -> None:
    """With a cap of its own."""

    async def main() -> int:
        return (await asked(StandInBehaviors(), method, path, headers=headers, content=b"x" * size)).status_code

    assert run(main, real_time=True) == expected


@pytest.mark.parametrize(
    ("path", "is_falco"), [("/behavior", False), ("/", True), ("/?x=1", True), ("/behavior?x", False)]
)
def test_the_path_says_whose_report_it_is(path: str, is_falco: bool) -> None:
    """/behavior: agents; /: Falco. The answer is the actor's, as JSON."""

    async def main() -> tuple[httpx.Response, list[TakeBehaviors]]:
        behaviors = StandInBehaviors()
        return await asked(behaviors, "POST", path, headers=AUTHORIZED, content=b"[]"), behaviors.asked

    answer, messages = run(main, real_time=True)
    assert [TakeBehaviors(b"[]", is_falco, 1234.5)] == messages
    assert answer.json() == {"events": 3, "taken": 1, "reads": 1, "new": 1, "dropped": {"malformed": 2}}


def test_what_cannot_be_read_is_answered_with_an_error() -> None:
    """200: sent again it would be no better."""

    async def main() -> httpx.Response:
        return await asked(StandInBehaviors(), "POST", "/behavior", headers=AUTHORIZED, content=b"garbage")

    answer = run(main, real_time=True)
    assert answer.status_code == 200
    assert (answer.json()["events"], answer.json()["error"]) == (0, "not a JSON array of observations")


@pytest.mark.parametrize(
    "fails", [AskTimeout("late"), MailboxFull("full"), ActorCrashed("gone")], ids=lambda e: type(e).__name__
)
def test_while_the_actor_is_away_the_sender_is_asked_to_come_again(fails: Exception) -> None:
    """503 with Retry-After, never 500."""

    async def main() -> httpx.Response:
        return await asked(StandInBehaviors(fails), "POST", "/behavior", headers=AUTHORIZED, content=b"[]")

    answer = run(main, real_time=True)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert json.loads(answer.content) == {"error": "not taken; send it again"}


def test_a_body_over_the_cap_is_not_read() -> None:
    """413 by its length alone."""

    async def main() -> int:
        app = make_behavior_app(StandInBehaviors(), make_guard(), Cap(), lambda: False, now=lambda: 1234.5)
        length = str(BEHAVIOR_BODY_BYTES_MAX + 1).encode()
        headers = [(b"authorization", f"Bearer {TOKEN}".encode()), (b"content-length", length)]
        scope = {"type": "http", "path": "/behavior", "method": "POST", "headers": headers, "client": ("192.0.2.1", 1)}
        sent: list[Any] = []

        async def send(event: Any) -> None:
            sent.append(event)

        await app(scope, None, send)  # type: ignore[arg-type]  # never called
        return int(sent[0]["status"])

    assert run(main) == 413
