"""`@schedules`: races are found, replayed by their seed, and reduced to the turns that matter; what is not determined is told."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import trio

from actors.runtime import Actor, Child
from actors.runtime.schedules import NotReproducible
from actors.testing import schedules
from actors.testing.interleavings import run_schedule, said, search
from actors.testing.worlds import World, open_protector


@schedules(15)
def test_a_read_lights_its_chain_under_every_schedule(protector, cluster, audit, clock):
    """Post, crash nothing, and look: fifteen orders of the tasks, one end."""
    cluster.deployment("app/web", account="reader-sa").role("app/reader", "get db-creds").bind("app/reader")
    protector.post(audit.get("app/db-creds").by("app/reader-sa").batch(3))
    protector.chain("app/web", "app/db-creds").is_proven()
    protector.assert_nothing_lost()
    clock.advance("5m")
    protector.chain("app/web", "app/db-creds").is_dark()


@schedules(5)
async def test_async_tests_have_schedules_too(protector, cluster, audit):
    """The same decorator."""
    cluster.deployment("app/web", account="reader-sa").role("app/reader", "get db-creds").bind("app/reader")
    await protector.post(audit.get("app/db-creds").by("app/reader-sa"))
    await protector.chain("app/web", "app/db-creds").is_lit()


class Account(Actor):
    """A balance."""

    async def on_receive(self, message: Any) -> Any:
        return 0


def always() -> None:
    """It fails whatever the order."""

    async def main() -> None:
        await trio.lowlevel.checkpoint()

    trio.run(main)
    raise AssertionError("always")


def late_or_lost() -> None:
    """It fails only if the second task takes a turn before the first, in its first batch: one shuffle matters."""
    order = []

    async def turn(name: str) -> None:
        order.append(name)
        for _ in range(10):
            await trio.lowlevel.checkpoint()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turn, "first")
            nursery.start_soon(turn, "second")

    trio.run(main)
    assert order == ["second", "first"], "the second went first"


def test_a_race_is_found_and_reduced_to_the_shuffle_that_matters():
    """Of some ten shuffles in the failing run one is left, and the note names the tasks in the order they then had."""
    failed = search(late_or_lost, range(50))
    assert failed is not None
    assert len(failed.needed) == 1
    assert failed.total > 1
    note = said(failed, "pytest x --protector-seed=1", 50)
    assert f"seed {failed.seed} (of 50) fails" in note
    assert "minimal deviation: 1 of" in note
    assert "turn, " in note
    assert run_schedule(late_or_lost, failed.seed)[1] is not None


def test_what_fails_in_every_order_needs_no_deviation():
    """The schedule is not to blame, and the note says so."""
    failed = search(always, range(1))
    assert failed is not None
    assert failed.needed == ()
    assert "it fails with every task in its turn" in said(failed, "", 1)


def test_a_seed_that_gives_two_traces_is_told():
    """The test depends on something else: here on how often it was run."""
    runs = itertools.count()

    def drifting() -> None:
        async def main() -> None:
            for _ in range(next(runs)):
                await trio.lowlevel.checkpoint()

        from actors.testing.interleavings import current_schedule

        schedule = current_schedule()
        assert schedule is not None
        trio.run(main, instruments=[schedule])

    with pytest.raises(NotReproducible, match="seed 0 run twice gave two traces"):
        search(drifting, range(3))


def test_a_world_takes_the_same_steps_under_one_seed():
    """The whole pipeline, with a post and time passing: 5 seeds, each run twice."""

    def world(seed: int) -> World:
        return open_protector(seed=seed)

    def test() -> None:
        from actors.testing.interleavings import current_schedule

        schedule = current_schedule()
        assert schedule is not None
        with world(schedule.seed) as here:
            here.session.instruments = (schedule,)
            assert here.session.bridge is not None
            here.session.begin()
            here.cluster.deployment("app/web", account="a").role("app/r", "get s").bind("app/r")
            here.protector.post(here.audit.get("app/s").by("app/a").batch(3))
            here.clock.advance("6m")

    assert search(test, range(5), replay_every=1) is None


def test_actors_of_ones_own_are_scheduled(system, probe):
    """Without the decorator a run is as Trio has it; the fixture works all the same."""
    system.start(Child("account", Account))
    assert system.ask("account", "balance") == 0
