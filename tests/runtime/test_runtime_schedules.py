"""Seeded schedules: what they determine, what they put back, and how they say that a Trio cannot be scheduled."""

from __future__ import annotations

import random
import types

import pytest
import trio
from trio._core import _run as trio_run_module
from trio_run import run

from actors.runtime.schedules import (
    FLAG,
    FOREVER_S,
    GENERATOR,
    Exploration,
    NotReproducible,
    ScheduleUnavailable,
    Trace,
    check_names,
    check_trio,
    explore,
    run_seeded,
    seeded_schedule,
)


async def race(trace: Trace) -> None:
    """Three tasks that take turns."""

    async def turns(name: str) -> None:
        for number in range(4):
            await trio.lowlevel.checkpoint()
            trace.note((name, number))

    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(turns, name)


def test_the_same_seed_gives_the_same_trace() -> None:
    """Run after run: the events, and which task had each turn."""
    assert [run_seeded(race, 5)] * 5 == [run_seeded(race, 5) for _ in range(5)]


def test_other_seeds_give_other_traces() -> None:
    """A search over 200 seeds sees many orders, runs each twice, and says so."""
    seen = explore(race)
    assert (seen.seeds, seen.replayed) == (200, 200)
    assert seen.distinct >= 150
    assert seen.distinct_schedules >= seen.distinct
    assert str(seen).startswith(f"{seen.distinct} distinct traces and")


def test_a_part_of_the_seeds_can_be_replayed() -> None:
    """`replay_every` says how many: the first of each so many."""
    seen = explore(race, seeds=range(10), replay_every=4)
    assert (seen.seeds, seen.replayed) == (10, 3)


def test_no_seeds_is_an_empty_search() -> None:
    """Nothing is tried, nothing seen."""
    assert Exploration(seeds=0, distinct=0, distinct_schedules=0, replayed=0) == explore(race, seeds=())


def test_a_schedule_goes_around_any_run() -> None:
    """`with seeded_schedule` around a plain trio.run: the order comes from the seed; steps are seen by the instrument only."""
    traces = []
    for _ in range(2):
        with seeded_schedule(3) as trace:
            trio.run(race, trace)
        traces.append(trace)
    assert traces[0] == traces[1]
    assert traces[0].steps[0] == 0


def test_the_trace_has_a_generator_of_its_own() -> None:
    """A scenario's choices come from the seed too."""
    assert Trace(9).rng.random() == random.Random(9).random()


def test_a_scenario_that_depends_on_something_else_is_found_out() -> None:
    """The second run of the same seed differs: NotReproducible says the seed and where the two part."""
    calls: list[int] = []

    async def counting(trace: Trace) -> None:
        calls.append(1)
        trace.note("same")
        trace.note(len(calls))

    with pytest.raises(NotReproducible, match="seed 0: event 1 is 1 in one run and 2 in the other"):
        explore(counting)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        # events of one run are missing in the other
        ("event", "0 events in one run, 1 in the other"),
        # the tasks took other turns and nobody noted it
        ("step", "the events are the same, the steps are not"),
    ],
)
def test_what_differs_is_said(more: str, said: str) -> None:
    """An event more or a step more in the second run."""
    calls: list[int] = []

    async def growing(trace: Trace) -> None:
        calls.append(1)
        if len(calls) > 1:
            if more == "event":
                trace.note("more")
            else:
                await trio.lowlevel.checkpoint()

    with pytest.raises(NotReproducible, match=said):
        explore(growing)


def test_what_a_scenario_raises_names_its_seed() -> None:
    """The exception comes out as it is, with a note."""

    async def fails(trace: Trace) -> None:
        trace.note("first")
        raise LookupError("as it is")

    with pytest.raises(LookupError, match="as it is") as failed:
        explore(fails, seeds=[17])
    assert failed.value.__notes__ == ["under the schedule of seed 17; 1 events were noted before"]


def test_a_scenario_that_waits_for_ever_fails_at_once() -> None:
    """The virtual clock jumps to FOREVER_S."""

    async def hangs(trace: Trace) -> None:
        try:
            await trio.sleep_forever()
        finally:
            trace.note(trio.current_time())

    with pytest.raises(trio.TooSlowError):
        run_seeded(hangs, 1)
    assert FOREVER_S > 1e6


def test_a_trace_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One event over the bound raises."""
    monkeypatch.setattr("actors.runtime.schedules.EVENTS_MAX", 2)
    trace = Trace(0)
    trace.note(1)
    trace.note(2)
    with pytest.raises(RuntimeError, match="at most 2 events"):
        trace.note(3)


def test_traces_compare_by_what_they_saw() -> None:
    """Not by their seed; the representation is short."""
    left, right = Trace(1), Trace(2)
    assert left == right
    assert hash(left) == hash(right)
    right.note("x")
    assert left != right
    assert left != "no trace"
    assert repr(right) == "<Trace of seed 2: 1 events, 0 steps>"


def test_trio_is_put_back() -> None:
    """The switch and the generator's state are as before, also when the run fails."""
    before = getattr(trio_run_module, FLAG), getattr(trio_run_module, GENERATOR).getstate()
    with pytest.raises(KeyError, match="True"), seeded_schedule(1):
        raise KeyError(getattr(trio_run_module, FLAG))
    assert before == (getattr(trio_run_module, FLAG), getattr(trio_run_module, GENERATOR).getstate())


def test_not_inside_a_run_and_not_two_at_once() -> None:
    """Both are refused with the reason."""

    async def inside() -> None:
        with pytest.raises(RuntimeError, match=r"goes around trio\.run"), seeded_schedule(1):
            pass

    run(inside)
    with seeded_schedule(1), pytest.raises(RuntimeError, match="one at a time"), seeded_schedule(2):
        pass
    with seeded_schedule(3):
        pass


@pytest.mark.parametrize(
    ("names", "said"),
    [
        # gone
        ({}, "_ALLOW_DETERMINISTIC_SCHEDULING is not a bool"),
        ({FLAG: False}, "_r is not a Random"),
        # of another shape
        ({FLAG: "sometimes", GENERATOR: random.Random()}, "_ALLOW_DETERMINISTIC_SCHEDULING is not a bool"),
        ({FLAG: False, GENERATOR: random}, "_r is not a Random"),
    ],
)
def test_a_trio_without_the_names_is_refused(names: dict[str, object], said: str) -> None:
    """One clear message names the version, the name, and that only tests need it."""
    with pytest.raises(ScheduleUnavailable, match=said) as refused:
        check_names(types.SimpleNamespace(**names))
    assert f"Trio {trio.__version__} cannot be scheduled from a seed" in str(refused.value)
    assert "only tests need them" in str(refused.value)


def test_names_that_decide_nothing_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Trio that kept the names but takes its order from elsewhere is found out by trying."""
    idle = types.SimpleNamespace(**{FLAG: False, GENERATOR: random.Random()})
    monkeypatch.setattr("actors.runtime.schedules._trio_run", lambda: idle)
    with pytest.raises(ScheduleUnavailable, match="do not decide the order of tasks any more"):
        check_trio.__wrapped__()


def test_a_trio_without_the_module_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is one whose scheduler lives elsewhere."""

    def missing() -> None:
        raise ImportError

    monkeypatch.setattr("actors.runtime.schedules._trio_run", missing)
    with pytest.raises(ScheduleUnavailable, match=r"has no trio\._core\._run"):
        check_trio.__wrapped__()
