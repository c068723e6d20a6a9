"""Seeded schedules: a Trio run whose tasks take turns in an order that a seed decides, so that a race can be searched for and replayed.

Counterpart: tests. `seeded_schedule` is one run, `explore` is the search over many; nothing of the runtime imports this module.

What is determined: with a virtual clock (`trio.testing.MockClock(autojump_threshold=0)`), no other threads and no real input, the same
seed gives the same order of task steps, run after run. Trio sorts each batch of tasks that may run by their age and shuffles it with
its own generator when `_ALLOW_DETERMINISTIC_SCHEDULING` is set; here that generator is seeded. Both names are private to Trio:
`check_trio` looks at their shape and at what they do, and says so in one sentence when a new Trio has changed them. What is not
determined: worker threads, real sockets, the time of day, and sets iterated in the order of memory addresses.

    with seeded_schedule(17) as trace:
        trio.run(main, trace, clock=MockClock(autojump_threshold=0), instruments=[trace])
    assert trace.events == (...)
"""
# ruff: noqa: N818 - the names say what is the matter, as those of errors.py do

from __future__ import annotations

import functools
import hashlib
import random
import threading
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import trio
from msgspec import Struct
from trio.testing import MockClock

FLAG: Final = "_ALLOW_DETERMINISTIC_SCHEDULING"
"""Trio's private switch: sort each batch of runnable tasks, then shuffle it by `_r` (trio/_core/_run.py)."""

GENERATOR: Final = "_r"
"""Trio's private generator, a random.Random."""

EVENTS_MAX: Final = 100_000
"""How many events one trace may note; one more is a test that does not end, and raises."""

FOREVER_S: Final = 1e9
"""A scenario that has not ended at this virtual time waits for what never comes; the clock is there at once, and it fails."""

SEEDS: Final = 200
"""How many seeds `explore` takes unless told otherwise."""

_one_at_a_time = threading.Lock()
"""The switch and the generator are the process's: two seeded runs at once would draw from one another's."""


class ScheduleUnavailable(RuntimeError):
    """This Trio cannot be scheduled from a seed: a private name that it takes is gone, or does something else."""


class NotReproducible(AssertionError):
    """The same seed gave two traces: the scenario depends on something besides the schedule (time, threads, addresses)."""


