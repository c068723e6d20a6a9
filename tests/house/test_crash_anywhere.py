"""Whoever crashes at whatever message: the end is that of the undisturbed run.

One scripted feed goes through the whole pipeline once undisturbed, and then again and again with an actor that fails at its nth
message. A few messages of each kind are tried; CRASH_EVERYWHERE=1 in the environment tries every one.
"""

from __future__ import annotations

import functools
import os
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
import trio
from pipeline_kit import Crashes, House, play
from small_cluster import Acts, batch, changed, gone_pod, small_cluster

from actors.runtime import VirtualClock
from actors.store import SqliteJournal

EVERYWHERE = os.environ.get("CRASH_EVERYWHERE", "") not in ("", "0")
START_AT = VirtualClock().start_at
END_S = 75.0
"""When (virtual seconds) the end states are looked at: long after the last retry of anything."""
OF_ITS_MOMENT = ("at", "attribution", "signals", "time", "severity_id")
"""What a line of the flip log says as of the moment when it is written; a crash may put that off."""
OF_A_KIND = 3
"""How many messages of one kind of one actor are tried."""
ACTORS = (
    "store",
    "cluster",
    "announcer",
    "engine",
    "router",
    "parser",
    "app.reader",
    "app.lister",
    "app.shared",
    "app.ghost",
    "app.plain",
    "ops.wide",
)


@functools.cache
def feed() -> tuple[tuple[float, bytes], ...]:
    """(when it is posted, in seconds from the start; the body). Event times do not depend on when it is taken."""
    acts, at = Acts(small_cluster()), START_AT
    named = {"by": "RoleBinding/app/reader-get"}
    listed = {"by": "RoleBinding/app/lister-list"}
    web = acts.read("Deployment/app/web", "get", "app/db-creds", at - 1, **named)
    first = batch(web, acts.read("Deployment/app/audit", "list", "app/*", at - 1, **listed))
    watch = acts.watch("Deployment/app/audit", "app/*", at, open_s=20, **listed)
    wide = acts.watch("Deployment/ops/operator", "*", at, open_s=1)
    gone = gone_pod(acts.caller("Deployment/app/web")[1])
    burst = [acts.read("Deployment/ops/operator", "get", f"app/s{n}", at + 3) for n in range(22)]
    poisoned = batch(changed(web, verb=7), acts.read("Deployment/app/web#1", "get", "app/db-creds", at + 4, **named))
    return (
        (1.0, first),
        (1.0, batch(watch[0], wide[1])),
        (1.5, batch(wide[0], acts.read("Deployment/app/left", "get", "app/smtp", at - 0.5))),
        (
            2.0,
            batch(
                acts.read("Deployment/app/web", "get", "app/smtp", at, code=403),
                acts.read("Deployment/app/web", "get", "app/db-creds", at, code=404),
                acts.read("Deployment/ops/operator", "get", "app/db-creds", at, acting="app/reader"),
                acts.read("Deployment/app/mounter", "get", "ops/other", at),
            ),
        ),
        (2.0, first),
        (
            2.5,
            batch(
                acts.read("Deployment/app/web", "get", "app/db-creds", at, caller=gone),
                acts.read("app/ghost", "get", "app/db-creds", at),
                acts.read("app/shared", "get", "app/db-creds", at),
            ),
        ),
        (
            3.0,
            batch(
                acts.read("Deployment/app/right", "get", "app/old", at - 400),
                acts.read("Deployment/app/right", "get", "app/tls", at - 270),
                acts.read("Deployment/app/audit", "list", "app/smtp", at - 275, by="RoleBinding/app/lister-smtp"),
            ),
        ),
        (5.0, batch(*burst)),
        (6.0, poisoned),
        (6.0, batch(web, acts.read("Deployment/app/web", "get", "app/db-creds", at + 3, **named))[:-9]),
        (22.5, batch(watch[1], acts.read("Deployment/app/left", "get", "app/smtp", at + 20))),
    )


async def story(house: House) -> tuple[Any, ...]:
    """Posts the feed, each body when it is due and its sender's turn comes; then the end state and the answers."""
    answers: list[Any] = [None] * len(feed())

    async def send(number: int, at_s: float, body: bytes) -> None:
        await trio.sleep_until(at_s)
        answers[number] = msgspec.structs.replace(await house.post(body), duplicate=False)

    async with trio.open_nursery() as senders:
        for number, (at_s, body) in enumerate(feed()):
            senders.start_soon(send, number, at_s, body)
    await trio.sleep_until(END_S)
    chains, evidence = await house.chains(), await house.evidence()
    said = {msgspec.json.encode({k: v for k, v in line.items() if k not in OF_ITS_MOMENT}) for line in house.lines}
    new = sum(answer.new for answer in answers)  # which of two batches was the first to tell is chance
    answered = [msgspec.structs.replace(answer, new=0) for answer in answers]
    return sorted(map(msgspec.json.encode, chains)), sorted(map(msgspec.json.encode, evidence)), said, [new, answered]


