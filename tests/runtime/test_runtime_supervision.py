"""Supervision on the virtual clock: strategies, restart types, intensity, escalation, backoff, order of start and stop."""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio
from trio_run import run

from actors.runtime import (
    Actor,
    ActorCrashed,
    ActorDead,
    ActorSnapshot,
    Backoff,
    Child,
    EventKind,
    Intensity,
    Reason,
    Restart,
    StartFailed,
    Strategy,
    SupervisorSpec,
    System,
    SystemFailed,
    open_system,
)

AT_ONCE = Backoff(base_s=0.0)
GENEROUS = Intensity(max=1000, within_s=1.0)


def group(recorder: type[Actor], log: list[Any], strategy: Strategy, names: str = "abc", **more: Any) -> SupervisorSpec:
    """A supervisor `g` of one recorder for each letter."""
    children = tuple(Child(name, recorder, (log,)) for name in names)
    return SupervisorSpec("g", children, strategy=strategy, backoff=more.pop("backoff", AT_ONCE), **more)


async def settle() -> None:
    await trio.sleep(0.001)


def states(system: System) -> dict[str, str]:
    """Path to state, of the whole tree."""
    found: dict[str, str] = {}

    def walk(node: ActorSnapshot) -> None:
        found[node.path] = node.state
        for child in node.children:
            walk(child)

    walk(system.snapshot())
    return found


def test_start_in_order_stop_in_reverse(recorder) -> None:
    """Children start in the order of the spec and stop in reverse."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(group(recorder, log, Strategy.ONE_FOR_ONE))

    run(main)
    assert log == [("start", "a"), ("start", "b"), ("start", "c"), ("stop", "c"), ("stop", "b"), ("stop", "a")]


def test_each_child_starts_after_the_one_before_is_up() -> None:
    """A slow `on_start` holds up the next child's."""
    log: list[Any] = []

    class Slow(Actor):
        async def on_start(self) -> None:
            await trio.sleep(2)
            log.append((trio.current_time(), self.context.path))

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("a", Slow), Child("b", Slow))

    run(main)
    assert log == [(2.0, "/s/a"), (4.0, "/s/b")]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy.ONE_FOR_ONE, [("failure", "KeyError"), ("start", "b")]),
        (
            Strategy.ONE_FOR_ALL,
            [("failure", "KeyError"), ("stop", "c"), ("stop", "a"), ("start", "a"), ("start", "b"), ("start", "c")],
        ),
        (Strategy.REST_FOR_ONE, [("failure", "KeyError"), ("stop", "c"), ("start", "b"), ("start", "c")]),
    ],
)
def test_strategies(recorder, strategy: Strategy, expected: list[Any]) -> None:
    """Which children a failure of the middle one restarts, and in which order."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(group(recorder, log, strategy))
            log.clear()
            system.ref("/s/g/b").tell(KeyError())
            await settle()
            assert expected == log
            assert {"running"} == set(states(system).values())

    run(main)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_queued_messages_survive_a_restart(recorder, strategy: Strategy) -> None:
    """What waits in the mailboxes of all who are restarted is handled by the next incarnations; the crashing message is not."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(group(recorder, log, strategy))
            system.ref("/s/g/b").tell(KeyError())
            for name in "abc":
                system.ref(f"/s/g/{name}").tell(name)
            assert await system.ref("/s/g/b").ask("asked") == "asked"
            await settle()
            assert sorted(m for kind, m in log if kind == "message" and m != "asked") == ["a", "b", "c"]
            assert {k: v for k, v in system.dead_letters.counts.items() if v} == {Reason.CRASHED: 1}

    run(main)


