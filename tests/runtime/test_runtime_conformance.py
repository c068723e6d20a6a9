"""The same cases against Pykka's ThreadingActor and ours, through Pykka's own blocking API, where the two mean the same.

Each case is a plain function of the base class and runs on both kinds of actor; on ours from a worker thread, as a Pykka program
would be. The cases follow Pykka's own suite (jodal/pykka, tests/) in what they look at, and its documentation in what they expect.

Not shared, and why:

| case                                     | Pykka                             | here                                                     |
|------------------------------------------|-----------------------------------|----------------------------------------------------------|
| an exception under `ask`                 | the actor lives on                | a failure too, unless in `answers`: one rule for tell and ask, or a supervisor cannot rely on either (test_runtime_ask.py) |
| `on_start` fails                         | `on_failure` is not called        | it is, and the supervisor decides (test_runtime_supervision.py) |
| `on_stop` fails                          | logged                            | a failure: `on_failure`, then over                       |
| a BaseException in a handler             | every actor of the process stops  | the system it is in ends in good order (test_runtime_supervision.py) |
| tells that are queued at the end         | gone                              | dead letters (test_runtime_system.py)                    |
| an inbox                                 | without a bound                   | `MailboxFull`, or another overflow policy (test_runtime_mailbox.py) |
| `__init__`                               | in the thread that starts         | on the Trio thread, anew for each incarnation            |
| the URN                                  | a random UUID                     | the path: the same in every run (test_runtime_system.py) |
| ActorRegistry, `stop_all`, `broadcast`   | of the process                    | no registry: a `System`, `ref` by path                   |
| thread names, daemon threads             | of each actor's thread            | no threads                                               |
| the `pykka` logger                       | texts of exceptions               | structlog, names of types only (test_runtime_records.py) |
| `await future`                           | blocks in the end                 | waits under Trio (test_runtime_ask.py)                   |
| `ask` and `get` on the Trio thread       | no such thread                    | awaited, or `WouldBlock` (test_runtime_ask.py)           |
| a handler that blocks                    | blocks its own actor              | blocks all: a `ThreadingActor` child (threads.py)        |
"""
# ruff: noqa: E501 - a table

from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest
import trio

from actors.runtime import Actor


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


# --- actors ---------------------------------------------------------------------------------------------------------------


def test_arguments_reach_init(check) -> None:
    """What `start` is given, by position or name, is `__init__`'s; a missing one is a TypeError for the starter."""

    def case(base: type) -> None:
        class Named(base):
            def __init__(self, first: str, *, second: str) -> None:
                super().__init__()
                self.names = [first, second]

            def on_receive(self, message: Any) -> Any:
                return self.names

        assert Named.start("a", second="b").ask("x") == ["a", "b"]
        with pytest.raises(TypeError):
            Named.start("a")

    check(case)


def test_an_exception_in_init_is_the_starters(check) -> None:
    """There is no actor then."""

    def case(base: type) -> None:
        class Stillborn(base):
            def __init__(self) -> None:
                super().__init__()
                raise LookupError("no")

        with pytest.raises(LookupError, match="no"):
            Stillborn.start()

    check(case)


def test_on_start_is_before_the_first_message(check) -> None:
    """A message told at once waits for it."""

    def case(base: type) -> None:
        seen: list[str] = []

        class Early(base):
            def on_start(self) -> None:
                seen.append("start")

            def on_receive(self, message: Any) -> Any:
                seen.append(message)

        Early.start().ask("message")
        assert seen == ["start", "message"]

    check(case)


def test_on_start_can_stop_the_actor(check) -> None:
    """An actor that stops itself in `on_start` never handles a message sent after its stop."""

    def case(base: type) -> None:
        class Brief(base):
            def on_start(self) -> None:
                self.stop()

        ref = Brief.start()
        assert ref.actor_stopped.wait(5)
        assert not ref.is_alive()

    check(case)


def test_a_failing_on_start_ends_the_actor(check) -> None:
    """It is dead without having handled anything."""

    def case(base: type) -> None:
        class Broken(base):
            def on_start(self) -> None:
                raise OSError

        ref = Broken.start()
        assert ref.actor_stopped.wait(5)
        with pytest.raises(pykka.ActorDeadError):
            ref.ask("x")

    check(case)


@pytest.mark.parametrize("hook", ["on_stop", "on_failure"])
def test_a_failing_end_is_still_an_end(check, hook: str) -> None:
    """Whatever the last hook raises, the actor is over."""

    def case(base: type) -> None:
        class Messy(base):
            def on_receive(self, message: Any) -> Any:
                raise KeyError

            def on_stop(self) -> None:
                raise OSError

            def on_failure(self, exception_type, exception_value, traceback) -> None:
                raise OSError

        ref = Messy.start()
        if hook == "on_stop":
            ref.stop()
        else:
            ref.tell("fail")
        assert ref.actor_stopped.wait(5)
        assert not ref.is_alive()

    check(case)


