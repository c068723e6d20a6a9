"""Backoff, which OTP's supervisors do not have: how long each restart waits, to the tick of the virtual clock, with seeded jitter.

The rule (specs.py, `Backoff`): the nth restart in a row waits a random time between 0 and base * 2 ** (n - 1) seconds, at most the cap;
an incarnation that ran for `reset_after_s` ends the row. Most tests put a jitter in the generator's place that always takes the middle,
with times that are powers of two, so that every sum is exact and `==` means the tick.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio_run import run

from actors.runtime import (
    Actor,
    Backoff,
    Child,
    DynamicSpec,
    EventKind,
    Intensity,
    Strategy,
    SupervisorSpec,
    System,
    open_system,
)

ENDLESS = Intensity(max=1000, within_s=1.0)
TICK_S = 1 / 1024


class Middle(random.Random):
    """Jitter that always takes the middle."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2.0


class Clockwork(Actor):
    """Notes the time of each start and stop by its name; its first `weak` starts fail, and so does it when told "fail"."""

    def __init__(self, log: list[tuple[str, str, float]], weak: int = 0, stop_s: float = 0.0) -> None:
        self.log, self.weak, self.stop_s = log, weak, stop_s
        self.name = self.context.path.rpartition("/")[2]

    async def on_start(self) -> None:
        self.log.append(("start", self.name, trio.current_time()))
        if self.context.incarnation <= self.weak:
            raise OSError

    async def on_receive(self, message: Any) -> Any:
        if message == "fail":
            raise ValueError
        self.log.append((message, self.name, trio.current_time()))
        return trio.current_time()

    async def on_stop(self) -> None:
        await trio.sleep(self.stop_s)
        self.log.append(("stop", self.name, trio.current_time()))


def opened(seed: int | None = None) -> System:
    """A system whose jitter is drawn from a seed, or the middle."""
    system = open_system("s", seed=seed)
    if seed is None:
        system.rng = Middle()
    return system


def starts(log: list[tuple[str, str, float]], name: str) -> list[float]:
    return [at for what, who, at in log if (what, who) == ("start", name)]


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    base_s=st.floats(0.0, 60.0),
    cap_s=st.floats(0.0, 600.0),
    attempt=st.integers(1, 5000),
    seed=st.integers(0, 1000),
)
def test_a_delay_is_within_its_ceiling(base_s: float, cap_s: float, attempt: int, seed: int) -> None:
    """Between zero and the smaller of cap and base * 2 ** (n - 1), however many restarts there were."""
    delay_s = Backoff(base_s=base_s, cap_s=cap_s).delay_s(attempt, random.Random(seed))
    assert 0.0 <= delay_s <= min(cap_s, base_s * 2.0 ** min(attempt - 1, 1000))


def test_the_whole_range_is_used() -> None:
    """Full jitter: a thousand delays of the fourth restart lie evenly between zero and eight times the base."""
    rng = random.Random(1)
    delays = [Backoff(base_s=1.0, cap_s=100.0).delay_s(4, rng) for _ in range(1000)]
    quarters = [sum(1 for delay in delays if low <= delay < low + 2.0) for low in (0.0, 2.0, 4.0, 6.0)]
    assert all(200 <= count <= 300 for count in quarters)


def test_it_doubles_up_to_the_cap() -> None:
    """Starts that fail: the waits are half of 1, 2, 4, 8, 8, 8 seconds, to the tick."""
    log: list[Any] = []

    async def main() -> None:
        async with opened() as system:
            child = Child("a", Clockwork, (log, 6))
            await system.start(SupervisorSpec("g", (child,), intensity=ENDLESS, backoff=Backoff(1.0, 8.0)))

    run(main)
    assert starts(log, "a") == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5]