def test_a_failure_during_a_group_restart_widens_the_group(recorder) -> None:
    """rest_for_one: while `c` waits for its restart `a` fails; all of them come back, in order."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s", seed=5) as system:
            await system.start(group(recorder, log, Strategy.REST_FOR_ONE, backoff=Backoff(base_s=8.0)))
            system.ref("/s/g/c").tell(KeyError())
            await settle()
            system.ref("/s/g/a").tell(ValueError())
            await trio.sleep(20)
            starts = [name for kind, name in log if kind == "start"]
            assert starts == ["a", "b", "c", "a", "b", "c"]
            assert {"running"} == set(states(system).values())

    run(main)


def test_a_group_that_fails_while_its_supervisor_comes_back_keeps_its_order(recorder) -> None:
    """one_for_all: the restarted supervisor's first child fails to start; the others still start one after another."""
    log: list[Any] = []

    class Shaky(recorder):
        async def on_start(self) -> None:
            await super().on_start()
            if self.context.incarnation in (2, 3):
                raise OSError

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            children = (Child("a", Shaky, (log,)), Child("b", recorder, (log,)), Child("c", recorder, (log,)))
            inner = SupervisorSpec("g", children, Strategy.ONE_FOR_ALL, Intensity(max=1, within_s=5.0), AT_ONCE)
            await system.start(SupervisorSpec("outer", (inner,), backoff=AT_ONCE))
            log.clear()
            system.ref("/s/outer/g/a").tell(KeyError())
            await trio.sleep(1)
            assert set(states(system).values()) == {"running"}
            assert [name for kind, name in log if kind == "start"] == ["a", "a", "a", "b", "c"]

    run(main)


@pytest.mark.parametrize(
    ("restart", "how", "comes_back"),
    [
        # a failure
        (Restart.PERMANENT, "fail", True),
        (Restart.TRANSIENT, "fail", True),
        (Restart.TEMPORARY, "fail", False),
        # an end of its own will
        (Restart.PERMANENT, "end", True),
        (Restart.TRANSIENT, "end", False),
        (Restart.TEMPORARY, "end", False),
        # a stop from outside
        (Restart.PERMANENT, "stop", False),
        (Restart.TRANSIENT, "stop", False),
        (Restart.TEMPORARY, "stop", False),
        # a kill from outside
        (Restart.PERMANENT, "kill", False),
    ],
)
def test_restart_types(restart: Restart, how: str, comes_back: bool) -> None:
    """When a child that ended comes back."""

    class Mortal(Actor):
        async def on_receive(self, message: Any) -> None:
            if message == "fail":
                raise ValueError
            if message == "end":
                self.stop()

    async def main() -> None:
        async with open_system("s") as system:
            child = Child("m", Mortal, restart=restart)
            await system.start(SupervisorSpec("g", (child,), backoff=AT_ONCE))
            ref = system.ref("/s/g/m")
            if how == "stop":
                assert await ref.stop()
            elif how == "kill":
                ref.kill()
            else:
                ref.tell(how)
            await settle()
            assert comes_back == ref.is_alive()
            expected = "running" if comes_back else "failed" if how == "fail" else "stopped"
            assert expected == states(system)["/s/g/m"]

    run(main)


def failing_at(times: int) -> type[Actor]:
    """An actor whose first `times` on_starts fail."""

    class Failing(Actor):
        async def on_start(self) -> None:
            if self.context.incarnation <= times:
                raise OSError

    return Failing


def test_a_failing_start_is_a_failure_like_any_other() -> None:
    """`on_start` is tried again, within the intensity; `System.start` waits for it."""

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            await system.start(SupervisorSpec("g", (Child("f", failing_at(5)),)))
            snapshot = system.snapshot().children[0].children[0]
            assert (snapshot.state, snapshot.incarnation, snapshot.failed) == ("running", 6, 5)
            assert snapshot.restarts.count == 5

    run(main)


def test_a_start_that_exhausts_the_intensity_raises_out_of_start() -> None:
    """`System.start` raises StartFailed from the failure itself, without trying the supervisor again; the system lives on."""

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            spec = SupervisorSpec("g", (Child("f", failing_at(6)), Child("never", failing_at(0))))
            with pytest.raises(StartFailed, match="OSError") as failed:
                await system.start(SupervisorSpec("outer", (spec,)), Child("later", failing_at(0)))
            assert isinstance(failed.value.__cause__, OSError)
            await system.start(Child("other", failing_at(0)))
            assert states(system)["/s/other"] == "running"
            assert states(system)["/s/outer"] == "failed"
            with pytest.raises(ActorDead):
                system.ref("/s/later").tell(1)

    run(main)


