"""The product's own tree under chaos: whoever is killed whenever, the end is that of the undisturbed run, and no answer was a lie.

A minute of load on a virtual clock, every place of the tree killed in turn and at random meanwhile. Each run is drawn from its
seed alone, so a failure can be had again: the seed is in the test's name. CHAOS_SEEDS=100 in the environment tries more of them.
"""

from __future__ import annotations

import functools
import os
import random
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
import trio
from chaos_kit import Chaos, Post, SlowJournal, load, places
from pipeline_kit import NO_ANSWER, House, play
from small_cluster import Acts, batch, small_cluster

from actors.messages import BatchAnswer, ParseBody, RecordBatch
from actors.runtime import System, VirtualClock
from actors.store import Journal, MemoryJournal, SqliteJournal

SEEDS = range(1, 1 + int(os.environ.get("CHAOS_SEEDS", "") or 3))
MINUTE_S = 60.0
END_S = 170.0
"""When the end states are looked at: long after the last retry, and after the end of what is to end."""
STRIKES = 40
KILLS_MIN = 12
"""What a run must have had of them, or it shows little."""
PLACES = {"pipeline", "store", "cluster", "announcer", "engine", "accounts", "router", "parser", "parser-large"}
OF_ITS_MOMENT = ("at", "attribution", "signals", "exposure", "corroboration", "time", "severity_id", "confidence_id")
"""What a line of the flip log says as of the moment when it is written; a kill may put that off."""

