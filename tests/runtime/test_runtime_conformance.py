"""The same cases against Pykka's ThreadingActor and ours, through Pykka's own blocking API, where the two mean the same."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pykka
import pytest
import trio
from trio_run import run

from actors.runtime import Actor, open_system


def on_threads(case: Callable[[type], None]) -> None:
    """Run a case with ThreadingActor as the base class."""
    try:
        case(pykka.ThreadingActor)
    finally:
        pykka.ActorRegistry.stop_all()


def on_trio(case: Callable[[type], None]) -> None:
    """Run a case with our Actor as the base class, from a worker thread, as a Pykka program would be."""

    async def main() -> None:
        async with open_system("conformance"):
            await trio.to_thread.run_sync(case, Actor)

    run(main, real_time=True)


@pytest.fixture(params=[on_threads, on_trio], ids=["threads", "trio"])
def check(request: pytest.FixtureRequest) -> Callable[[Callable[[type], None]], None]:
    """Runs a case on one kind of actor."""
    return request.param


def test_ask_returns_what_the_handler_returns(check) -> None:
    """`ask` blocks, and returns the handler's value."""

    def case(base: type) -> None:
        class Echo(base):
            def on_receive(self, message: Any) -> Any:
                return {"got": message}

        assert Echo.start().ask(1) == {"got": 1}

    check(case)


def test_tells_are_handled_in_order(check) -> None:
    """Messages of one sender arrive in the order in which they were told."""

    def case(base: type) -> None:
        class Collect(base):
            def __init__(self) -> None:
                super().__init__()
                self.seen: list[int] = []

            def on_receive(self, message: Any) -> Any:
                if message == "seen":
                    return self.seen
                return self.seen.append(message)

        ref = Collect.start()
        for number in range(100):
            ref.tell(number)
        assert list(range(100)) == ref.ask("seen")

    check(case)


def test_ask_without_blocking_returns_a_future(check) -> None:
    """`ask(block=False)` returns a future that can be read twice, mapped, filtered, joined and reduced."""

    def case(base: type) -> None:
        class Echo(base):
            def on_receive(self, message: Any) -> Any:
                return message

        ref = Echo.start()
        future = ref.ask([1, 2, 3], block=False)
        assert future.get(timeout=5) == [1, 2, 3]
        assert future.get() == [1, 2, 3]
        assert future.map(len).get() == 3
        assert future.filter(lambda item: item > 1).get() == [2, 3]
        assert future.reduce(lambda total, item: total + item).get() == 6
        assert future.join(ref.ask(4, block=False)).get() == [[1, 2, 3], 4]
        assert pykka.get_all([ref.ask(4, block=False), ref.ask(5, block=False)]) == [4, 5]

    check(case)


def test_an_exception_reaches_the_asker_as_its_own_type(check) -> None:
    """What a handler raises under `ask` is raised where the asker waits, also as the type that the handler raised."""

    def case(base: type) -> None:
        class Fail(base):
            def on_receive(self, message: Any) -> Any:
                raise ZeroDivisionError("no")

        with pytest.raises(ZeroDivisionError, match="no"):
            Fail.start().ask("anything")

    check(case)


def test_ask_times_out(check) -> None:
    """An ask that is not answered in time raises pykka.Timeout."""

    def case(base: type) -> None:
        gate = threading.Event()

        class Slow(base):
            def on_receive(self, message: Any) -> Any:
                return None

        class Never(base):
            async def never(self) -> None:
                await trio.sleep_forever()

            def on_receive(self, message: Any) -> Any:
                return self.never() if base is Actor else gate.wait(5)

        ref = Never.start()
        with pytest.raises(pykka.Timeout):
            ref.ask("x", timeout=0.01)
        gate.set()
        if base is Actor:
            ref.kill()

    check(case)


def test_stop_handles_what_was_queued_before(check) -> None:
    """`stop` lets earlier messages be handled; it returns True once, then False, and later asks raise ActorDeadError."""

    def case(base: type) -> None:
        seen: list[Any] = []

        class Collect(base):
            def on_receive(self, message: Any) -> Any:
                seen.append(message)

            def on_stop(self) -> None:
                seen.append("stopped")

        ref = Collect.start()
        for number in range(10):
            ref.tell(number)
        assert ref.is_alive()
        assert True is ref.stop()
        assert [*range(10), "stopped"] == seen
        assert not ref.is_alive()
        assert ref.actor_stopped.is_set()
        assert False is ref.stop()
        with pytest.raises(pykka.ActorDeadError):
            ref.tell("late")
        with pytest.raises(pykka.ActorDeadError):
            ref.ask("late")

    check(case)


def test_an_actor_can_stop_itself(check) -> None:
    """`self.stop()` ends the actor after the message in hand."""

    def case(base: type) -> None:
        class Once(base):
            def on_receive(self, message: Any) -> Any:
                self.stop()
                return "bye"

        ref = Once.start()
        assert ref.ask("x") == "bye"
        assert ref.actor_stopped.wait(5)

    check(case)


def test_a_failing_tell_ends_the_actor_and_calls_on_failure(check) -> None:
    """An exception under `tell` ends an actor without a supervisor's restart; `on_failure` gets it, `on_stop` is not called."""

    def case(base: type) -> None:
        called: list[Any] = []
        done = threading.Event()

        class Fail(base):
            def on_receive(self, message: Any) -> Any:
                raise KeyError(message)

            def on_stop(self) -> None:
                called.append("stop")

            def on_failure(self, exception_type, exception_value, traceback) -> None:
                called.append(exception_type)
                done.set()

        ref = Fail.start()
        ref.tell("x")
        assert done.wait(5)
        assert ref.actor_stopped.wait(5)
        assert [KeyError] == called

    check(case)


def test_proxies(check) -> None:
    """A proxy calls methods, reads and sets attributes, defers, and follows traversable attributes."""

    def case(base: type) -> None:
        class Playback:
            pykka_traversable = True

            def play(self) -> str:
                return "playing"

        class Player(base):
            def __init__(self) -> None:
                super().__init__()
                self.volume = 3
                self.playback = Playback()

            def add(self, left: int, right: int = 1) -> int:
                return left + right

            def louder(self) -> None:
                self.volume += 1

        proxy = Player.start().proxy()
        assert proxy.add(1, right=2).get() == 3
        assert proxy.volume.get() == 3
        proxy.volume = 7
        proxy.louder.defer()
        assert proxy.volume.get() == 8
        assert proxy.playback.play().get() == "playing"
        with pytest.raises(AttributeError):
            proxy.missing  # noqa: B018 - reading it is the test

    check(case)


def test_actors_ask_one_another_and_themselves_through_futures(check) -> None:
    """A future can be handed on: one actor asks another without blocking, and returns what it will say."""

    def case(base: type) -> None:
        class Adder(base):
            def on_receive(self, message: Any) -> Any:
                return message + 1

        class Broker(base):
            def __init__(self, adder: Any) -> None:
                super().__init__()
                self.adder = adder

            def on_receive(self, message: Any) -> Any:
                return self.adder.ask(message, block=False)

        broker = Broker.start(Adder.start())
        assert broker.ask(1).get(timeout=5) == 2

    check(case)


def test_pykka_start_needs_an_open_system() -> None:
    """`Actor.start` outside of a system says what is missing."""

    class Plain(Actor):
        pass

    with pytest.raises(RuntimeError, match="open_system"):
        Plain.start()