def test_seeded_jitter_is_the_generators() -> None:
    """Restart after restart waits what random.Random(seed) draws below its ceiling: a run can be told beforehand and repeated."""

    def times(seed: int) -> list[float]:
        log: list[Any] = []

        async def main() -> None:
            async with opened(seed) as system:
                child = Child("a", Clockwork, (log, 6))
                await system.start(SupervisorSpec("g", (child,), intensity=ENDLESS, backoff=Backoff(1.0, 8.0)))

        run(main)
        return starts(log, "a")

    rng = random.Random(42)
    expected = [0.0]
    for ceiling in (1.0, 2.0, 4.0, 8.0, 8.0, 8.0):
        expected.append(expected[-1] + rng.uniform(0.0, ceiling))
    assert times(42) == pytest.approx(expected, abs=1e-9)
    assert times(42) == times(42)
    assert times(42) != times(43)


@pytest.mark.parametrize(
    ("ran_s", "delays"),
    [
        # one tick short of the reset: the row goes on
        (64.0 - TICK_S, [0.5, 1.0, 2.0]),
        # exactly so long: a new row
        (64.0, [0.5, 0.5, 0.5]),
        # it did not run at all
        (0.0, [0.5, 1.0, 2.0]),
    ],
)
def test_a_long_run_ends_the_row(ran_s: float, delays: list[float]) -> None:
    """`reset_after_s` counts from the end of `on_start` to the failure."""
    log: list[Any] = []

    async def main() -> None:
        async with opened() as system:
            backoff = Backoff(base_s=1.0, cap_s=64.0, reset_after_s=64.0)
            await system.start(
                SupervisorSpec("g", (Child("a", Clockwork, (log,)),), intensity=ENDLESS, backoff=backoff)
            )
            for delay_s in delays:
                await trio.sleep(ran_s)
                failed_at = trio.current_time()
                system.ref("/s/g/a").tell("fail")
                await trio.sleep(delay_s)
                await trio.testing.wait_all_tasks_blocked()
                assert starts(log, "a")[-1] == failed_at + delay_s

    run(main)


def test_time_spent_waiting_is_no_run() -> None:
    """Failing starts far apart are one row: only an incarnation that came up can end it."""
    log: list[Any] = []

    async def main() -> None:
        async with opened() as system:
            backoff = Backoff(base_s=64.0, cap_s=1024.0, reset_after_s=1.0)
            child = Child("a", Clockwork, (log, 4))
            await system.start(SupervisorSpec("g", (child,), intensity=ENDLESS, backoff=backoff))

    run(main)
    assert starts(log, "a") == [0.0, 32.0, 96.0, 224.0, 480.0]


def test_it_is_not_back_a_tick_before() -> None:
    """While it waits: the state, the countdown, the mailbox open; what is queued is handled at the tick at which it is back."""
    log: list[Any] = []

    async def main() -> None:
        async with opened() as system:
            child = Child("a", Clockwork, (log,))
            await system.start(SupervisorSpec("g", (child,), backoff=Backoff(base_s=16.0, cap_s=16.0)))
            ref = system.ref("/s/g/a")
            ref.tell("fail")
            asked = ref.ask("asked")
            for waited_s in (0.0, 4.0, 4.0 - TICK_S):
                await trio.sleep(waited_s)
                await trio.testing.wait_all_tasks_blocked()
                here = system.snapshot().children[0].children[0]
                assert (here.state, here.mailbox.depth, here.incarnation) == ("backoff", 1, 1)
                assert here.retry_in_s == round(8.0 - trio.current_time(), 3)
            assert await asked == 8.0
            here = system.snapshot().children[0].children[0]
            assert (here.state, here.retry_in_s, here.incarnation) == ("running", None, 2)

    run(main)


def test_the_delay_is_told() -> None:
    """Each restarting event says how long the wait is."""
    log: list[Any] = []
    told: list[float | None] = []

    async def main() -> None:
        async with opened() as system:
            events = system.subscribe()
            child = Child("a", Clockwork, (log, 3))
            await system.start(SupervisorSpec("g", (child,), intensity=ENDLESS, backoff=Backoff(1.0, 8.0)))
            while (event := events.receive_nowait()) is not None:
                if event.kind is EventKind.RESTARTING:
                    told.append(event.delay_s)

    run(main)
    assert told == [0.5, 1.0, 2.0]