def test_asks_that_are_queued_at_the_end_get_an_error(check) -> None:
    """The actor stops itself with an ask behind it: that asker gets ActorDeadError, as does a stop that is too late its answer."""

    def case(base: type) -> None:
        entered, gate = threading.Event(), threading.Event()

        class Last(base):
            async def wait(self) -> None:
                entered.set()
                await trio.to_thread.run_sync(gate.wait, 5)

            def on_receive(self, message: Any) -> Any:
                self.stop()
                if base is Actor:
                    return self.wait()
                entered.set()
                return gate.wait(5)

        ref = Last.start()
        ref.tell("stop")
        assert entered.wait(5)
        asked = ref.ask("too late", block=False)
        stopped = ref.stop(block=False)
        gate.set()
        with pytest.raises(pykka.ActorDeadError):
            asked.get(timeout=5)
        assert stopped.get(timeout=5) in (True, False)
        assert not ref.is_alive()

    check(case)


def test_what_was_queued_before_its_own_stop_is_handled(check) -> None:
    """`self.stop()`, called more than once, ends the actor after the messages that were queued before."""

    def case(base: type) -> None:
        seen: list[int] = []
        gate = threading.Event()

        class Diligent(base):
            async def first(self) -> None:
                await trio.to_thread.run_sync(gate.wait, 5)
                self.end()

            def end(self) -> None:
                self.stop()
                self.stop()

            def on_receive(self, message: Any) -> Any:
                seen.append(message)
                if message == 0:
                    if base is Actor:
                        return self.first()
                    gate.wait(5)
                    self.end()
                return None

        ref = Diligent.start()
        for number in range(4):
            ref.tell(number)
        gate.set()
        assert ref.actor_stopped.wait(5)
        assert seen == [0, 1, 2, 3]

    check(case)


def test_declared_answers_leave_the_actor_alive(check) -> None:
    """With the exception among `answers` both kinds mean the same: the asker gets it, the actor goes on. Pykka does not look at it."""

    def case(base: type) -> None:
        class Strict(base):
            answers = (ValueError,)

            def on_receive(self, message: Any) -> Any:
                if message == "bad":
                    raise ValueError("bad")
                return message

        ref = Strict.start()
        with pytest.raises(ValueError, match="bad"):
            ref.ask("bad")
        assert ref.ask("good") == "good"

    check(case)


# --- refs -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [None, 0, "", (), [1], {"a": 1}, object, Ellipsis])
def test_any_object_is_a_message(check, message: Any) -> None:
    """It arrives as it is, not as a copy."""

    def case(base: type) -> None:
        class Echo(base):
            def on_receive(self, message: Any) -> Any:
                return message

        assert Echo.start().ask(message) is message

    check(case)


def test_a_handler_without_a_value_answers_none(check) -> None:
    """None is an answer like any other."""

    def case(base: type) -> None:
        class Silent(base):
            def on_receive(self, message: Any) -> None:
                pass

        assert Silent.start().ask("x") is None

    check(case)


def test_a_ref_says_whose_it_is(check) -> None:
    """Class, URN and text; two actors of one class have two URNs."""

    def case(base: type) -> None:
        class Named(base):
            def on_receive(self, message: Any) -> Any:
                return self.actor_ref, self.actor_urn, self.actor_inbox

        ref, other = Named.start(), Named.start()
        own_ref, own_urn, _ = ref.ask("x")
        assert (ref.actor_class, ref.actor_urn) == (Named, own_urn)
        assert own_ref.actor_urn == ref.actor_urn
        assert ref.actor_urn != other.actor_urn
        assert "Named" in str(ref)
        assert ref.actor_urn in str(ref)
        assert repr(ref).startswith("<ActorRef for Named")

    check(case)


def test_asking_the_dead_without_blocking_fails_the_future(check) -> None:
    """The error comes out of the future, not of `ask`."""

    def case(base: type) -> None:
        ref = base.start()
        ref.stop()
        future = ref.ask("x", block=False)
        with pytest.raises(pykka.ActorDeadError):
            future.get(timeout=5)

    check(case)


def test_stopping_without_blocking(check) -> None:
    """`stop(block=False)` returns a future of whether it was this one that stopped it."""

    def case(base: type) -> None:
        ref = base.start()
        assert ref.stop(block=False).get(timeout=5) is True
        assert ref.stop(block=False).get(timeout=5) is False

    check(case)


# --- only here --------------------------------------------------------------------------------------------------------------


def test_pykka_start_needs_an_open_system() -> None:
    """`Actor.start` outside of a system says what is missing."""

    class Plain(Actor):
        pass

    with pytest.raises(RuntimeError, match="open_system"):
        Plain.start()
