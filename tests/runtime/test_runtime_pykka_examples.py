"""The examples of Pykka's documentation (jodal/pykka, docs/ and examples/), written anew, run with only the base class swapped.

Each example is a function of the base class that makes the same calls as Pykka's and returns what it would print. It runs with
`pykka.ThreadingActor` and with ours, from a worker thread of an open system, and has to say the same.

| Pykka's                             | here                                                                       |
|-------------------------------------|----------------------------------------------------------------------------|
| getting-started/actors.md           | unchanged, but `repr` of the exception of an ask: it is of a class that is |
|                                     | `ActorCrashed` too; type, text and `except` clauses are as there           |
| getting-started/proxies.md          | unchanged                                                                  |
| examples/basic.py, proxy.py         | unchanged, without the half second of sleep                                |
| examples/proxy_typing.py            | unchanged                                                                  |
| examples/testing.py                 | unchanged; the collaborator is a class of the test, not a mock             |
| examples/worker_pool.py             | unchanged; the names come from a table, not from the network, which would  |
|                                     | block: a handler that blocks belongs into a `ThreadingActor` child         |
| examples/cooperation.py             | the bookkeeper waits inside its handler: `await` in place of `get()`, or   |
|                                     | it stays a `ThreadingActor`. Unchanged, it is told so at once              |
| examples/deadlock.py                | does not deadlock: the same message, where Pykka hangs                     |
| reference/futures.md                | unchanged                                                                  |

`pykka.ActorRegistry.stop_all()` at the end of some of them has no part here: leaving `open_system` stops everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from typing import Any, cast

import pykka
import pytest
import trio
from pykka.typing import ActorMemberMixin, proxy_field, proxy_method
from trio_run import run

from actors.runtime import Actor, open_system

Example = Callable[[type], Any]


def in_threads(example: Example, base: type = pykka.ThreadingActor) -> Any:
    """As Pykka has it."""
    try:
        return example(base)
    finally:
        pykka.ActorRegistry.stop_all()


def on_trio(example: Example) -> Any:
    """With our base class."""

    async def main() -> Any:
        async with open_system("examples"):
            return await trio.to_thread.run_sync(example, Actor)

    return run(main, real_time=True)


@pytest.fixture(params=[in_threads, on_trio], ids=["threads", "trio"])
def said(request: pytest.FixtureRequest) -> Callable[[Example], Any]:
    """What an example says on one kind of actor."""
    return request.param


# --- getting started: actors ------------------------------------------------------------------------------------------------


def test_greeter_with_arguments(said) -> None:
    """Arguments of `start` are those of `__init__`; one greeter has the default, one its own greeting."""

    def example(base: type) -> list[str]:
        lines: list[str] = []

        class Greeter(base):
            def __init__(self, greeting: str = "Hello.") -> None:
                super().__init__()
                self.greeting = greeting

            def on_receive(self, message: Any) -> None:
                lines.append(self.greeting)

        for actor_ref in (Greeter.start(), Greeter.start(greeting="Good morning.")):
            actor_ref.tell("Hello?")
            actor_ref.stop()
        return lines

    assert said(example) == ["Hello.", "Good morning."]


def test_tell_and_ask(said) -> None:
    """`tell` returns nothing, `ask` the answer, with a timeout, or a future that is read once or with a timeout."""

    def example(base: type) -> list[Any]:
        class Greeter(base):
            def on_receive(self, message: Any) -> str:
                return f"You said {message}"

        actor_ref = Greeter.start()
        answers = [actor_ref.tell("a"), actor_ref.ask("b"), actor_ref.ask("c", timeout=3)]
        future = actor_ref.ask("d", block=False)
        return [*answers, future.get(), future.get(timeout=0.1)]

    assert said(example) == [None, "You said b", "You said c", "You said d", "You said d"]


def test_raiser(said) -> None:
    """An exception of the handler is raised where `ask` waits."""

    def example(base: type) -> tuple[bool, str]:
        class Raiser(base):
            def on_receive(self, message: Any) -> None:
                raise Exception("Oops")

        try:
            Raiser.start().ask("How do you do?")
        except Exception as error:  # noqa: BLE001 - as the example does it
            return isinstance(error, Exception), str(error)
        return False, ""

    assert said(example) == (True, "Oops")


def test_stopping_oneself(said) -> None:
    """`self.stop()` in a handler: the actor is gone once it has done what was queued."""

    def example(base: type) -> list[Any]:
        class Leaver(base):
            def on_receive(self, message: Any) -> Any:
                self.stop()
                return "leaving"

        actor_ref = Leaver.start()
        answer = actor_ref.ask("x")
        assert actor_ref.actor_stopped.wait(5)
        return [answer, actor_ref.is_alive()]

    assert said(example) == ["leaving", False]


# --- getting started: proxies -----------------------------------------------------------------------------------------------


def test_calculator(said) -> None:
    """Methods through a proxy give futures, in order; attributes are read and set like an object's."""

    def example(base: type) -> list[int]:
        class Calculator(base):
            def __init__(self) -> None:
                super().__init__()
                self.last_result = 0

            def add(self, a: int, b: int | None = None) -> int:
                self.last_result = a + (self.last_result if b is None else b)
                return self.last_result

            def sub(self, a: int, b: int | None = None) -> int:
                self.last_result = self.last_result - a if b is None else a - b
                return self.last_result

        proxy = Calculator.start().proxy()
        results = [proxy.add(1, 3).get(), proxy.last_result.get()]
        proxy.sub(5)
        proxy.add(3)
        results.append(proxy.last_result.get())
        proxy.last_result = 17
        return [*results, proxy.last_result.get()]

    assert said(example) == [4, 4, 2, 17]


