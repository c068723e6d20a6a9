"""`@schedules(n)`: a test under n seeded interleavings. A failure says the seed, the command that replays it, and a minimal deviation.

    @schedules(200)
    def test_two_readers_race(protector, cluster, audit): ...

Each run has a world of its own and takes its tasks' turns in an order that the seed decides. A seed is run twice now and then, and must
give the same steps: where it does not, the test depends on something besides the schedule, and no replay can be trusted.

The minimal deviation: Trio shuffles each batch of tasks that may run together; a failing run had some hundreds of such
shuffles. By halving, those are left out which the failure does not need, until (within a bound) it needs each: the turns that must
be out of order for it to happen. Counterparts: actors.runtime.schedules (the seeded run), plugin.py, hosting.py.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any, Final

from msgspec import Struct

from actors.runtime.schedules import GENERATOR, NotReproducible, Trace, seeded_schedule

__all__ = ["SCHEDULES", "Deviation", "Failed", "Schedule", "current_schedule", "run_schedule", "said", "search"]

SCHEDULES: Final = 200
"""How many seeds `@schedules` takes unless told otherwise."""
REPLAY_EVERY: Final = 20
"""Every so manieth seed is run twice; the first always is."""
RUNS_MAX: Final = 60
"""Runs that the search for a minimal deviation may take."""
SHOWN_MAX: Final = 8
"""Turns out of order that are named."""

_CURRENT: ContextVar[Schedule | None] = ContextVar("protector_schedule", default=None)


class Deviation(Struct, frozen=True):
    """One shuffle that mattered: which of the run, and in which order the tasks then took their turns."""

    number: int
    order: tuple[str, ...]


class Failed(Struct, frozen=True):
    """What a search found. `seed`; `needed`: the shuffles without which it passes; of `total` in that run, in `runs` tries."""

    seed: int
    error: BaseException
    needed: tuple[Deviation, ...]
    total: int
    runs: int


class _Shuffles(random.Random):
    """In the place of Trio's generator: shuffles as the seed says, but leaves those alone that are not in `only`."""

    def __init__(self, seed: int, only: frozenset[int] | None) -> None:
        super().__init__(seed)
        self.only = only
        self.total = 0
        self.orders: dict[int, tuple[str, ...]] = {}

    def shuffle(self, x: Any) -> None:
        """Trio's call, with the tasks that may run, sorted by age."""
        before = list(x)
        super().shuffle(x)
        if x == before:
            return
        self.total += 1
        if self.only is not None and self.total not in self.only:
            x[:] = before
            return
        if self.only is not None:
            self.orders[self.total] = tuple(task.name.rpartition(".")[2] for task in x)


class Schedule(Trace):
    """The trace of one run, as an instrument of it: a session picks it up when it starts."""

    def __init__(self, seed: int, only: frozenset[int] | None = None) -> None:
        super().__init__(seed)
        self.shuffles = _Shuffles(seed, only)


def current_schedule() -> Schedule | None:
    """The schedule that the test being run is under."""
    return _CURRENT.get()


@contextlib.contextmanager
def scheduled(seed: int, only: frozenset[int] | None = None) -> Iterator[Schedule]:
    """Within it one Trio run takes its turns as `seed` says; with `only`, just these shuffles of it happen."""
    from trio._core import _run  # noqa: PLC0415 - private; seeded_schedule has checked that it is what it was

    schedule = Schedule(seed, only)
    with seeded_schedule(seed):
        generator = getattr(_run, GENERATOR)
        setattr(_run, GENERATOR, schedule.shuffles)
        token = _CURRENT.set(schedule)
        try:
            yield schedule
        finally:
            _CURRENT.reset(token)
            setattr(_run, GENERATOR, generator)


def run_schedule(
    test: Callable[[], Any], seed: int, only: frozenset[int] | None = None
) -> tuple[Schedule, BaseException | None]:
    """One run; what it raised, if that is a failure (an interrupt is not)."""
    with scheduled(seed, only) as schedule:
        try:
            test()
        except Exception as error:  # noqa: BLE001 - whatever a test fails with is its failure
            return schedule, error
    return schedule, None


def search(
    test: Callable[[], Any], seeds: Iterable[int], *, replay_every: int = REPLAY_EVERY, runs_max: int = RUNS_MAX
) -> Failed | None:
    """Run the test under each seed; what failed first, or None. Raises NotReproducible where a seed run twice gave two traces."""
    for number, seed in enumerate(seeds):
        schedule, error = run_schedule(test, seed)
        if error is not None:
            return _reduced(test, seed, error, schedule, runs_max)
        if number % replay_every == 0:
            again, _ = run_schedule(test, seed)
            if schedule != again:
                raise NotReproducible(
                    f"seed {seed} run twice gave two traces ({schedule.steps[0]} steps, then {again.steps[0]}): the test depends on "
                    "something besides the schedule, such as the time of day, a thread, or the order of a set"
                )
    return None


def _reduced(test: Callable[[], Any], seed: int, error: BaseException, schedule: Schedule, runs_max: int) -> Failed:
    """The smallest set of shuffles, as far as the bound goes, under which the test fails in the same way."""
    runs = 1
    total = schedule.shuffles.total

    def fails(only: frozenset[int]) -> bool:
        nonlocal runs, error
        runs += 1
        _, found = run_schedule(test, seed, only)
        if found is None or type(found) is not type(error):
            return False
        error = found
        return True

    needed = frozenset(range(1, total + 1))
    if fails(frozenset()):
        needed = frozenset()
    parts = 2
    while len(needed) > 1 and runs < runs_max:
        ordered = sorted(needed)
        size = -(-len(ordered) // parts)
        chunks = [frozenset(ordered[start : start + size]) for start in range(0, len(ordered), size)]
        smaller = next((each for each in chunks if runs < runs_max and fails(each)), None)
        if smaller is None:
            smaller = next((needed - each for each in chunks if runs < runs_max and fails(needed - each)), None)
            if smaller is None:
                if size == 1:
                    break
                parts = min(len(needed), parts * 2)
                continue
        needed, parts = smaller, 2
    last, _ = run_schedule(test, seed, needed)
    orders = last.shuffles.orders
    deviations = tuple(Deviation(number, orders.get(number, ())) for number in sorted(needed))
    return Failed(seed, error, deviations, total, runs + 1)


def said(failed: Failed, replay: str, seeds: int) -> str:
    """The note on the error."""
    lines = [f"seed {failed.seed} (of {seeds}) fails", f"replay: {replay}"]
    if not failed.needed:
        lines.append("minimal deviation: none; it fails with every task in its turn, so the schedule does not matter")
        return "\n".join(lines)
    lines.append(
        f"minimal deviation: {len(failed.needed)} of {failed.total} shuffles are needed for it (found in {failed.runs} runs); "
        "the tasks then took their turns in this order, the last one first:"
    )
    lines += [
        f"  shuffle {each.number}: {', '.join(each.order) or 'not reached'}" for each in failed.needed[:SHOWN_MAX]
    ]
    if len(failed.needed) > SHOWN_MAX:
        lines.append(f"  ... and {len(failed.needed) - SHOWN_MAX} more")
    return "\n".join(lines)
