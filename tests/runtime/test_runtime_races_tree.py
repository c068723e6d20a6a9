"""Races in the tree, each under 200 seeded schedules: children that come and go, timers, groups, escalations, starts and stops at once.

As in test_runtime_races.py: a scenario notes its trace, every fourth seed is run twice, what was seen is printed at the end of the run.
"""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import trio

from actors.runtime import (
    Actor,
    ActorCrashed,
    ActorDead,
    ActorSnapshot,
    Backoff,
    Child,
    DynamicSpec,
    Intensity,
    NotAllowed,
    Reason,
    Reply,
    Restart,
    Strategy,
    SupervisorSpec,
    System,
    Terminated,
    VirtualClock,
    open_system,
)
from actors.runtime.schedules import Trace

AT_ONCE = Backoff(base_s=0.0)
ENDLESS = Intensity(max=1000, within_s=1.0)

pytestmark = pytest.mark.slow


def system_of_tests() -> System:
    return open_system("s", clock=VirtualClock(), seed=7)


async def pause(trace: Trace, most: int = 4) -> None:
    """Let others run, a few times."""
    for _ in range(trace.rng.randint(1, most)):
        await trio.lowlevel.checkpoint()


class Member(Actor):
    """One of a group: notes its starts and stops; "fail" crashes it. `busy`: who is in a handler, one incarnation of each at most."""

    def __init__(self, trace: Trace, busy: set[str]) -> None:
        self.trace = trace
        self.busy = busy
        self.name = self.context.path.rpartition("/")[2]

    async def on_start(self) -> None:
        await pause(self.trace, 2)
        self.trace.note(("start", self.name))

    async def on_receive(self, message: Any) -> Any:
        if self.name in self.busy:
            self.trace.note(("wrong", "two incarnations at once", self.name))
        self.busy.add(self.name)
        try:
            await trio.lowlevel.checkpoint()
        finally:
            self.busy.discard(self.name)
        if message == "fail":
            raise ValueError
        self.trace.note(("handled", self.name, message))
        return message

    async def on_stop(self) -> None:
        await pause(self.trace, 2)
        self.trace.note(("stop", self.name))

    async def on_failure(self, exception_type, exception_value, traceback) -> None:
        self.trace.note(("failure", self.name))


def group(trace: Trace, strategy: Strategy, names: str = "abc", **more: Any) -> SupervisorSpec:
    busy: set[str] = set()
    children = tuple(Child(name, Member, (trace, busy)) for name in names)
    return SupervisorSpec("g", children, strategy, more.pop("intensity", ENDLESS), AT_ONCE, **more)


def states(node: ActorSnapshot) -> list[str]:
    """The state of every place of the tree."""
    return [node.state, *(state for child in node.children for state in states(child))]


def nothing_wrong(trace: Trace) -> None:
    """What an actor found wrong it noted: an assertion in it would only be one more failure of it."""
    assert [event for event in trace.events if event[0] == "wrong"] == []


def never_twice_at_once(trace: Trace) -> None:
    """No incarnation of a place starts before the one before it is over."""
    nothing_wrong(trace)
    up: set[Any] = set()
    for event in trace.events:
        if event[0] == "start":
            assert event[1] not in up
            up.add(event[1])
        elif event[0] in ("stop", "failure"):
            up.discard(event[1])


def test_retire_against_tell(race) -> None:
    """A child by key that retires when it may races with tells and asks: through the handle every one is taken and handled once."""

    async def scenario(trace: Trace) -> None:
        class Shy(Actor):
            async def on_receive(self, message: Any) -> Any:
                trace.note(("handled", message))
                await trio.lowlevel.checkpoint()
                if self.context.retire():
                    trace.note("retired")
                return message

        async with system_of_tests() as system:
            await system.start(DynamicSpec("d", lambda key: Child(key, Shy)))
            dynamic = system.dynamic("/s/d")

            async def use(name: str) -> None:
                for number in range(4):
                    if trace.rng.random() < 0.5:
                        assert (name, number) == await dynamic.ref("k").ask((name, number), timeout_s=10)
                    else:
                        dynamic.ref("k").tell((name, number))
                    await pause(trace)

            async with trio.open_nursery() as nursery:
                for name in "abc":
                    nursery.start_soon(use, name)
            await dynamic.ref("k").ask("last", timeout_s=10)
            assert sum(1 for event in trace.events if event[0] == "handled") == 13
            assert len(system.dead_letters) == 0

    race(scenario)