def test_a_temporary_child_that_fails_to_start_raises_out_of_start() -> None:
    """What is never restarted and did not come up is told to the caller at once."""

    async def main() -> None:
        async with open_system("s") as system:
            with pytest.raises(StartFailed, match="OSError"):
                await system.start(Child("f", failing_at(1), restart=Restart.TEMPORARY))

    run(main)


def test_stopped_while_it_starts() -> None:
    """A stop during `System.start` does not wait for a slow `on_start` beyond its bound, and start says so."""

    class Slow(Actor):
        async def on_start(self) -> None:
            await trio.sleep_forever()

    async def main() -> None:
        async with open_system("s") as system, trio.open_nursery() as nursery:

            async def start() -> None:
                with pytest.raises(RuntimeError, match="stopped while it started"):
                    await system.start(SupervisorSpec("g", (Child("slow", Slow, stop_timeout_s=2.0),)))

            nursery.start_soon(start)
            await trio.testing.wait_all_tasks_blocked()
            before = trio.current_time()
            await system.stop()
            assert trio.current_time() - before == 2.0

    run(main)


def test_intensity_escalates_to_the_supervisor_above(recorder) -> None:
    """One restart too many: the supervisor fails, its own supervisor restarts it with all of its children."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            events = system.subscribe()
            inner = group(recorder, log, Strategy.ONE_FOR_ONE, intensity=Intensity(max=2, within_s=10.0))
            await system.start(SupervisorSpec("outer", (inner,), backoff=AT_ONCE))
            ref = system.ref("/s/outer/g/b")
            for _ in range(3):
                ref.tell(KeyError())
            ref.tell("survives")
            await settle()
            await trio.sleep(5)
            assert ("message", "survives") in log
            assert {"running"} == set(states(system).values())
            snapshot = system.snapshot().children[0].children[0]
            assert (snapshot.path, snapshot.incarnation, snapshot.failed) == ("/s/outer/g", 2, 1)
            assert snapshot.last_failure is not None
            assert snapshot.last_failure.type == "Escalated from KeyError"
            kinds = []
            while (event := events.receive_nowait()) is not None:
                kinds.append((event.kind, event.path))
            assert (EventKind.ESCALATED, "/s/outer/g") in kinds

    run(main)


def test_failures_that_are_far_apart_do_not_escalate(recorder) -> None:
    """The window moves: max restarts within within_s, for ever."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            await system.start(group(recorder, log, Strategy.ONE_FOR_ONE, intensity=Intensity(max=1, within_s=10.0)))
            for _ in range(5):
                system.ref("/s/g/a").tell(KeyError())
                await trio.sleep(10.5)
            assert {"running"} == set(states(system).values())

    run(main)


def test_the_roots_escalation_ends_the_system(recorder) -> None:
    """The body of open_system is cancelled, everything is stopped, SystemFailed comes out with the failure as its cause."""
    log: list[Any] = []

    async def fail() -> None:
        async with open_system("s", intensity=Intensity(max=0, within_s=1.0)) as system:
            await system.start(Child("x", recorder, (log,)), Child("y", recorder, (log,)))
            system.ref("/s/x").tell(KeyError("secret"))
            await trio.sleep_forever()

    async def main() -> None:
        with pytest.raises(SystemFailed, match="KeyError") as failed:
            await fail()
        assert isinstance(failed.value.__cause__, KeyError)
        assert "secret" not in str(failed.value)

    run(main)
    assert log == [("start", "x"), ("start", "y"), ("failure", "KeyError"), ("stop", "y")]


