"""The parser's actor: it answers every body, and splits large ones off the loop."""

from __future__ import annotations

from typing import Any

import pytest
from audit_events import RECEIVED_AT, event, event_list, raw_list
from trio_run import run

from actors.messages import ParseBody, ParsedBatch
from actors.parser import WHOLE_BYTES_MAX, ParserActor, parse_body
from actors.parser.actor import LOOP_BYTES_MAX, LOOP_LINES_MAX
from actors.runtime import Child, open_system

SMALL = event_list(event())
BODIES = [
    # one decode; split on the loop; split in a thread, being large or poisoned
    (SMALL, 0),
    (raw_list(b"7", b"{}"), 0),
    (b"", 0),
    (event_list(*[event()] * (WHOLE_BYTES_MAX // 900)), 1),
    (event_list(7, *[event()] * (LOOP_BYTES_MAX // 900)), 1),
    (b"x\n" + b"{\n" * LOOP_LINES_MAX, 1),
]


async def asked(*bodies: bytes) -> tuple[list[ParsedBatch], Any]:
    """The answers of one parser, and its statistics."""
    made: list[ParserActor] = []

    class Watched(ParserActor):
        async def on_start(self) -> None:
            made.append(self)

    async with open_system("test") as system:
        await system.start(Child("parser", Watched))
        ref = system.ref("/test/parser")
        answers = [await ref.ask(ParseBody(body, RECEIVED_AT, "peer"), timeout_s=30.0) for body in bodies]
        return answers, made[0].statistics()


@pytest.mark.parametrize(("body", "in_thread"), BODIES)
def test_every_body_is_answered_and_large_ones_off_the_loop(body: bytes, in_thread: int) -> None:
    """The answer is parse_body's, wherever it was made."""
    (answer,), statistics = run(asked, body, real_time=True)
    assert (parse_body(body, RECEIVED_AT, "peer"), in_thread) == (answer, statistics.in_thread)


def test_the_statistics_add_up() -> None:
    """Over a good body, a poisoned one and garbage."""
    _, statistics = run(asked, SMALL, raw_list(b"7", *[SMALL] * 0), b"garbage", real_time=True)
    expected = (3, 2, 1, 1, {"accounts", "namespaces", "scopes", "holders", "texts", "reasons"})
    assert expected == (
        statistics.bodies,
        statistics.events,
        statistics.reads,
        statistics.errors,
        set(statistics.memos),
    )