Disturb = Callable[[Chaos, list[float]], Awaitable[None]]


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """The pipeline's log is not what is looked at here."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.configure(**before)


@functools.cache
def posts(seed: int) -> tuple[Post, ...]:
    """The load of a run."""
    acts = Acts(small_cluster(), seed=seed)
    return tuple(load(acts, VirtualClock().start_at, random.Random(seed), for_s=MINUTE_S, every_s=0.5))


class End(msgspec.Struct):
    """What a run comes to."""

    chains: list[bytes]
    evidence: list[bytes]
    flips: set[bytes]
    answered: dict[str, bytes]
    """By the mark of each post: what it was answered, but for what depends on which of two equal ones came first."""
    journal: list[bytes]
    """What a fresh system makes of the journal alone."""
    resent: int = 0
    """How often a sender had no answer and came again."""


async def story(house: House, seed: int, chaos: Chaos | None, disturb: Disturb | None) -> End:
    """The load with the disturbance, then the calm after it, then the end."""
    answered: dict[str, bytes] = {}

    async def send(post: Post) -> None:
        await trio.sleep_until(post.at_s)
        answer = await house.post(post.body)
        plain = msgspec.structs.replace(answer, duplicate=False, new=0)
        assert answered.setdefault(post.mark, msgspec.json.encode(plain)) == msgspec.json.encode(plain)

    async with trio.open_nursery() as nursery:
        for post in posts(seed):
            nursery.start_soon(send, post)
        if disturb is not None and chaos is not None:
            chaos.system = house.system
            nursery.start_soon(disturb, chaos, moments(seed))
    await trio.sleep_until(END_S)
    assert [place.path for place in places(house.system.snapshot()) if place.state != "running"] == []
    chains, evidence = await house.chains(), await house.evidence()
    return End(
        sorted(map(msgspec.json.encode, chains)),
        sorted(map(msgspec.json.encode, evidence)),
        {msgspec.json.encode({k: v for k, v in line.items() if k not in OF_ITS_MOMENT}) for line in house.lines},
        answered,
        [],
        house.resent,
    )


def run(seed: int, chaos: Chaos | None, disturb: Disturb | None, journal: Journal, *, idle_s: float = 0.0) -> End:
    """One run; then a second system over the same journal, in which nothing but the journal is left of the first."""

    async def first(house: House) -> End:
        return await story(house, seed, chaos, disturb)

    async def second(house: House) -> list[bytes]:
        await trio.sleep_until(END_S)
        try:
            return sorted(map(msgspec.json.encode, await house.evidence(live=True)))
        finally:
            await journal.close()

    end: End = play(House(small_cluster(), journal=journal, crashes=chaos), first, seed=seed, idle_s=idle_s)
    end.journal = play(House(small_cluster(), journal=journal), second, seed=seed, idle_s=idle_s)
    return end


@functools.cache
def undisturbed(seed: int) -> End:
    """The same load when nothing happens."""
    return run(seed, None, None, MemoryJournal())


def differences(expected: End, found: End) -> dict[str, Any]:
    """What is only in one of two ends, by what it is of."""
    told: dict[str, Any] = {}
    for name in ("chains", "evidence", "flips", "journal"):
        one, other = getattr(expected, name), getattr(found, name)
        if one != other:
            told[name] = {"lost": [o for o in one if o not in other], "extra": [o for o in other if o not in one]}
    if expected.answered != found.answered:
        told["answered"] = sorted(set(expected.answered.items()) ^ set(found.answered.items()))
    return told


def moments(seed: int) -> list[float]:
    """When to strike: half of them at the very moment of a post, when the whole pipeline is about to work."""
    chance, busy = random.Random(seed), [post.at_s for post in posts(seed)]
    return sorted(chance.choice(busy) if n % 2 else chance.uniform(1.0, MINUTE_S) for n in range(STRIKES))


# --- the load ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_undisturbed_run_has_something_to_lose(seed):
    """Chains of both strengths, evidence that lives and that ended, every post answered and its mark in the evidence."""
    end = undisturbed(seed)
    views = [msgspec.json.decode(each) for each in end.evidence]
    assert {True, False} == {view["live"] for view in views}
    assert {"proven", "possible"} <= {msgspec.json.decode(each)["corroboration"] for each in end.chains}
    assert end.answered.keys() == {post.mark for post in posts(seed)}
    assert end.answered.keys() <= {view["secret"]["name"] for view in views}
    assert [json for json in end.evidence if b'"live":true' in json] == end.journal
    assert "chain.corroborated" in {msgspec.json.decode(each)["event"] for each in end.flips}


# --- kills -----------------------------------------------------------------------------------------------------------


async def handling(chaos: Chaos, moments: list[float]) -> None:
    """At every other moment, whoever next begins to handle a message is killed with it, or fails at it."""
    for moment in moments[::2]:
        await trio.sleep_until(moment)
        count = chaos.killed.total()
        chaos.in_handling = 0.3
        for _ in range(100):
            await trio.sleep(0.01)
            if chaos.killed.total() > count:
                break
        chaos.in_handling = 0.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("disturb", [Chaos.in_turn, Chaos.at_random, handling], ids=lambda disturb: disturb.__name__)
def test_whoever_is_killed_the_end_is_the_same(seed, disturb):
    """The same chains, evidence, flips and answers; and a system that has nothing but the journal knows the same evidence."""
    chaos = Chaos(seed)
    found = run(seed, chaos, disturb, SlowJournal(seed))
    sys.stdout.write(f"seed {seed}: {chaos.figures()}, {found.resent} posts again\n")
    assert differences(undisturbed(seed), found) == {}, chaos.killed
    if disturb is Chaos.in_turn:
        assert {path.rpartition("/")[2] for path in chaos.killed} >= PLACES
    assert chaos.killed.total() >= KILLS_MIN


@pytest.mark.slow
def test_a_supervisor_that_gives_up_changes_nothing_in_the_end():
    """One kill more than the pipeline bears, twice: all of it is started anew under the root, and goes on where it was."""
    seed, chaos = 1, Chaos(1)

    async def one_too_many(chaos: Chaos, _: list[float]) -> None:
        for at_s in (10.0, 35.0):
            await trio.sleep_until(at_s)
            before = incarnation(chaos.system, "/protector/pipeline")
            while incarnation(chaos.system, "/protector/pipeline") == before:
                chaos.kill("/protector/pipeline/store")
                await trio.sleep(1.0)

    found = run(seed, chaos, one_too_many, SlowJournal(seed))
    assert differences(undisturbed(seed), found) == {}, chaos.killed


def incarnation(system: System, path: str) -> int:
    """Which one runs there."""
    return next(place.incarnation for place in places(system.snapshot()) if place.path == path)


@pytest.mark.slow
def test_with_a_journal_on_disk_nobody_loses_anything(tmp_path: Path):
    """SQLite instead of memory: kills come while its thread commits. (A thread keeps its own time: this one is no replay.)"""
    seed, chaos = 1, Chaos(1)

    async def both(chaos: Chaos, moments: list[float]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(chaos.in_turn, moments[::2])
            nursery.start_soon(chaos.at_random, moments[1::2])

    found = run(seed, chaos, both, SqliteJournal(tmp_path / "protector.db"), idle_s=0.002)
    assert differences(undisturbed(seed), found) == {}, chaos.killed
    assert chaos.killed["/protector/pipeline/store"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_answered_is_there_though_its_sender_never_comes_again(seed):
    """Senders that try once: each batch that was answered is in the evidence, once; the others are there once, or not."""
    chaos = Chaos(seed)

    async def once(house: House) -> tuple[set[str], dict[str, int]]:
        answered: set[str] = set()

        async def send(post: Post) -> None:
            await trio.sleep_until(post.at_s)
            with suppress(*NO_ANSWER):
                if isinstance(await house.post_once(post.body), BatchAnswer):
                    answered.add(post.mark)

        chaos.system = house.system
        async with trio.open_nursery() as nursery:
            chaos.in_handling, chaos.kinds = 0.2, (ParseBody, RecordBatch)
            for post in posts(seed):
                nursery.start_soon(send, post)
        await trio.sleep_until(END_S)
        return answered, {piece.secret.name: piece.count for piece in await house.evidence()}

    answered, counts = play(House(small_cluster(), crashes=chaos, journal=SlowJournal(seed)), once, seed=seed)
    every = {post.mark for post in posts(seed)}
    marks = {mark: count for mark, count in counts.items() if mark in every}
    assert [mark for mark in answered if marks.get(mark) != 1] == []
    assert set(marks.values()) == {1}
    assert answered < every


def test_a_watch_of_a_server_whose_clock_is_ahead_is_one_watch_and_ends():
    """Its start is clamped to the receipt of its start, its end to that of its end; both say the same of when it began."""
    acts = Acts(small_cluster())
    start, end = acts.watch("Deployment/app/audit", "app/*", VirtualClock().start_at + 2.0, open_s=3.0)

    async def watch(house: House) -> Any:
        for at_s, item in ((1.0, start), (1.5, start), (6.0, end)):
            await trio.sleep_until(at_s)
            await house.post(batch(item, acts.read("Deployment/ops/operator", "get", "app/x", house.now() - 1.0)))
        await trio.sleep(1.0)
        return [(piece.count, piece.held_open) for piece in await house.evidence() if piece.verb == "watch"]

    assert play(House(small_cluster()), watch) == [(1, False)]