def test_nested_intensities_multiply(recorder) -> None:
    """Two levels with one restart each: the inner one gives up twice before the outer one does."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s", intensity=Intensity(max=0, within_s=1.0)) as system:
            inner = group(recorder, log, Strategy.ONE_FOR_ONE, "a", intensity=Intensity(max=1, within_s=60.0))
            outer = SupervisorSpec("outer", (inner,), intensity=Intensity(max=1, within_s=60.0), backoff=AT_ONCE)
            await system.start(outer)
            for _ in range(10):
                system.ref("/s/outer/g/a").tell(KeyError())
            await trio.sleep_forever()

    with pytest.raises(SystemFailed):
        run(main)
    assert sum(1 for kind, _ in log if kind == "failure") == 4


def test_backoff_grows_to_its_cap_and_is_reset(recorder) -> None:
    """The nth restart in a row waits what the seeded generator draws below base * 2**(n-1), to the tick; a long run resets it."""
    backoff = Backoff(base_s=1.0, cap_s=4.0, reset_after_s=100.0)
    starts: list[float] = []

    class Failing(Actor):
        async def on_start(self) -> None:
            starts.append(trio.current_time())
            if len(starts) <= 5:
                raise ValueError

        async def on_receive(self, message: Any) -> None:
            raise ValueError

    async def main() -> None:
        async with open_system("s", seed=42) as system:
            spec = SupervisorSpec("g", (Child("f", Failing),), backoff=backoff, intensity=GENEROUS)
            await system.start(spec)
            await trio.sleep(100.0)
            system.ref("/s/g/f").tell("fail")
            await trio.sleep(20.0)

    run(main)
    rng = random.Random(42)
    ceilings = [1.0, 2.0, 4.0, 4.0, 4.0]
    expected = [0.0]
    for ceiling in ceilings:
        expected.append(expected[-1] + rng.uniform(0.0, ceiling))
    expected.append(expected[-1] + 100.0 + rng.uniform(0.0, 1.0))
    assert expected == pytest.approx(starts)


def test_backing_off_is_shown_and_can_be_stopped(recorder) -> None:
    """While it waits for its restart an actor is alive, its countdown is shown, and a stop ends it there and then."""
    log: list[Any] = []

    async def main() -> None:
        async with open_system("s", seed=2) as system:
            await system.start(
                group(recorder, log, Strategy.ONE_FOR_ONE, "a", backoff=Backoff(base_s=50.0, cap_s=50.0))
            )
            ref = system.ref("/s/g/a")
            ref.tell(KeyError())
            await settle()
            ref.tell("queued")
            snapshot = system.snapshot().children[0].children[0]
            assert (snapshot.state, snapshot.mailbox.depth) == ("backoff", 1)
            assert snapshot.retry_in_s is not None
            assert ref.is_alive()
            assert await ref.stop()
            assert not ref.is_alive()
            await trio.sleep(60)
            assert log == [("start", "a"), ("failure", "KeyError")]
            assert system.dead_letters.counts[Reason.DEAD] == 1

    run(main)


def test_a_stop_that_takes_too_long_becomes_a_kill() -> None:
    """Over `stop_timeout_s` the actor is cancelled; what it had in hand is accounted for, and the next one is stopped."""
    log: list[Any] = []

    class Stuck(Actor):
        async def on_receive(self, message: Any) -> None:
            try:
                await trio.sleep_forever()
            finally:
                log.append((trio.current_time(), "cancelled"))

        async def on_stop(self) -> None:
            log.append((trio.current_time(), f"stop {self.context.path}"))

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("first", Stuck), Child("stuck", Stuck, stop_timeout_s=3.0))
            asked = system.ref("/s/stuck").ask("x")
            await settle()
            started = trio.current_time()
            await system.stop()
            assert trio.current_time() - started == 3.0
            with pytest.raises(ActorCrashed):
                await asked

    run(main)
    assert [(pytest.approx(3.001), "cancelled"), (pytest.approx(3.001), "stop /s/first")] == log


def test_the_whole_stop_is_bounded() -> None:
    """However many actors are stuck, the system is gone within its own bound."""

    class Stuck(Actor):
        async def on_receive(self, message: Any) -> None:
            await trio.sleep_forever()

    async def main() -> None:
        async with open_system("s", stop_timeout_s=7.0) as system:
            await system.start(*(Child(f"stuck{n}", Stuck) for n in range(10)))
            for n in range(10):
                system.ref(f"/s/stuck{n}").tell("x")
            await settle()
            started = trio.current_time()
        assert trio.current_time() - started == 7.0

    run(main)


def test_a_failure_in_on_stop_does_not_bring_it_back() -> None:
    """A stop from above is final, also when `on_stop` raises."""
    calls: list[str] = []

    class Bad(Actor):
        async def on_stop(self) -> None:
            calls.append("stop")
            raise ValueError

        async def on_failure(self, exception_type, exception_value, traceback) -> None:
            calls.append(exception_type.__name__)
            raise KeyError

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("bad", Bad))

    run(main)
    assert calls == ["stop", "ValueError"]


def test_a_group_of_exceptions_is_split() -> None:
    """A handler whose nursery raises a group of failures fails with it; cancellation inside the group stays cancellation."""

    class Grouping(Actor):
        async def on_receive(self, message: Any) -> Any:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.fail)
                if message == "kill":
                    self.context.ref.kill()
                    await trio.sleep_forever()

        async def fail(self) -> None:
            try:
                await trio.sleep(1)
            finally:
                raise ValueError

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            await system.start(Child("g", Grouping))
            ref = system.ref("/s/g")
            with pytest.raises(ActorCrashed) as crash:
                await ref.ask("x")
            assert isinstance(crash.value.__cause__, ExceptionGroup)
            assert ref.is_alive()
            ref.tell("kill")
            await trio.sleep(2)
            assert states(system)["/s/g"] == "stopped"

    run(main)


def test_a_program_ending_exception_ends_the_system_in_good_order(recorder) -> None:
    """SystemExit in an actor: the others are stopped, then it is raised out of open_system."""
    log: list[Any] = []

    class Quitting(Actor):
        async def on_receive(self, message: Any) -> None:
            raise SystemExit(3)

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("a", recorder, (log,)), Child("q", Quitting))
            system.ref("/s/q").tell("x")
            await trio.sleep_forever()

    with pytest.raises(SystemExit):
        run(main)
    assert log == [("start", "a"), ("stop", "a")]


def test_cancellation_from_outside_still_stops_in_order(recorder) -> None:
    """A cancelled program gets its actors stopped, in reverse, and the cancellation goes on its way."""
    log: list[Any] = []

    async def main() -> None:
        with trio.move_on_after(1) as scope:
            async with open_system("s") as system:
                await system.start(group(recorder, log, Strategy.ONE_FOR_ONE, "ab"))
                await trio.sleep_forever()
        assert scope.cancelled_caught

    run(main)
    assert log == [("start", "a"), ("start", "b"), ("stop", "b"), ("stop", "a")]


def test_what_the_body_raises_comes_out_as_it_is() -> None:
    """No exception group is put around the caller's own exceptions."""

    async def main() -> None:
        with pytest.raises(LookupError):
            async with open_system("s"):
                raise LookupError

    run(main)


def test_intercept_crashes_an_actor_at_any_message(recorder) -> None:
    """`intercept` is called before each handling, with the path, and may raise in the handler's place."""
    log: list[Any] = []
    calls: list[Any] = []

    def intercept(path: str, message: Any) -> None:
        calls.append((path, message))
        if message == "poison" and len(calls) == 1:
            raise RuntimeError

    async def main() -> None:
        async with open_system("s", intercept=intercept, seed=1) as system:
            await system.start(Child("a", recorder, (log,)))
            system.ref("/s/a").tell("poison")
            assert await system.ref("/s/a").ask("poison") == "poison"

    run(main)
    assert calls == [("/s/a", "poison"), ("/s/a", "poison")]
    assert log == [("start", "a"), ("failure", "RuntimeError"), ("start", "a"), ("message", "poison"), ("stop", "a")]
