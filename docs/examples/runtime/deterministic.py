"""Tests without waiting and without luck: a virtual clock, and schedules drawn from a seed."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock

from actors.runtime import Actor, Child, VirtualClock, open_system
from actors.runtime.schedules import Trace, seeded_schedule


class Session(Actor):
    async def on_start(self) -> None:
        self.opened_at = self.context.clock.now()
        self.context.after(3600.0, "expire")
        self.expired = False

    async def on_receive(self, message: Any) -> Any:
        self.expired = self.expired or message == "expire"
        return self.expired, self.context.clock.now() - self.opened_at


async def an_hour_later() -> Any:
    async with open_system("test", clock=VirtualClock()) as system:
        await system.start(Child("session", Session))
        await trio.sleep(3600.5)
        return await system.ref("/test/session").ask("look")


async def race(trace: Trace) -> None:
    async def runner(name: str) -> None:
        for _ in range(5):
            await trio.lowlevel.checkpoint()
            trace.note(name)

    async with trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(runner, name)


def run_with(seed: int) -> tuple[Any, ...]:
    with seeded_schedule(seed) as trace:
        trio.run(race, trace, clock=MockClock(autojump_threshold=0))
    return trace.events


if __name__ == "__main__":
    print(trio.run(an_hour_later, clock=MockClock(autojump_threshold=0)))  # an hour passes in a moment
    print(run_with(1) == run_with(1))  # the same seed, the same order
    print(len({run_with(seed) for seed in range(200)}) >= 150)  # other seeds, other orders