class Trace(trio.abc.Instrument):
    """What one run did: `events`, which the scenario notes, and `steps`, one for each turn that Trio gave to a task.

    As an instrument of the run it sees the steps; without that it holds the events only. Equal when both are equal.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)  # noqa: S311 - a test's choices, nothing to guess
        """The scenario's own generator, for choices of its own: as determined as the schedule."""
        self._events: list[Hashable] = []
        self._steps = hashlib.blake2b(digest_size=16)
        self._count = self._spawned = 0
        self._tasks: dict[trio.lowlevel.Task, bytes] = {}

    def note(self, event: Hashable) -> None:
        """Write down what happened; events are compared by `==`, so put in names and numbers, no objects of the run's own."""
        if len(self._events) >= EVENTS_MAX:
            raise RuntimeError(f"a trace holds at most {EVENTS_MAX} events")
        self._events.append(event)

    @property
    def events(self) -> tuple[Hashable, ...]:
        """What was noted, in order."""
        return tuple(self._events)

    @property
    def steps(self) -> tuple[int, str]:
        """How many turns tasks had, and a digest of which task had each: two runs with the same one took the same schedule."""
        return self._count, self._steps.hexdigest()

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio: the task is known by its number in the order of their spawning, and by its name."""
        self._spawned += 1
        self._tasks[task] = f"{self._spawned} {task.name}\n".encode()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio before each turn of a task."""
        self._count += 1
        self._steps.update(self._tasks.get(task, b"init\n"))

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Called by Trio: it takes no more turns."""
        self._tasks.pop(task, None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trace) and (self.events, self.steps) == (other.events, other.steps)

    def __hash__(self) -> int:
        return hash((self.events, self.steps))

    def __repr__(self) -> str:
        return f"<Trace of seed {self.seed}: {len(self._events)} events, {self._count} steps>"


class Exploration(Struct, frozen=True):
    """What a search saw: seeds tried, distinct event traces, distinct schedules (orders of steps), seeds run a second time."""

    seeds: int
    distinct: int
    distinct_schedules: int
    replayed: int

    def __str__(self) -> str:
        return (
            f"{self.distinct} distinct traces and {self.distinct_schedules} distinct schedules "
            f"in {self.seeds} seeds, {self.replayed} of them run twice with the same trace"
        )


@contextmanager
def seeded_schedule(seed: int) -> Iterator[Trace]:
    """Within it, one `trio.run` takes its tasks' turns in an order drawn from `seed`; yields the trace to note events in.

    *Resource handling:* what was changed in Trio is put back at the end, whatever happens. *Error handling:* raises
    `ScheduleUnavailable` when Trio has no such schedules, RuntimeError inside a Trio run (the schedule is a whole run's) and when
    another seeded schedule is open in this process.
    """
    if trio.lowlevel.in_trio_run():
        raise RuntimeError("a seeded schedule goes around trio.run, not into it")
    check_trio()
    if not _one_at_a_time.acquire(blocking=False):
        raise RuntimeError("another seeded schedule is open: they share Trio's generator, so one at a time")
    try:
        with _switched_on(_trio_run(), seed):
            yield Trace(seed)
    finally:
        _one_at_a_time.release()


def run_seeded(scenario: Callable[[Trace], Awaitable[object]], seed: int) -> Trace:
    """Run `scenario(trace)` under the schedule of `seed` on a clock that jumps to the next deadline; the trace, steps included.

    What the scenario raises comes out with a note that names the seed; trio.TooSlowError if it waits for ever.
    """

    async def bounded(trace: Trace) -> None:
        with trio.fail_after(FOREVER_S):
            await scenario(trace)

    with seeded_schedule(seed) as trace:
        try:
            trio.run(bounded, trace, clock=MockClock(autojump_threshold=0), instruments=[trace])
        except BaseException as error:
            error.add_note(f"under the schedule of seed {seed}; {len(trace.events)} events were noted before")
            raise
    return trace


def explore(
    scenario: Callable[[Trace], Awaitable[object]], *, seeds: Iterable[int] = range(SEEDS), replay_every: int = 1
) -> Exploration:
    """Run a scenario under every seed, and every `replay_every`-th of them a second time, which must give the same trace.

    Raises `NotReproducible` when it does not, and what the scenario raises, with the seed in a note.
    """
    events: set[Hashable] = set()
    schedules: set[Hashable] = set()
    tried = replayed = 0
    for tried, seed in enumerate(seeds, start=1):
        trace = run_seeded(scenario, seed)
        if (tried - 1) % replay_every == 0:
            replayed += 1
            if trace != (again := run_seeded(scenario, seed)):
                raise NotReproducible(f"seed {seed}: {_difference(trace, again)}")
        events.add(trace.events)
        schedules.add(trace.steps)
    return Exploration(seeds=tried, distinct=len(events), distinct_schedules=len(schedules), replayed=replayed)


def _difference(left: Trace, right: Trace) -> str:
    """Where two traces part, for the message."""
    for index, (one, other) in enumerate(zip(left.events, right.events, strict=False)):
        if one != other:
            return f"event {index} is {one!r} in one run and {other!r} in the other"
    if len(left.events) != len(right.events):
        return f"{len(left.events)} events in one run, {len(right.events)} in the other"
    return f"the events are the same, the steps are not ({left.steps[0]} and {right.steps[0]})"


# --- Trio's private names -------------------------------------------------------------------------------------------------


def _trio_run() -> Any:
    """Trio's module that holds the scheduler."""
    from trio._core import _run  # noqa: PLC0415 - private: looked for when a schedule is wanted, not relied upon before

    return _run


@contextmanager
def _switched_on(module: Any, seed: int) -> Iterator[None]:
    """Set the switch and seed the generator of `module`, and put both back."""
    flag, generator = getattr(module, FLAG), getattr(module, GENERATOR)
    state = generator.getstate()
    try:
        setattr(module, FLAG, True)
        generator.seed(seed)
        yield
    finally:
        setattr(module, FLAG, flag)
        generator.setstate(state)


def check_names(module: Any) -> None:
    """Raise `ScheduleUnavailable` unless `module` has the switch and the generator that seeded schedules take."""
    wanted = {FLAG: bool, GENERATOR: random.Random}
    for name, kind in wanted.items():
        if not isinstance(getattr(module, name, None), kind):
            raise ScheduleUnavailable(
                f"Trio {trio.__version__} cannot be scheduled from a seed: trio._core._run.{name} is not a {kind.__name__}. "
                "Seeded schedules take this private name as Trio 0.35 has it; only tests need them"
            )


@functools.cache
def check_trio() -> None:
    """Raise `ScheduleUnavailable` unless this Trio can be scheduled from a seed. Tried out once for each process."""
    try:
        module = _trio_run()
    except ImportError:
        raise ScheduleUnavailable(f"Trio {trio.__version__} has no trio._core._run, where its scheduler was") from None
    check_names(module)
    orders = [_order(module, seed) for seed in (0, 1, 2, 3, 0, 1, 2, 3)]
    if orders[:4] != orders[4:] or len(set(orders)) == 1:
        raise ScheduleUnavailable(
            f"Trio {trio.__version__} cannot be scheduled from a seed: trio._core._run has {FLAG} and {GENERATOR}, "
            "but they do not decide the order of tasks any more; only tests need them"
        )


def _order(module: Any, seed: int) -> tuple[int, ...]:
    """In which order eight tasks take their first turns under `seed`."""
    order: list[int] = []

    async def turn(number: int) -> None:
        order.append(number)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(turn, number)

    with _switched_on(module, seed):
        trio.run(main, clock=MockClock(autojump_threshold=0))
    return tuple(order)