def test_traversable_playback(said) -> None:
    """A marked attribute's own method is called through the proxy."""

    def example(base: type) -> bool:
        class Playback:
            def play(self) -> bool:
                return True

        class Player(base):
            playback = pykka.traversable(Playback())

        return Player.start().proxy().playback.play().get()

    assert said(example) is True


# --- examples ---------------------------------------------------------------------------------------------------------------


def test_basic(said) -> None:
    """An actor stores what it is told, and gives it back when it is asked with a message of its own."""

    def example(base: type) -> list[Any]:
        get_messages = object()

        class BasicActor(base):
            def __init__(self) -> None:
                super().__init__()
                self.stored: list[Any] = []

            def on_receive(self, message: Any) -> Any:
                if message is get_messages:
                    return self.stored
                self.stored.append(message)
                return None

        actor_ref = BasicActor.start()
        actor_ref.tell({"de": "Germany", "fr": "France"})
        actor_ref.tell({"a": 3})
        stored = actor_ref.ask(get_messages)
        actor_ref.stop()
        return stored

    assert said(example) == [{"de": "Germany", "fr": "France"}, {"a": 3}]


def test_proxy(said) -> None:
    """A method for its effect, one for its value, a field that is read, set, and read again, and a stop, on a typed proxy."""

    def example(base: type) -> list[Any]:
        lines: list[Any] = []

        class FooActor(base):
            field = "the field"

            def bar(self) -> None:
                lines.append("bar was called")

            def baz(self) -> str:
                return "baz returned this"

        class FooProxy(ActorMemberMixin, pykka.ActorProxy):
            field = proxy_field(FooActor.field)
            bar = proxy_method(FooActor.bar)
            baz = proxy_method(FooActor.baz)

        proxy = cast("FooProxy", FooActor.start().proxy())
        proxy.bar()
        result = proxy.baz()
        lines.append(result.get())
        lines.append(proxy.field.get())
        proxy.field = "another"  # type: ignore[assignment]  # as the example does it
        lines.append(proxy.field.get())
        proxy.stop().get(timeout=5)
        return [*lines, proxy.actor_ref.is_alive()]

    assert said(example) == ["bar was called", "baz returned this", "the field", "another", False]


def test_testing(said) -> None:
    """A producer under test gives its product to whatever stands for the consumer."""

    def example(base: type) -> list[Any]:
        consumed: list[Any] = []

        class Consumer:
            def consume(self, item: Any) -> None:
                consumed.append(item)

        class ProducerActor(base):
            def __init__(self, consumer: Any) -> None:
                super().__init__()
                self.consumer = consumer

            def produce(self) -> None:
                self.consumer.consume({"item": 1})

        producer = ProducerActor.start(Consumer()).proxy()
        producer.produce().get()
        producer.stop()
        return consumed

    assert said(example) == [{"item": 1}]