def test_timer_against_stop(race) -> None:
    """Timers come due while the actor is stopped or crashes: no tick of an incarnation that has ended is ever handled."""

    async def scenario(trace: Trace) -> None:
        class Ticking(Actor):
            async def on_start(self) -> None:
                self.me = self.context.path, self.context.incarnation
                trace.note(("start", *self.me))
                self.context.every(1.0, ("every", *self.me))
                self.context.after(float(trace.rng.randint(1, 3)), ("after", *self.me))

            async def on_receive(self, message: Any) -> None:
                await trio.lowlevel.checkpoint()
                if message[1:] != self.me:
                    trace.note(("wrong", "a tick of another incarnation", message))
                trace.note(message)
                if message[0] == "after" and self.context.incarnation < 3:
                    raise ValueError

        async with system_of_tests() as system:
            children = tuple(Child(name, Ticking) for name in "tuv")
            await system.start(SupervisorSpec("g", children, backoff=AT_ONCE, intensity=ENDLESS))

            async def stop(name: str) -> None:
                await trio.sleep(trace.rng.randint(2, 4))
                await pause(trace)
                trace.note((name, await system.ref(f"/s/g/{name}").stop()))

            async with trio.open_nursery() as nursery:
                for name in "tuv":
                    nursery.start_soon(stop, name)
            nothing_wrong(trace)
            ended = len(trace.events)
            await trio.sleep(5)
            assert len(trace.events) == ended
            assert system.statistics().timers.active == 0
            assert system.dead_letters.counts[Reason.FULL] == 0

    race(scenario)


def test_watch_against_end(race) -> None:
    """Watchers come while the watched one crashes, comes back, and is stopped: each is told of the end, once, or has let go."""

    async def scenario(trace: Trace) -> None:
        unwatched: set[str] = set()

        class Watcher(Actor):
            async def on_receive(self, message: Any) -> None:
                await trio.lowlevel.checkpoint()
                if message == "watch":
                    self.context.watch(ref)
                    trace.note(("watches", self.context.path))
                elif message == "unwatch":
                    self.context.unwatch(ref)
                    unwatched.add(self.context.path)
                    trace.note(("unwatches", self.context.path))
                else:
                    if not isinstance(message, Terminated) or self.context.path in unwatched:
                        trace.note(("wrong", "told after it let go", self.context.path))
                    trace.note(("told", self.context.path, message.path, message.state.value))

        async with system_of_tests() as system:
            await system.start(group(trace, Strategy.ONE_FOR_ONE, "a"), *(Child(name, Watcher) for name in "xyz"))
            ref = system.ref("/s/g/a")

            async def watch(name: str) -> None:
                await pause(trace, 12)
                system.ref(f"/s/{name}").tell("watch")
                await pause(trace)
                with contextlib.suppress(ActorDead):
                    ref.tell(name)
                if trace.rng.random() < 0.3:
                    system.ref(f"/s/{name}").tell("unwatch")

            async def end() -> None:
                for _ in range(trace.rng.randint(0, 2)):
                    ref.tell("fail")
                    await pause(trace, 6)
                await ref.stop()

            async with trio.open_nursery() as nursery:
                for name in "xyz":
                    nursery.start_soon(watch, name)
                nursery.start_soon(end)
                nursery.start_soon(ref.wait_terminated)
            await trio.sleep(1)
            nothing_wrong(trace)
            told = [event[1:] for event in trace.events if event[0] == "told"]
            assert len(set(told)) == len(told)
            assert {path for path, *_ in told} | unwatched == {"/s/x", "/s/y", "/s/z"}
            assert {event[1:] for event in told} <= {("/s/g/a", "stopped")}

    race(scenario)


