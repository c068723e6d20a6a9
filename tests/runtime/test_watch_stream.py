"""The stream of lifecycle events over a real socket: names and fields, one subscription for each viewer, given back."""

from __future__ import annotations

import json
import re

import pytest
import trio
from edge_kit import served
from trio_run import run
from watch_kit import Spill, cafe, settled

from actors.runtime.watch import stream


async def read_until(connection: trio.abc.Stream, pattern: str) -> list[str]:
    """What the pattern finds in the answer, once it finds it."""
    text = ""
    with trio.fail_after(20):
        while not (found := re.findall(pattern, text)):
            text += (await connection.receive_some()).decode()
    return list(found[0]) if isinstance(found[0], tuple) else found


@pytest.mark.slow
def test_events_come_over_a_real_socket():
    """Headers come at once, then a failure and a restart by their names; at the end the subscription is given back."""

    async def main():
        async with cafe(real_time=True) as there, served(there.app, tls=False) as server:
            async with server.httpx() as client:
                tree = await client.get("/actors")
                assert (tree.status_code, tree.headers["x-frame-options"]) == (200, "DENY")
            connection = await server.connect()
            await connection.send_all(b"GET /api/actors/-/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await read_until(connection, r"text/event-stream[\s\S]*: watching")
            assert there.watch.statistics().streams.viewers == 1
            there.system.ref("/cafe/bar/barista").tell(Spill())
            found = await read_until(connection, r"event: (.*)\ndata: (.*)\n[\s\S]*event: (.*)\ndata: (.*)\n")
            await connection.aclose()
            await settled(lambda: there.watch.statistics().streams.viewers == 0)
            return found

    found = run(main, real_time=True)
    assert found[::2] == ["actor.failed", "actor.restarted"]
    data = json.loads(found[1])
    assert (data["event"], data["path"], data["error"], data["message_type"], data["incarnation"]) == (
        "actor.failed",
        "/cafe/bar/barista",
        "ValueError",
        "Spill",
        1,
    )
    assert data["at"].endswith("Z")


@pytest.mark.slow
def test_viewers_are_bounded(monkeypatch):
    """One stream too many is 503, and counted."""
    monkeypatch.setattr(stream, "VIEWERS_MAX", 1)

    async def main():
        async with cafe(real_time=True) as there, served(there.app, tls=False) as server:
            async with server.httpx() as client, client.stream("GET", "/api/actors/-/events"):
                answer = await client.get("/api/actors/-/events")
            return answer.status_code, answer.headers["retry-after"], there.watch.statistics().streams.refused

    assert run(main, real_time=True) == (503, "5", 1)


def test_silence_has_a_heartbeat_and_an_end():
    """Fifteen silent seconds bring a comment; the end of the system ends the stream."""

    async def main():
        async with cafe() as there:
            body = stream._Body(there.system.subscribe(4), set())
            got = [await anext(body)]
            before = trio.current_time()
            got.append(await anext(body))
            assert trio.current_time() - before == pytest.approx(15.0)
        while True:
            try:
                await anext(body)
            except StopAsyncIteration:
                return got

    assert run(main) == [b": watching\nretry: 3000\n\n", b": heartbeat\n\n"]
