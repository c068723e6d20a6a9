"""The system as seen from outside: snapshot, events, dead letters, clocks, context variables, names, the exported face."""

from __future__ import annotations

import contextvars
import json
from typing import Any

import pytest
import trio
from trio_run import run

import actors.runtime
from actors.runtime import (
    Actor,
    ActorCrashed,
    Child,
    DynamicSpec,
    EventKind,
    Strategy,
    SupervisorSpec,
    SystemClock,
    VirtualClock,
    open_system,
)
from actors.runtime.letters import DEAD_LETTERS_MAX

CANARY = "canary-5f2b"


class Busy(Actor):
    async def on_receive(self, message: Any) -> Any:
        if message == "sleep":
            await trio.sleep(2.0)
        if isinstance(message, bytes):
            raise ValueError(CANARY) from KeyError(CANARY)
        return message


def test_the_exported_names_are_complete_and_sorted() -> None:
    """`__all__` lists what is imported, constants first, then in order."""
    assert sorted(actors.runtime.__all__, key=lambda name: (not name.isupper(), name)) == actors.runtime.__all__
    for name in actors.runtime.__all__:
        assert hasattr(actors.runtime, name)


def test_snapshot_has_what_the_api_shows() -> None:
    """Every field, with the values of a system in the middle of its work."""

    async def main() -> None:
        async with open_system("protector", clock=VirtualClock(), seed=1) as system:
            children = (Child("a", Busy), DynamicSpec("d", lambda key: Child(key, Busy)))
            await system.start(SupervisorSpec("p", children, strategy=Strategy.REST_FOR_ONE))
            ref = system.ref("/protector/p/a")
            await ref.ask("x")
            await ref.ask("sleep")
            with pytest.raises(ActorCrashed):
                await ref.ask(CANARY.encode())
            await ref.ask("again")
            ref.tell("sleep")
            ref.tell("queued")
            await trio.sleep(0.5)
            tree = system.snapshot().to_builtins()
            assert [child["path"].rpartition("/")[2] for child in tree["children"]] == ["p"]
            supervisor = tree["children"][0]
            assert (
                supervisor["actor"],
                supervisor["strategy"],
                supervisor["state"],
            ) == ("Supervisor", "rest_for_one", "running")
            assert supervisor["children"][1]["strategy"] == "one_for_one"
            node = supervisor["children"][0]
            assert {
                key: value
                for key, value in node.items()
                if key not in ("last_failure", "uptime_s", "wait_ms", "handle_ms")
            } == {
                "path": "/protector/p/a",
                "actor": "Busy",
                "state": "running",
                "strategy": None,
                "restarts": {"count": 1, "within_s": 30.0, "max": 5},
                "incarnation": 2,
                "retry_in_s": None,
                "mailbox": {"depth": 1, "capacity": 1000, "high_water": 2, "overflows": 0, "oldest_s": 0.5},
                "handled": 3,
                "restart_type": "permanent",
                "watchers": 0,
                "abandoned_threads": 0,
                "failed": 1,
                "handling": {"message_type": "str", "for_s": 0.5},
                "message_types": {"str": 4, "bytes": 1},
                "children": (),
            }
            assert 0.5 <= node["uptime_s"] <= 1.0
            assert 1500 < node["handle_ms"]["p99"] < 3000
            failure = node["last_failure"]
            assert (failure["type"], failure["message_type"]) == ("ValueError from KeyError", "bytes")
            assert failure["at"].startswith("2026-01-01T00:00:02")
            assert any("test_runtime_system.py" in line and "on_receive" in line for line in failure["traceback"])

    run(main)


def test_nothing_shown_holds_what_messages_hold(capsys) -> None:
    """A canary in messages and exceptions appears in no snapshot, event, dead letter or log line."""

    async def main() -> None:
        async with open_system("s", seed=1) as system:
            events = system.subscribe()
            await system.start(Child("a", Busy))
            with pytest.raises(ActorCrashed):
                await system.ref("/s/a").ask(CANARY.encode())
            await system.ref("/s/a").ask("alive")
            shown = [json.dumps(system.snapshot().to_builtins()), repr(list(system.dead_letters))]
            while (event := events.receive_nowait()) is not None:
                shown.append(repr(event))
            assert CANARY not in "".join(shown)

    run(main)
    assert CANARY not in "".join(capsys.readouterr())


def test_lifecycle_events() -> None:
    """Started, failed, restarting with its delay, started again, stopped; the iteration ends with the system."""
    seen: list[Any] = []

    async def main() -> None:
        async with (
            trio.open_nursery() as nursery,
            open_system("s", clock=VirtualClock(start_at=1000.0), seed=1) as system,
        ):

            async def watch() -> None:
                with system.subscribe() as events:
                    async for event in events:
                        seen.append((event.kind, event.path, event.incarnation, event.error))
                        if event.kind is EventKind.RESTARTING:
                            assert event.delay_s is not None
                        assert event.at >= 1000.0

            nursery.start_soon(watch)
            await trio.testing.wait_all_tasks_blocked()
            await system.start(Child("a", Busy))
            system.ref("/s/a").tell(b"x")
            await system.ref("/s/a").ask("x")

    run(main)
    error = "ValueError from KeyError"
    assert [
        (EventKind.STARTED, "/s/a", 1, None),
        (EventKind.FAILED, "/s/a", 1, error),
        (EventKind.RESTARTING, "/s/a", 1, error),
        (EventKind.STARTED, "/s/a", 2, None),
        (EventKind.STOPPED, "/s/a", 2, None),
        (EventKind.STOPPED, "/s", 1, None),
    ] == seen