class Witness(Crashes):
    """Notes which messages each actor handles, by kind."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))

    def __call__(self, path: str, message: Any) -> None:
        super().__call__(path, message)
        name = path.rpartition("/")[2]
        self.kinds[name][type(message).__name__].append(self.handled[name])


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """The pipeline's log is not what is looked at here."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.configure(**before)


@functools.cache
def undisturbed() -> tuple[tuple[Any, ...], Witness]:
    """The end state without a crash, and who handled what on the way."""
    witness = Witness()
    return play(House(small_cluster(), crashes=witness), story), witness


def tried(name: str) -> list[int]:
    """The messages of this actor that it is made to fail at: of each kind the first, the last, and some between."""
    kinds = undisturbed()[1].kinds[name]
    chance = random.Random(name)
    found: set[int] = set()
    for numbers in kinds.values():
        few = EVERYWHERE or len(numbers) <= OF_A_KIND
        some = numbers if few else [numbers[0], numbers[-1], *chance.sample(numbers, OF_A_KIND - 2)]
        found.update(some)
    return sorted(found)


def differences(expected: tuple[Any, ...], found: tuple[Any, ...]) -> dict[str, Any]:
    """What is only in one of two end states, by what it is of."""
    parts = zip(("chains", "evidence", "flips", "answers"), expected, found, strict=True)
    return {
        name: {"lost": [o for o in one if o not in other], "extra": [o for o in other if o not in one]}
        for name, one, other in parts
        if one != other
    }


def test_the_undisturbed_run_has_one_of_everything():
    """Or the others would compare little: every strength of attribution, lit and expired, unexplained, late, held and ended."""
    chains, evidence, said, answers = undisturbed()[0]
    views = [msgspec.json.decode(each) for each in evidence]
    events = {msgspec.json.decode(each)["event"] for each in said}
    assert {"exact", "shared", "gone", "podless"} == {view["attribution"] for view in views}
    assert {True, False} == {view["live"] for view in views}
    assert {True, False, None} == {view["explained"] for view in views}
    assert {"burst", "collection_read", "impersonated", "unexplained"} <= {s for view in views for s in view["signals"]}
    assert {"chain.corroborated", "chain.expired", "read.unexplained"} == events
    assert {"proven", "possible", None} == {msgspec.json.decode(each)["corroboration"] for each in chains}
    assert {"denied", "not_found", "impersonated", "malformed"} == {d for answer in answers[1] for d in answer.dropped}
    assert set(ACTORS) <= undisturbed()[1].kinds.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", ACTORS)
def test_an_actor_that_fails_at_any_message_changes_nothing_in_the_end(name):
    """The same chains, evidence, answers, and lines of the flip log, as if nothing had happened."""
    expected, _ = undisturbed()
    for number in tried(name):
        crashes = Crashes({name: (number,)})
        found = play(House(small_cluster(), crashes=crashes), story)
        assert len(crashes.done) == 1, (name, number)
        assert differences(expected, found) == {}, crashes.done


def test_evidence_that_ends_while_the_engine_is_away_is_still_told():
    """It fails in the very tick that would have told the end; what it held as live is looked through once all was heard again."""
    _, witness = undisturbed()

    async def look(house: House) -> list[str]:
        await story(house)
        return sorted(piece.secret.name for piece in await house.evidence(live=False) if piece.chains)

    for number in witness.kinds["engine"]["_Tick"]:
        found = play(House(small_cluster(), crashes=Crashes({"engine": (number,)})), look)
        assert found == ["smtp", "tls"], number


@pytest.mark.slow
def test_two_actors_that_fail_in_one_run_change_nothing_in_the_end():
    """Any two of them, at messages drawn by chance."""
    expected, witness = undisturbed()
    chance = random.Random(2)
    for _ in range(1000 if EVERYWHERE else 30):
        one, other = chance.sample(ACTORS, 2)
        at = {name: (chance.randint(1, witness.handled[name]),) for name in (one, other)}
        crashes = Crashes(at)
        found = play(House(small_cluster(), crashes=crashes), story)
        assert differences(expected, found) == {}, (at, crashes.done)


@pytest.mark.slow
def test_with_a_journal_on_disk_the_end_is_the_same(tmp_path: Path):
    """SQLite instead of memory, the store failing at a batch, at a pull and at an announcement."""
    expected, witness = undisturbed()
    kinds = witness.kinds["store"]
    picked = [kinds[kind][len(kinds[kind]) // 2] for kind in ("RecordBatch", "Follow", "FlipsAnnounced")]

    async def closing(house: House) -> Any:
        try:
            return await story(house)
        finally:
            await house.journal.close()

    for number in picked:
        house = House(
            small_cluster(),
            crashes=Crashes({"store": (number,)}),
            journal=SqliteJournal(tmp_path / f"{number}.db"),
        )
        found = play(house, closing, idle_s=0.002)
        assert differences(expected, found) == {}, house.crashes.done