def test_worker_pool(said) -> None:
    """Work is dealt out among a few workers without blocking, and gathered with `get_all`; one that is not found is None."""
    known = {IPv4Address(f"192.0.2.{number}"): f"host{number}.example" for number in range(1, 20, 2)}

    def example(base: type) -> list[Any]:
        class Resolver(base):
            def resolve(self, ip: IPv4Address) -> str | None:
                return known.get(ip)

        pool = [Resolver.start().proxy() for _ in range(4)]
        addresses = [IPv4Address(f"192.0.2.{number}") for number in range(1, 20)]
        hosts = [pool[index % len(pool)].resolve(ip) for index, ip in enumerate(addresses)]
        return list(zip(addresses, pykka.get_all(hosts), strict=True))

    resolved = said(example)
    assert len(resolved) == 19
    assert {ip: host for ip, host in resolved if host is not None} == known


def test_futures_of_the_reference(said) -> None:
    """`filter`, `join`, `map` and `reduce` as the reference shows them."""

    def example(base: type) -> list[Any]:
        f, g, h = (base._create_future() for _ in range(3))
        large = f.filter(lambda x: x > 10)
        joined = f.join(g, h)
        first = g.map(lambda x: x["foo"])
        summed = f.reduce(lambda x, y: x + y)
        f.set(range(8, 13))
        g.set({"foo": "bar"})
        h.set(False)
        return [large.get(), joined.get(), first.get(), summed.get()]

    assert said(example) == [[11, 12], [range(8, 13), {"foo": "bar"}, False], "bar", 50]


# --- those that wait inside a handler -----------------------------------------------------------------------------------------


def cooperation(adder_base: type, bookkeeper_base: type) -> list[str]:
    """The bookkeeper counts by asking the adder, and waits for each answer in its handler."""
    lines: list[str] = []

    class Adder(adder_base):
        def add_one(self, i: int) -> int:
            lines.append(f"adding to {i}")
            return i + 1

    class Bookkeeper(bookkeeper_base):
        def __init__(self, adder: Any) -> None:
            super().__init__()
            self.adder = adder

        def count_to(self, target: int) -> None:
            i = 0
            while i < target:
                i = self.adder.add_one(i).get()
                lines.append(f"got {i}")

    bookkeeper = Bookkeeper.start(Adder.start().proxy())
    bookkeeper.proxy().count_to(3).get(timeout=5)
    bookkeeper.stop()
    return lines


COUNTED = ["adding to 0", "got 1", "adding to 1", "got 2", "adding to 2", "got 3"]


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """Pykka's own actors are stopped after the test."""
    yield
    pykka.ActorRegistry.stop_all()


def test_cooperation_unchanged_where_the_one_that_waits_is_a_thread(said, no_threads_left) -> None:
    """Only the adder's base class is swapped: futures are shared between the two kinds."""
    assert said(lambda base: cooperation(base, pykka.ThreadingActor)) == COUNTED


def test_cooperation_unchanged_on_trio_says_what_to_write() -> None:
    """A `get()` in a handler would block the loop that has to produce the value: it raises, and names the call."""
    with pytest.raises(RuntimeError, match=r"get\(\) would block the Trio loop: use `await future`"):
        on_trio(lambda base: cooperation(base, base))


def test_cooperation_with_await() -> None:
    """As the message says: an async method, and `await` in place of `.get()`."""
    lines: list[str] = []

    class Adder(Actor):
        def add_one(self, i: int) -> int:
            lines.append(f"adding to {i}")
            return i + 1

    class Bookkeeper(Actor):
        def __init__(self, adder: Any) -> None:
            super().__init__()
            self.adder = adder

        async def count_to(self, target: int) -> None:
            i = 0
            while i < target:
                i = await self.adder.add_one(i)
                lines.append(f"got {i}")

    on_trio(lambda _: Bookkeeper.start(Adder.start().proxy()).proxy().count_to(3).get(timeout=5))
    assert lines == COUNTED


def test_deadlock() -> None:
    """Two actors that wait for one another: where Pykka hangs, the first `get()` raises."""

    def example(base: type) -> None:
        class ActorA(base):
            def foo(self, b: Any) -> Any:
                return b.bar().get()

        class ActorB(base):
            def __init__(self, a: Any) -> None:
                super().__init__()
                self.a = a

            def bar(self) -> Any:
                return self.a.foo(None).get()

        a = ActorA.start().proxy()
        a.foo(ActorB.start(a).proxy()).get(timeout=5)

    with pytest.raises(RuntimeError, match="use `await future`"):
        on_trio(example)