def test_escalation_against_ask(race) -> None:
    """Two children fail until their supervisor gives up, while others ask: all are answered or told, and all come back."""

    async def scenario(trace: Trace) -> None:
        async with system_of_tests() as system:
            inner = group(trace, Strategy.ONE_FOR_ONE, "ab", intensity=Intensity(max=1, within_s=60.0))
            await system.start(SupervisorSpec("o", (inner,), backoff=AT_ONCE, intensity=ENDLESS))

            async def asker(name: str) -> None:
                for number in range(3):
                    await pause(trace)
                    try:
                        assert number == await system.ref(f"/s/o/g/{name}").ask(number, timeout_s=60)
                        trace.note(("answered", name, number))
                    except (ActorCrashed, ActorDead) as error:
                        trace.note((type(error).__name__, name, number))

            async def fail(name: str) -> None:
                for _ in range(2):
                    await pause(trace)
                    system.ref(f"/s/o/g/{name}").tell("fail")

            async with trio.open_nursery() as nursery:
                for name in "ab":
                    nursery.start_soon(asker, name)
                    nursery.start_soon(fail, name)
            await trio.sleep(1)
            assert set(states(system.snapshot())) == {"running"}
            never_twice_at_once(trace)
            assert sum(1 for event in trace.events if event[0] in ("answered", "ActorDead", "ActorCrashed")) == 6
            assert system.dead_letters.counts == {**dict.fromkeys(Reason, 0), Reason.CRASHED: 4}
            assert system.statistics().events["escalated"] >= 1

    race(scenario)


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
def test_group_restart_against_failures(race, strategy: Strategy) -> None:
    """More members fail while their group is restarted: in the end all run, nobody ran twice at a time, nothing queued is lost."""

    async def scenario(trace: Trace) -> None:
        async with system_of_tests() as system:
            await system.start(group(trace, strategy))

            async def use(name: str) -> None:
                for number in range(2):
                    await pause(trace)
                    system.ref(f"/s/g/{name}").tell(number)
                    if trace.rng.random() < 0.6:
                        system.ref(f"/s/g/{name}").tell("fail")

            async with trio.open_nursery() as nursery:
                for name in "abc":
                    nursery.start_soon(use, name)
            await trio.sleep(1)
            assert set(states(system.snapshot())) == {"running"}
            never_twice_at_once(trace)
            assert sum(1 for event in trace.events if event[0] == "handled") == 6
            last = {name: max(i for i, e in enumerate(trace.events) if e == ("start", name)) for name in "abc"}
            assert sorted(last.values()) == [last[name] for name in "abc"]

    race(scenario)


def test_stop_of_everything_against_start_and_failure(race) -> None:
    """The system is stopped while a supervisor starts and its children fail: everything is stopped, nobody starts after."""

    async def scenario(trace: Trace) -> None:
        async with system_of_tests() as system:

            async def start() -> None:
                try:
                    await system.start(group(trace, Strategy.REST_FOR_ONE))
                    trace.note("up")
                except RuntimeError:
                    trace.note("stopped while it started")

            async def use(name: str) -> None:
                for number in range(3):
                    await pause(trace)
                    try:
                        system.ref(f"/s/g/{name}").tell("fail" if trace.rng.random() < 0.2 else number)
                    except ActorDead:
                        trace.note(("refused", name, number))

            async def stop() -> None:
                for _ in range(6):
                    await pause(trace)
                await system.stop()
                trace.note("down")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(start)
                nursery.start_soon(stop)
                for name in "abc":
                    nursery.start_soon(use, name)
            never_twice_at_once(trace)
            events = trace.events
            assert all(event[0] != "start" for event in events[events.index("down") :])
            assert set(states(system.snapshot())) <= {"stopped", "failed"}

    race(scenario)


