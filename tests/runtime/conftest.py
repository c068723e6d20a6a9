"""What the runtime's tests share, as fixtures: test folders are no packages, so they cannot be imported by name."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pykka
import pytest
import structlog
import trio
from trio_run import run

from actors.runtime import Actor, open_system
from actors.runtime.schedules import SEEDS, Exploration, Trace, explore

SAID = pytest.StashKey[list[str]]()
"""Lines for the end of the run: what the tests saw that a green dot does not say."""

RACE_SEEDS = int(os.environ.get("PROTECTOR_TEST_SEEDS", str(SEEDS)))
"""Seeds of each race. The long run: PROTECTOR_TEST_SEEDS=20000."""

REPLAY_EVERY = 4 if RACE_SEEDS <= SEEDS else 1
"""Every fourth seed is run twice, from the first on; in a long run every seed is."""

DISTINCT_OF_200 = 150
"""Of 200 seeds at least so many have to give distinct traces; of fewer seeds as large a part."""


class Recorder(Actor):
    """Writes down what happens to it in the test's list: ("start", name), ("message", ...), ("stop", name), ("failure", type)."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    async def on_start(self) -> None:
        self.log.append(("start", self.context.path.rpartition("/")[2]))

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        self.log.append(("message", message))
        return message

    async def on_stop(self) -> None:
        self.log.append(("stop", self.context.path.rpartition("/")[2]))

    async def on_failure(self, exception_type, exception_value, traceback) -> None:
        self.log.append(("failure", exception_type.__name__))


@pytest.fixture
def recorder() -> type[Recorder]:
    """The class, to be put into a Child."""
    return Recorder


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


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Puts a line under the name of the test at the end of the run's output."""
    said = request.config.stash.setdefault(SAID, [])
    name = request.node.name
    return lambda line: said.append(f"{name}: {line}")


@pytest.fixture
def quiet() -> Iterator[None]:
    """No log lines: thousands of meant failures would be written for nobody."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture
def race(quiet: None, say: Callable[[str], None]) -> Callable[[Callable[[Trace], Awaitable[None]]], Exploration]:
    """Runs a scenario under RACE_SEEDS seeds (see REPLAY_EVERY), and says what was seen; too few distinct traces are a failure."""

    def search(scenario: Callable[[Trace], Awaitable[None]]) -> Exploration:
        seen = explore(scenario, seeds=range(RACE_SEEDS), replay_every=REPLAY_EVERY)
        say(str(seen))
        assert seen.distinct * 200 >= DISTINCT_OF_200 * min(seen.seeds, 200)
        return seen

    return search


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what the tests said."""
    said = config.stash.get(SAID, [])
    if said:
        terminalreporter.section("what the runtime's tests saw")
        for line in said:
            terminalreporter.write_line(line)
