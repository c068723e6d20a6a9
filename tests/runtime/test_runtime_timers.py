"""Timers on the virtual clock, tasks beside the loop, and what becomes of both at the end of an incarnation."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio_run import run

from actors.runtime import Actor, ActorCrashed, Child, VirtualClock, open_system
from actors.runtime.timers import COMPACT_MIN, Timers


class Clockwork(Actor):
    def __init__(self, seen: list[Any], script: Any) -> None:
        self.seen, self.script = seen, script

    async def on_start(self) -> None:
        self.script(self)

    async def on_receive(self, message: Any) -> Any:
        if message == "crash":
            raise RuntimeError
        self.seen.append((trio.current_time(), message))
        return self.context.incarnation


def clockwork(script: Any, *, until: float, tells: tuple[tuple[float, Any], ...] = ()) -> list[Any]:
    """What an actor whose on_start runs `script` sees until then; `tells` are (at, message)."""
    seen: list[Any] = []

    async def main() -> None:
        async with open_system("s", clock=VirtualClock(), seed=3) as system:
            await system.start(Child("c", Clockwork, (seen, script)))
            for at, message in tells:
                await trio.sleep_until(at)
                system.ref("/s/c").tell(message)
            await trio.sleep_until(until)
            assert until == system.clock.monotonic()

    run(main)
    return seen


def test_after_and_every() -> None:
    """`after` fires once, `every` without drift, to the tick."""

    def script(actor: Actor) -> None:
        actor.context.after(2.5, "once")
        actor.context.every(2.0, "tick")

    assert clockwork(script, until=7.0) == [(2.0, "tick"), (2.5, "once"), (4.0, "tick"), (6.0, "tick")]


def test_cancel() -> None:
    """A cancelled timer does not fire, whether it was pending or its message was queued already."""

    def script(actor: Actor) -> None:
        actor.context.after(1.0, "never").cancel()
        actor.context.after(2.0, "kept")

    assert clockwork(script, until=3.0) == [(2.0, "kept")]


def test_timers_die_with_the_incarnation() -> None:
    """After a crash only the new incarnation's timers fire."""

    def script(actor: Actor) -> None:
        if actor.context.incarnation == 1:
            actor.context.every(1.0, "first")
        else:
            actor.context.after(5.0, "second")

    seen = clockwork(script, until=20.0, tells=((2.5, "crash"),))
    assert [message for _, message in seen] == ["first", "first", "second"]


def test_a_slow_actor_gets_one_tick_not_a_pile() -> None:
    """While a tick waits in the mailbox no further one of the same timer is queued."""

    class Slow(Actor):
        def __init__(self, seen: list[float]) -> None:
            self.seen = seen

        async def on_start(self) -> None:
            self.context.every(1.0, "tick")

        async def on_receive(self, message: Any) -> None:
            self.seen.append(trio.current_time())
            await trio.sleep(3.5)

    seen: list[float] = []

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("slow", Slow, (seen,)))
            await trio.sleep(9)

    run(main)
    assert seen == [1.0, 4.5, 8.0]


def test_tasks_run_beside_the_loop_and_their_failure_is_the_actors() -> None:
    """`start_soon` does not hold up messages; its exception fails the actor and the message in hand; the end cancels it."""
    log: list[str] = []

    class Busy(Actor):
        async def on_start(self) -> None:
            self.context.start_soon(self.background, self.context.incarnation)

        async def background(self, incarnation: int) -> None:
            try:
                await trio.sleep(2 if incarnation == 1 else 1000)
                raise ValueError
            except trio.Cancelled:
                log.append("cancelled")
                raise

        async def on_receive(self, message: Any) -> Any:
            if message == "wait":
                await trio.sleep(100)
            return self.context.incarnation

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            await system.start(Child("busy", Busy))
            ref = system.ref("/s/busy")
            assert await ref.ask("x") == 1
            with pytest.raises(ActorCrashed):
                await ref.ask("wait")
            assert trio.current_time() == 2.0
            assert await ref.ask("x") == 2
            assert log == []
        assert log == ["cancelled"]

    run(main)


def test_a_context_is_over_with_its_incarnation() -> None:
    """What was kept of an old context refuses to do anything."""
    kept: list[Any] = []

    def script(actor: Actor) -> None:
        kept.append(actor.context)

    clockwork(script, until=10.0, tells=((1.0, "crash"),))
    with pytest.raises(RuntimeError, match="incarnation 1"):
        kept[0].after(1.0, "x")


def test_cancelled_timers_do_not_pile_up() -> None:
    """The heap is compacted when most of it is cancelled."""

    async def main() -> None:
        timers = Timers()
        for _ in range(10 * COMPACT_MIN):
            timers.add(1000.0, lambda _: None).cancel()
        statistics = timers.statistics()
        assert statistics.active == 0
        assert statistics.entries <= COMPACT_MIN + 1

    run(main)


def test_a_period_is_positive() -> None:
    """A period of nothing would never let go."""

    def script(actor: Actor) -> None:
        with pytest.raises(ValueError, match="positive"):
            actor.context.every(0.0, "x")

    clockwork(script, until=0.0)
