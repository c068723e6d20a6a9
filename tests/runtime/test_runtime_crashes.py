"""Crashes: kept after the actor's end with what was decided; and what counts as one (BaseException, cancellation)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
import trio
import trio.testing
from trio_run import run

from actors.runtime import (
    Actor,
    Backoff,
    Child,
    Crashes,
    DynamicSpec,
    EventKind,
    Failure,
    Intensity,
    Restart,
    StartFailed,
    Strategy,
    SupervisorSpec,
    SystemFailed,
    open_system,
)
from actors.runtime.errors import StrayCancellation
from actors.runtime.verdict import judge

NOW = Backoff(base_s=0.0)


async def _settle() -> None:
    await trio.testing.wait_all_tasks_blocked()


def test_a_crash_says_who_failed_at_what_and_what_was_decided(recorder):
    """Path, class, incarnation, message type, places in the code; the decision and its delay; never a text."""

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            spec = SupervisorSpec("g", (Child("a", recorder, ([],)),), backoff=Backoff(base_s=4.0))
            await system.start(spec)
            with system.subscribe() as events:
                system.ref("/s/g/a").tell(ValueError("s3cret"))
                async for event in events:
                    if event.kind is EventKind.RESTARTING:
                        break
            (crash,) = system.crashes
            assert (crash.id, crash.path, crash.actor, crash.incarnation) == (1, "/s/g/a", "Recorder", 1)
            assert (crash.decision, crash.delay_s, crash.escalated_to) == ("backoff", event.delay_s, ())
            assert (crash.failure.type, crash.failure.message_type) == ("ValueError", "ValueError")
            assert crash.failure.traceback[-1].endswith(" on_receive")
            assert "s3cret" not in repr(crash)
            assert crash.failure == system.snapshot().children[0].children[0].last_failure

    run(main)


@pytest.mark.parametrize(
    ("restart", "base_s", "decision"),
    [(Restart.TEMPORARY, 1.0, "stop"), (Restart.TRANSIENT, 0.0, "restart"), (Restart.PERMANENT, 0.0, "restart")],
)
def test_each_restart_type_has_its_decision(recorder, restart, base_s, decision):
    """Not to be restarted: stop. Without a delay: restart."""

    async def main() -> None:
        async with open_system("s") as system:
            child = Child("a", recorder, ([],), restart=restart)
            await system.start(SupervisorSpec("g", (child,), backoff=Backoff(base_s=base_s)))
            system.ref("/s/g/a").tell(ValueError())
            await _settle()
            assert [crash.decision for crash in system.crashes] == [decision]

    run(main)


def test_an_escalation_names_every_supervisor_that_gave_up(recorder):
    """Innermost first; each supervisor's own failure is a crash of its own, escalated by those above it."""

    async def main() -> None:
        never = Intensity(max=0, within_s=60.0)
        inner = SupervisorSpec("inner", (Child("a", recorder, ([],)),), intensity=never, backoff=NOW)
        outer = SupervisorSpec("outer", (inner,), Strategy.ONE_FOR_ALL, never, NOW)
        async with open_system("s") as system:
            await system.start(SupervisorSpec("top", (outer,), backoff=NOW))
            system.ref("/s/top/outer/inner/a").tell(ValueError())
            await _settle()
            told = [(crash.path, crash.decision, crash.escalated_to) for crash in system.crashes]
            assert told == [
                ("/s/top/outer/inner/a", "escalate", ("/s/top/outer/inner", "/s/top/outer")),
                ("/s/top/outer/inner", "escalate", ("/s/top/outer",)),
                ("/s/top/outer", "restart", ()),
            ]
            assert await system.ref("/s/top/outer/inner/a").ask(1) == 1

    run(main)


