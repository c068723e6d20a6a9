"""Proxies: the same cases against Pykka's actors and ours. What is not shared: the table in test_runtime_conformance.py."""

from __future__ import annotations

import threading
from typing import cast

import pykka
import pytest
from pykka.typing import ActorMemberMixin, proxy_field, proxy_method


def test_properties_through_a_proxy(check) -> None:
    """Read, set, and an AttributeError where there is no setter; making the proxy does not read them."""

    def case(base: type) -> None:
        class Guarded(base):
            answers = (AttributeError,)
            made = 0

            def __init__(self) -> None:
                super().__init__()
                self._value = 1

            @property
            def value(self) -> int:
                type(self).made += 1
                return self._value

            @value.setter
            def value(self, value: int) -> None:
                self._value = value

            @property
            def fixed(self) -> int:
                return 1

        proxy = Guarded.start().proxy()
        assert Guarded.made == 0
        assert proxy.value.get() == 1
        proxy.value = 2
        assert proxy.value.get() == 2
        with pytest.raises(AttributeError):
            proxy.fixed = 3

    check(case)


def test_what_a_proxy_hides(check) -> None:
    """Private names are refused, public ones are listed, the proxy says whose it is."""

    def case(base: type) -> None:
        class Keeper(base):
            def __init__(self) -> None:
                super().__init__()
                self._secret = 1
                self.public = 2

            def method(self) -> None:
                pass

        ref = Keeper.start()
        proxy = ref.proxy()
        with pytest.raises(AttributeError):
            proxy._secret  # noqa: B018 - reading it is the test
        assert {"public", "method"} <= set(dir(proxy))
        assert "Keeper" in repr(proxy)
        assert ref.actor_urn in str(proxy)
        assert proxy.actor_ref.actor_urn == ref.actor_urn

    check(case)


def test_proxies_are_equal_when_they_mean_the_same(check) -> None:
    """Two of one actor are equal and hash alike; one of an attribute is another."""

    def case(base: type) -> None:
        class Part:
            pykka_traversable = True

        class Whole(base):
            part = Part()

        ref = Whole.start()
        assert ref.proxy() == ref.proxy()
        assert hash(ref.proxy()) == hash(ref.proxy())
        assert ref.proxy() != ref.proxy().part
        assert ref.proxy() != Whole.start().proxy()

    check(case)


def test_a_proxy_of_the_dead_is_refused(check) -> None:
    """The one that exists keeps its ref."""

    def case(base: type) -> None:
        ref = base.start()
        proxy = ref.proxy()
        ref.stop()
        with pytest.raises(pykka.ActorDeadError):
            ref.proxy()
        assert not proxy.actor_ref.is_alive()

    check(case)


def test_failures_through_a_proxy(check) -> None:
    """A called method's exception is its future's; a deferred one's ends the actor through `on_failure`."""

    def case(base: type) -> None:
        failed = threading.Event()

        class Fails(base):
            answers = (LookupError,)

            def look(self) -> None:
                raise LookupError("not here")

            def on_failure(self, exception_type, exception_value, traceback) -> None:
                failed.set()

        proxy = Fails.start().proxy()
        future = proxy.look()
        with pytest.raises(LookupError, match="not here"):
            future.get(timeout=5)
        proxy.look.defer()
        assert failed.wait(5)
        assert proxy.actor_ref.actor_stopped.wait(5)

    check(case)


def test_an_actor_puts_work_off_through_its_own_proxy(check) -> None:
    """It calls itself with `defer`, which is handled after what is queued."""

    def case(base: type) -> None:
        done = threading.Event()

        class Staged(base):
            def __init__(self) -> None:
                super().__init__()
                self.seen: list[str] = []

            def begin(self) -> None:
                self.seen.append("begin")
                self.actor_ref.proxy().finish.defer()
                self.seen.append("begun")

            def finish(self) -> None:
                self.seen.append("finish")
                done.set()

        proxy = Staged.start().proxy()
        proxy.begin().get(timeout=5)
        assert done.wait(5)
        assert proxy.seen.get() == ["begin", "begun", "finish"]

    check(case)


def test_methods_that_are_added_at_run_time(check) -> None:
    """Another method adds one; it is called like those that were there."""

    def case(base: type) -> None:
        class Growing(base):
            def grow(self, name: str) -> None:
                setattr(self, name, lambda number: number * 2)

        proxy = Growing.start().proxy()
        proxy.grow("twice").get(timeout=5)
        assert proxy.twice(21).get(timeout=5) == 42

    check(case)


def test_traversable_attributes(check) -> None:
    """A marked attribute gives a proxy of itself, an unmarked one comes as a value; marks nest."""

    def case(base: type) -> None:
        class Inner:
            value = 1

        class Outer:
            def __init__(self) -> None:
                self.inner = pykka.traversable(Inner())

        class Holder(base):
            def __init__(self) -> None:
                super().__init__()
                self.marked = pykka.traversable(Outer())
                self.plain = Inner()

        proxy = Holder.start().proxy()
        assert proxy.marked.inner.value.get() == 1
        proxy.marked.inner.value = 2
        assert proxy.marked.inner.value.get() == 2
        assert proxy.plain.get().value == 1
        with pytest.raises(AttributeError):
            proxy.plain.value  # noqa: B018 - reading it is the test

    check(case)


def test_a_typed_proxy(check) -> None:
    """Pykka's typed proxies, with fields and methods named by hand."""

    def case(base: type) -> None:
        class Circle(base):
            pi = 3

            def area(self, radius: int) -> int:
                return self.pi * radius**2

        class CircleProxy(ActorMemberMixin, pykka.ActorProxy):
            pi = proxy_field(Circle.pi)
            area = proxy_method(Circle.area)

        proxy = cast("CircleProxy", Circle.start().proxy())
        assert proxy.pi.get() == 3
        assert proxy.area(2).get() == 12
        proxy.stop().get(timeout=5)

    check(case)
