"""Playing a story on virtual time: its scenes in time, the network's faults, what is told; and the network by itself."""

from __future__ import annotations

import random
from pathlib import Path

import httpx
import msgspec
import pytest
import trio
from click.testing import CliRunner
from trio_run import run

from actors.testing.apiserver import SenderOptions, SimulatedApiServer
from actors.testing.cast import load_cast
from actors.testing.network import Fault, LossyStatistics, LossyTransport
from actors.testing.play import main, play_story
from actors.testing.story import load_story

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "shop"


class Receiver(httpx.AsyncBaseTransport):
    """Answers 200 with how many events came, and `duplicate` for a body it knows."""

    def __init__(self):
        self.bodies = []

    async def handle_async_request(self, request):
        body = await request.aread()
        duplicate = body in self.bodies
        self.bodies.append(body)
        return httpx.Response(200, json={"duplicate": duplicate})


def play(**options):
    """Plays the shipped example against a receiver. Returns the receiver and the lines with their times."""
    receiver, lines = Receiver(), []
    cast = load_cast(EXAMPLE / "cluster.yaml")
    story = load_story(EXAMPLE / "story.yaml", cast)

    async def body():
        lossy = LossyTransport(receiver)
        began = trio.current_time()
        server = SimulatedApiServer(
            "https://x/audit",
            "t",
            lossy,
            options=SenderOptions(batch_wait_s=1.0, initial_backoff_s=3.0),
            chance=random.Random(5),
            observe=lambda attempt: lines.append((trio.current_time() - began, attempt)),
        )

        def say(line):
            lines.append((trio.current_time() - began, line))

        await play_story(
            story, cast, server, lossy, say, now=lambda: 1e9 + trio.current_time(), chance=random.Random(5), **options
        )

    run(body)
    return story, receiver, lines


def items(receiver):
    return [item for body in receiver.bodies for item in msgspec.json.decode(body)["items"]]


def test_scenes_are_told_at_their_times():
    """Each scene is told when its requests are made."""
    story, _, lines = play()
    told = [(at, line["tell"]) for at, line in lines if isinstance(line, dict) and line["event"] == "scene"]
    assert told == [(pytest.approx(scene.at_s), scene.tell) for scene in story.scenes]


def test_a_lost_answer_makes_a_repeated_batch():
    """The receiver gets the batch twice, byte for byte, and says so the second time."""
    _, receiver, _ = play()
    repeated = {body for body in receiver.bodies if receiver.bodies.count(body) > 1}
    assert len(repeated) == 1
    assert b"storefront" in repeated.pop()


def test_a_batch_that_was_not_delivered_comes_after_newer_ones():
    """Batches arrive out of order when one has to be retried."""
    _, _receiver, lines = play()
    attempts = [(attempt.batch, attempt.attempt) for _, attempt in lines if not isinstance(attempt, dict)]
    delivered = [batch for batch, _ in attempts]
    assert delivered != sorted(delivered)
    assert {number for _, number in attempts} == {1, 2}


def test_the_end_says_what_became_of_everything():
    """The last line has the sender's statistics: nothing is lost, every item of the story is delivered once at least."""
    _, receiver, lines = play()
    assert lines[-1][1]["event"] == "end"
    statistics = lines[-1][1]["statistics"]
    assert (statistics["lost"], statistics["dropped"], statistics["in_flight"]) == (0, 0, 0)
    assert len({(item["auditID"], item["stage"]) for item in items(receiver)}) == statistics["events"]


def test_the_story_is_short_enough_for_a_script():
    """It is over within 12 s, retries included."""
    _, _, lines = play()
    assert lines[-1][0] < 12


# --- the network --------------------------------------------------------------------------------------------------------


def test_faults_meet_the_requests_they_are_meant_for():
    """A fault waits for a body with its mark, spoils it once, and lets everything else pass."""

    async def body():
        receiver = Receiver()
        lossy = LossyTransport(receiver)
        outcomes = []
        async with httpx.AsyncClient(transport=lossy) as client:
            lossy.lose(Fault.ANSWER_LOST, b"two")
            lossy.lose(Fault.NOT_DELIVERED, b"three")
            for content in (b"one", b"three", b"two", b"three", b"two"):
                try:
                    outcomes.append((await client.post("http://x", content=content)).status_code)
                except httpx.TransportError as error:
                    outcomes.append(type(error))
        return outcomes, receiver.bodies, lossy.statistics()

    outcomes, bodies, statistics = run(body)
    assert outcomes == [200, httpx.ConnectError, httpx.ReadError, 200, 200]
    assert bodies == [b"one", b"two", b"three", b"two"]
    assert statistics == LossyStatistics(pending=0, applied=2)


# --- the command ----------------------------------------------------------------------------------------------------------


def test_a_story_that_cannot_be_read_ends_with_2(tmp_path):
    """One line on stderr, exit 2."""
    for name in ("ca", "token"):
        (tmp_path / name).write_text("x")
    (tmp_path / "story.yaml").write_text("title: 7")
    words = ["--cluster", EXAMPLE / "cluster.yaml", "--story", tmp_path / "story.yaml", "--url", "https://127.0.0.1:1"]
    result = CliRunner().invoke(
        main, list(map(str, [*words, "--ca", tmp_path / "ca", "--token-file", tmp_path / "token"]))
    )
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


def test_a_ca_that_is_none_ends_with_2(tmp_path):
    """So does a CA file that is no certificate."""
    for name in ("ca", "token"):
        (tmp_path / name).write_text("x")
    words = ["--cluster", EXAMPLE / "cluster.yaml", "--story", EXAMPLE / "story.yaml", "--url", "https://127.0.0.1:1"]
    result = CliRunner().invoke(
        main, list(map(str, [*words, "--ca", tmp_path / "ca", "--token-file", tmp_path / "token"]))
    )
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