def test_each_child_has_its_own_row() -> None:
    """one_for_one: the failures of one do not make another wait longer, nor does anybody wait for anybody."""
    log: list[Any] = []

    async def main() -> None:
        async with opened() as system:
            children = tuple(Child(name, Clockwork, (log,)) for name in "ab")
            await system.start(SupervisorSpec("g", children, intensity=ENDLESS, backoff=Backoff(1.0, 8.0)))
            for _ in range(3):
                system.ref("/s/g/a").tell("fail")
            system.ref("/s/g/b").tell("fail")
            await trio.sleep(10.0)

    run(main)
    assert starts(log, "a") == [0.0, 0.5, 1.5, 3.5]
    assert starts(log, "b") == [0.0, 0.5]


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [(Strategy.ONE_FOR_ALL, "abc"), (Strategy.REST_FOR_ONE, "bc")],
    ids=["one_for_all", "rest_for_one"],
)
def test_a_group_waits_after_the_last_has_stopped(strategy: Strategy, restarted: str) -> None:
    """The group is stopped first, which takes each member two seconds; then it waits, then all start at the same tick, in order."""
    log: list[Any] = []

    async def main() -> None:
        async with opened() as system:
            children = tuple(Child(name, Clockwork, (log, 0, 2.0)) for name in "abc")
            await system.start(SupervisorSpec("g", children, strategy, ENDLESS, Backoff(base_s=8.0, cap_s=8.0)))
            log.clear()
            system.ref("/s/g/b").tell("fail")
            await trio.sleep(20.0)
            stopped = [name for name in reversed(restarted) if name != "b"]
            back_at = 2.0 * len(stopped) + 4.0
            assert log == [
                *[("stop", name, 2.0 * number) for number, name in enumerate(stopped, start=1)],
                *[("start", name, back_at) for name in restarted],
            ]

    run(main)


def test_a_second_failure_in_a_group_starts_the_wait_anew() -> None:
    """rest_for_one: c waits until second 4 when a fails at second 3; all of them wait a's time from then on."""
    log: list[Any] = []

    async def main() -> None:
        async with opened() as system:
            children = tuple(Child(name, Clockwork, (log,)) for name in "abc")
            await system.start(SupervisorSpec("g", children, Strategy.REST_FOR_ONE, ENDLESS, Backoff(8.0, 64.0)))
            log.clear()
            system.ref("/s/g/c").tell("fail")
            await trio.sleep(3.0)
            system.ref("/s/g/a").tell("fail")
            await trio.sleep(20.0)
            assert log == [("stop", "b", 3.0), *[("start", name, 7.0) for name in "abc"]]

    run(main)


def test_a_supervisor_that_gave_up_waits_too() -> None:
    """The backoff of the level above: the tree below is back after its wait, with its own rows begun anew."""
    log: list[Any] = []

    async def main() -> None:
        async with opened() as system:
            inner = SupervisorSpec(
                "g", (Child("a", Clockwork, (log,)),), intensity=Intensity(1, 60.0), backoff=Backoff(1.0)
            )
            await system.start(SupervisorSpec("o", (inner,), backoff=Backoff(base_s=16.0, cap_s=16.0)))
            for _ in range(2):
                system.ref("/s/o/g/a").tell("fail")
            await trio.sleep(20.0)

    run(main)
    assert starts(log, "a") == [0.0, 0.5, 8.5]


def test_children_by_key_wait_as_well() -> None:
    """Each by itself; one that is stopped while it waits is gone at once and starts afresh, without a wait, at its next use."""
    log: list[Any] = []

    async def main() -> None:
        async with opened() as system:
            spec = DynamicSpec("d", lambda key: Child(key, Clockwork, (log,)), backoff=Backoff(base_s=8.0, cap_s=8.0))
            await system.start(spec)
            children = system.dynamic("/s/d")
            for key in "ab":
                await children.ref(key).ask("asked")
                children.ref(key).tell("fail")
            await trio.sleep(1.0)
            assert await children.ref("b").stop()
            assert await children.ref("b").ask("asked") == 1.0
            assert await children.ref("a").ask("asked") == 4.0

    run(main)
    assert starts(log, "a") == [0.0, 4.0]
    assert starts(log, "b") == [0.0, 1.0]