def test_a_crash_outlives_its_actor(recorder):
    """A dynamic child over its own intensity is given up and gone; what it crashed with is kept."""

    async def main() -> None:
        async with open_system("s") as system:
            spec = DynamicSpec("d", lambda _: Child("x", recorder, ([],)), intensity=Intensity(max=1), backoff=NOW)
            await system.start(spec)
            keyed = system.dynamic("/s/d")
            for _ in range(2):
                keyed.ref("k").tell(ValueError())
                await _settle()
            assert len(keyed) == 0
            assert [(crash.path, crash.decision) for crash in system.crashes] == [
                ("/s/d/k", "restart"),
                ("/s/d/k", "give up"),
            ]
            assert system.statistics().crashes.by_decision == {"restart": 1, "give up": 1}

    run(main)


def test_one_that_never_came_up_and_the_root_are_given_up(recorder):
    """Under the root a start that fails too often is the caller's to judge; the root itself has nobody above it."""

    class NeverUp(Actor):
        async def on_start(self) -> None:
            raise OSError

    async def starting() -> None:
        async with open_system("s", intensity=Intensity(max=0)) as system:
            with pytest.raises(StartFailed):
                await system.start(Child("a", NeverUp))
            assert [crash.decision for crash in system.crashes] == ["give up"]

    async def falling() -> None:
        async with open_system("s", intensity=Intensity(max=0)) as system:
            seen.append(system)
            await system.start(Child("a", recorder, ([],)))
            system.ref("/s/a").tell(ValueError())
            await trio.sleep_forever()

    run(starting)
    seen: list[Any] = []
    with pytest.raises(SystemFailed):
        run(falling)
    told = [(crash.path, crash.decision, crash.escalated_to) for crash in seen[0].crashes]
    assert told == [("/s/a", "escalate", ("/s",)), ("/s", "give up", ())]


def test_the_ring_is_bounded_and_a_late_decision_about_a_forgotten_crash_is_counted_only():
    """The oldest goes; all are counted."""
    crashes = Crashes(capacity=2)
    failure = Failure(0.0, "ValueError", None, ())
    numbers = [crashes.add("/s/a", "A", n, failure) for n in range(3)]
    crashes.decide(numbers[0], "restart", 0.0)
    crashes.escalated(numbers, "/s")
    crashes.decide(None, "stop")
    assert [crash.id for crash in crashes] == [2, 3]
    assert crashes.get(1) is None
    assert crashes.get(2).escalated_to == ("/s",)
    statistics = crashes.statistics()
    assert (statistics.kept, statistics.capacity, statistics.total) == (2, 2, 3)
    assert statistics.by_decision == {"restart": 1, "none": 2}
    assert len(crashes) == 2


# --- what counts as a failure: the table of verdict.py, row by row ---------------------------------------------------------


class Raises(Actor):
    """Raises what it is told, or calls it."""

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        return await message(self) if callable(message) else message


def _a_cancelled() -> trio.Cancelled:
    """One that a scope has long dealt with."""

    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as error:
                kept.append(error)
                raise

    kept: list[trio.Cancelled] = []
    trio.run(main)
    return kept[0]