def test_kill_against_start_and_restart(race) -> None:
    """A kill hits an actor in its on_start, in a handler, or while it waits for its restart: it is over for good, and said so."""

    async def scenario(trace: Trace) -> None:
        async with system_of_tests() as system:
            spec = group(trace, Strategy.ONE_FOR_ONE, "ab")
            ref = system.ref("/s/g/a")

            async def start() -> None:
                await system.start(spec)
                trace.note("up")

            async def use(name: str) -> None:
                for number in range(4):
                    await pause(trace)
                    try:
                        ref.tell("fail" if trace.rng.random() < 0.3 else f"{name}{number}")
                    except ActorDead:
                        trace.note(("refused", name, number))

            async def kill() -> None:
                for _ in range(trace.rng.randint(1, 6)):
                    await pause(trace)
                ref.kill()
                trace.note("kill")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(start)
                nursery.start_soon(use, "x")
                nursery.start_soon(use, "y")
                nursery.start_soon(kill)
            await trio.sleep(1)
            assert not ref.is_alive()
            assert system.ref("/s/g/b").is_alive()
            assert ("stop", "a") not in trace.events

    race(scenario)


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.REST_FOR_ONE])
def test_operations_against_crash_and_send(race, strategy: Strategy) -> None:
    """Operators restart and kill an actor that crashes and is sent to: refused or done, it runs in the end, and nothing is lost."""

    async def scenario(trace: Trace) -> None:
        sent = 0
        async with system_of_tests() as system:
            await system.start(group(trace, strategy, "ab"))
            ref = system.ref("/s/g/a")

            async def use(name: str) -> None:
                nonlocal sent
                for number in range(4):
                    await pause(trace)
                    await ref.send("fail" if trace.rng.random() < 0.2 else f"{name}{number}")
                    sent += 1

            async def restart() -> None:
                for _ in range(2):
                    await pause(trace, 6)
                    try:
                        await system.restart("/s/g/a")
                        trace.note("restarted")
                    except NotAllowed:
                        trace.note("not restarted")

            async def kill() -> None:
                for _ in range(2):
                    await pause(trace, 6)
                    try:
                        system.kill_actor("/s/g/a")
                        trace.note("killed")
                    except NotAllowed:
                        trace.note("not killed")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(use, "x")
                nursery.start_soon(use, "y")
                nursery.start_soon(restart)
                nursery.start_soon(kill)
            await trio.sleep(1)
            assert set(states(system.snapshot())) == {"running"}
            nothing_wrong(trace)
            done = sum(1 for event in trace.events if event[:2] == ("handled", "a"))
            assert sent == done + len(system.dead_letters) == 8

    race(scenario)


def test_late_replies_against_crash_and_stop(race) -> None:
    """Replies that are given later race with a crash and a stop: every asker gets his own answer or an error, none waits for ever."""

    async def scenario(trace: Trace) -> None:
        class Clerk(Actor):
            def __init__(self) -> None:
                self.owed: list[tuple[Any, Reply]] = []

            async def on_receive(self, message: Any) -> None:
                await trio.lowlevel.checkpoint()
                if message == "fail":
                    raise ValueError
                self.owed.append((message, self.context.reply_later()))
                if len(self.owed) > 1:
                    wanted, reply = self.owed.pop(trace.rng.randrange(len(self.owed)))
                    reply.set(wanted)

        async with system_of_tests() as system:
            child = Child("t", Clerk, restart=Restart.TRANSIENT)
            await system.start(SupervisorSpec("g", (child,), backoff=AT_ONCE, intensity=ENDLESS))
            ref = system.ref("/s/g/t")

            async def asker(name: str) -> None:
                for number in range(3):
                    await pause(trace)
                    try:
                        assert (name, number) == await ref.ask((name, number), timeout_s=60)
                        trace.note(("answered", name, number))
                    except (ActorCrashed, ActorDead) as error:
                        trace.note((type(error).__name__, name, number))

            async def end() -> None:
                for _ in range(2):
                    await pause(trace, 6)
                ref.tell("fail")
                await pause(trace, 6)
                await ref.stop()

            async with trio.open_nursery() as nursery:
                for name in "abc":
                    nursery.start_soon(asker, name)
                nursery.start_soon(end)
            assert len(trace.events) == 9

    race(scenario)
