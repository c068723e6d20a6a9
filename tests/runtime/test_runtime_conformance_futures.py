"""Futures: the same cases against Pykka's and ours. What is not shared: the table in test_runtime_conformance.py."""

from __future__ import annotations

import queue
from typing import Any

import pykka
import pytest


class Giver:
    """Hands out futures that it sets when told to."""

    def __init__(self, base: type) -> None:
        self.futures: list[pykka.Future[Any]] = []
        self.base = base

    def future(self) -> pykka.Future[Any]:
        made: pykka.Future[Any] = self.base._create_future()
        return made


def test_a_future_is_set_once(check) -> None:
    """The second value, or an exception after a value, is queue.Full."""

    def case(base: type) -> None:
        future = Giver(base).future()
        future.set(1)
        with pytest.raises(queue.Full):
            future.set(2)
        with pytest.raises(queue.Full):
            future.set_exception((ValueError, ValueError(), None))
        assert future.get() == 1

    check(case)


def test_get_all_waits_for_all(check) -> None:
    """It returns the values in the order of the futures, again and again, and times out when one is missing."""

    def case(base: type) -> None:
        giver = Giver(base)
        futures = [giver.future() for _ in range(3)]
        for number, future in enumerate(futures[:2]):
            future.set(number)
        with pytest.raises(pykka.Timeout):
            pykka.get_all(futures, timeout=0.001)
        futures[2].set(2)
        assert pykka.get_all(futures) == [0, 1, 2]
        assert pykka.get_all(futures) == [0, 1, 2]

    check(case)


def test_an_exception_in_a_future_keeps_its_traceback(check) -> None:
    """`set_exception()` in an except block takes the one being handled; `get` raises it from where it was raised."""

    def case(base: type) -> None:
        future = Giver(base).future()

        def raising() -> None:
            raise NameError("foo")

        try:
            raising()
        except NameError:
            future.set_exception()
        with pytest.raises(NameError, match="foo") as raised:
            future.get()
        assert "raising" in [entry.name for entry in raised.traceback]

    check(case)


def test_a_get_hook_makes_the_value_once(check) -> None:
    """It gets the timeout of the first `get`; neither a value nor an exception can be set besides, nor a hook over a value."""

    def case(base: type) -> None:
        giver = Giver(base)
        calls: list[Any] = []
        future = giver.future()
        future.set_get_hook(calls.append)
        assert future.get(timeout=3) is None
        assert future.get(timeout=4) is None
        assert calls == [3]
        with pytest.raises(queue.Full):
            future.set(1)
        with pytest.raises(queue.Full):
            future.set_exception((ValueError, ValueError(), None))
        valued = giver.future()
        valued.set(1)
        with pytest.raises(queue.Full):
            valued.set_get_hook(lambda _: 2)

    check(case)


def test_derived_futures(check) -> None:
    """`map`, `filter`, `join` and `reduce`, alone and chained, evaluated when they are read and once only."""

    def case(base: type) -> None:
        giver = Giver(base)
        first, second = giver.future(), giver.future()
        calls: list[Any] = []

        def noted(value: Any) -> Any:
            calls.append(value)
            return value

        mapped = first.map(noted)
        odd = first.filter(lambda number: number % 2)
        total = first.reduce(lambda left, right: left + right)
        more = first.reduce(lambda left, right: left + right, 100)
        both = first.join(second)
        biggest = odd.map(max)
        first.set([1, 2, 3])
        second.set("x")
        assert calls == []
        assert mapped.get() == mapped.get() == [1, 2, 3]
        assert calls == [[1, 2, 3]]
        assert [odd.get(), total.get(), more.get(), both.get(), biggest.get()] == [[1, 3], 6, 106, [[1, 2, 3], "x"], 3]

    check(case)


def test_derived_futures_of_what_does_not_fit(check) -> None:
    """A value that is no iterable, an empty one without an initial value: TypeError where it is read."""

    def case(base: type) -> None:
        giver = Giver(base)
        number, nothing = giver.future(), giver.future()
        number.set(1)
        nothing.set([])
        for derived in (number.filter(bool), number.reduce(max), nothing.reduce(max)):
            with pytest.raises(TypeError):
                derived.get()
        assert nothing.reduce(max, 7).get() == 7

    check(case)


def test_derived_futures_keep_the_timeout(check) -> None:
    """A source that is not set in time is a Timeout of what was derived."""

    def case(base: type) -> None:
        source = Giver(base).future()
        for derived in (source.map(str), source.filter(bool), source.reduce(max), source.join(source)):
            with pytest.raises(pykka.Timeout):
                derived.get(timeout=0)

    check(case)