async def _sleep(_: Actor) -> None:
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("raised", "failure"),
    [
        (ValueError(), "ValueError"),
        (ExceptionGroup("", [ValueError(), OSError()]), "ExceptionGroup[OSError, ValueError]"),
        (_a_cancelled(), "StrayCancellation from Cancelled"),
        (BaseExceptionGroup("", [ValueError(), _a_cancelled()]), "ExceptionGroup[ValueError]"),
    ],
)
def test_a_failure_is_one_of_its_actor_alone(raised, failure):
    """Recorded and restarted; the sibling in the same nursery notices nothing, not even of a Cancelled that nobody asked for."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(SupervisorSpec("g", (Child("a", Raises), Child("b", Raises)), backoff=NOW))
            system.ref("/s/g/a").tell(raised)
            await _settle()
            assert await system.ref("/s/g/a").ask(1) == 1
            assert [crash.failure.type for crash in system.crashes] == [failure]
            assert [child.incarnation for child in system.snapshot().children[0].children] == [2, 1]

    run(main)


@pytest.mark.parametrize(
    "raised",
    [
        KeyboardInterrupt(),
        SystemExit(3),
        BaseExceptionGroup("", [ValueError(), KeyboardInterrupt()]),
        BaseException("x"),
    ],
)
@pytest.mark.parametrize("where", ["handler", "task", "on_failure"])
def test_what_ends_a_program_ends_the_system_in_order(raised, where):
    """The others are stopped by their own hooks, and then it comes out of `open_system`, itself."""

    class Target(Raises):
        async def on_failure(self, *args: Any) -> None:
            if where == "on_failure":
                raise raised

    class Other(Actor):
        async def on_stop(self) -> None:
            stopped.append(True)

    async def beside(it: Actor) -> None:
        async def task() -> None:
            raise raised

        it.context.start_soon(task)

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("other", Other), SupervisorSpec("g", (Child("a", Target),), backoff=NOW))
            message = {"handler": raised, "task": beside, "on_failure": ValueError()}[where]
            system.ref("/s/g/a").tell(message)
            await trio.sleep_forever()

    stopped: list[bool] = []
    with pytest.raises(type(raised)) as caught:
        run(main)
    assert repr(caught.value) == repr(raised)  # Trio takes groups apart and puts them together again
    assert stopped == [True]


def test_a_cancellation_that_somebody_asked_for_is_no_failure():
    """A kill, and the end of a system whose body is cancelled: no crash."""

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with open_system("s", stop_timeout_s=0.0) as system:
                seen.append(system)
                await system.start(Child("a", Raises), Child("b", Raises))
                for name in "ab":
                    system.ref(f"/s/{name}").tell(_sleep)
                await _settle()
                system.ref("/s/a").kill()
                await _settle()
                scope.cancel()

    seen: list[Any] = []
    run(main)
    assert list(seen[0].crashes) == []


def test_the_table_itself():
    """`judge` where nobody is cancelled, and where somebody is."""

    async def main() -> None:
        cancelled = _cancelled
        stray = judge(cancelled)
        assert isinstance(stray.failure, StrayCancellation)
        assert judge(BaseExceptionGroup("", [KeyboardInterrupt(), cancelled])).passing is None
        closing = GeneratorExit()
        assert judge(closing) == (None, None, closing)
        with trio.CancelScope() as scope:  # noqa: ASYNC100 - what is judged is whether there is one
            scope.cancel()
            assert judge(cancelled) == (None, None, cancelled)
            both = judge(BaseExceptionGroup("", [ValueError(), cancelled]))
            assert (type(both.failure), both.fatal, type(both.passing)) == (ExceptionGroup, None, BaseExceptionGroup)
            fatal = judge(BaseExceptionGroup("", [KeyboardInterrupt(), cancelled]))
            assert (fatal.failure, type(fatal.fatal), type(fatal.passing)) == (
                None,
                BaseExceptionGroup,
                BaseExceptionGroup,
            )

    _cancelled = _a_cancelled()
    run(main)


INTERRUPTED = """
import os, signal, sys, time, trio
from actors.runtime import Actor, Child, open_system

class Busy(Actor):
    async def on_receive(self, message):
        os.write(1, b"busy\\n")
        while True:
            time.sleep(0.001)

class Other(Actor):
    async def on_stop(self):
        os.write(1, b"stopped in order\\n")

async def main():
    async with open_system("s") as system:
        await system.start(Child("other", Other), Child("busy", Busy))
        system.ref("/s/busy").tell(1)
        await trio.sleep_forever()

try:
    trio.run(main)
except KeyboardInterrupt:
    os.write(1, b"interrupted\\n")
"""


@pytest.mark.slow
def test_a_real_keyboard_interrupt_in_a_handler_that_holds_up_the_loop():
    """Without any signal handling of the program's: it hits the handler itself, the others stop in order, it comes out."""
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"busy\n"
        os.kill(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert [line for line in out.splitlines() if not line.startswith(b"20")] == [b"stopped in order", b"interrupted"]