def test_a_subscriber_that_does_not_read_loses_the_oldest() -> None:
    """Its queue is bounded, and what it lost is counted."""

    async def main() -> None:
        async with open_system("s") as system:
            events = system.subscribe(2)
            await system.start(*(Child(name, Busy) for name in "abc"))
            assert (
                events.statistics().depth,
                events.statistics().capacity,
                events.statistics().dropped,
            ) == (2, 2, 1)
            first = events.receive_nowait()
            assert first is not None
            assert first.path == "/s/b"
            events.close()

    run(main)


def test_dead_letters_are_bounded_and_counted() -> None:
    """The newest are kept, all are counted."""

    class Crashing(Actor):
        async def on_receive(self, message: Any) -> None:
            self.context.after(1000.0, message)

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("a", Crashing))
            cell = system.ref("/s/a").actor_inbox
            for number in range(DEAD_LETTERS_MAX + 5):
                cell._cell.dead_letter(number, actors.runtime.Reason.FULL)
            statistics = system.dead_letters.statistics()
            assert (
                statistics.kept,
                statistics.capacity,
                statistics.total,
            ) == (DEAD_LETTERS_MAX, DEAD_LETTERS_MAX, DEAD_LETTERS_MAX + 5)
            assert statistics.by_reason["full"] == DEAD_LETTERS_MAX + 5
            assert len(system.dead_letters) == DEAD_LETTERS_MAX

    run(main)


def test_context_variables_travel_when_switched_on() -> None:
    """With `trace_context` a handler sees the teller's variables, also in a thread's tell; what it sets stays its own."""
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")
    seen: list[str] = []

    class Looking(Actor):
        async def on_receive(self, message: Any) -> str:
            before = who.get()
            await trio.lowlevel.checkpoint()
            seen.append(who.get())
            assert before == who.get()
            who.set("changed by the handler")
            return who.get()

    async def main() -> None:
        async with open_system("s", trace_context=True) as system:
            await system.start(Child("a", Looking))
            ref = system.ref("/s/a")
            who.set("alice")
            ref.tell(1)
            who.set("bob")
            await ref.ask(2)
            assert who.get() == "bob"

            def outside() -> None:
                who.set("thread")
                ref.ask(3)

            await trio.to_thread.run_sync(outside)
        async with open_system("s") as system:
            await system.start(Child("a", Looking))
            await system.ref("/s/a").ask(4)

    run(main, real_time=True)
    assert seen[:3] == ["alice", "bob", "thread"]


def test_names_are_unique_steps_of_a_path() -> None:
    """A path cannot be taken twice; a name is one step."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.start(Child("a", Busy))
            with pytest.raises(ValueError, match="exists"):
                await system.start(Child("a", Busy))
            with pytest.raises(ValueError, match="slash"):
                await system.start(Child("a/b", Busy))
            with pytest.raises(ValueError, match="empty"):
                await system.start(Child("", Busy))

    run(main)


def test_two_systems_know_nothing_of_one_another() -> None:
    """Paths are unique within a system; Actor.start uses the innermost one, and what it started leaves no trace."""

    async def main() -> None:
        async with open_system("one") as one, open_system("two") as two:
            await one.start(Child("a", Busy))
            await two.start(Child("a", Busy))
            assert await one.ref("/one/a").ask(1) == 1
            ref = Busy.start()
            assert ref.path == "/two/Busy-1"
            assert await ref.stop()
            assert [child.path for child in two.snapshot().children] == ["/two/a"]

    run(main)


def test_starting_after_the_stop_is_refused() -> None:
    """A stopped system starts nothing; stopping it twice is harmless; `wait_stopped` returns."""

    async def main() -> None:
        async with open_system("s") as system:
            await system.stop()
            await system.stop()
            await system.wait_stopped()
            with pytest.raises(RuntimeError, match="stopped"):
                await system.start(Child("a", Busy))

    run(main)


def test_clocks() -> None:
    """The virtual clock is wall time from its start and moves with Trio's; the system clock is the machine's."""

    async def main() -> None:
        clock = VirtualClock(start_at=500.0)
        assert (clock.now(), clock.monotonic()) == (500.0, 0.0)
        await trio.sleep(2.5)
        assert (clock.now(), clock.monotonic()) == (502.5, 2.5)

    run(main)
    clock = SystemClock()
    assert clock.now() > 1.7e9
    assert clock.monotonic() <= clock.monotonic()
