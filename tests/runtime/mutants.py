"""A pytest plugin that breaks the runtime on purpose, in one way: `pytest -p mutants`, with the way in PROTECTOR_TEST_MUTANT.

Counterpart: test_runtime_mutations.py, which runs the runtime's tests under each and wants them to fail.

The seam: one method of one class of the runtime is replaced, by name, in the process of this run only; a method that is not there any
more ends the run with an error. How often the runtime was really broken is said at the end ("broken 3 times"). On the virtual clock a
test that waits for ever, as a lost message makes it do, fails at once.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio_run

from actors.runtime import ActorState, Supervisor
from actors.runtime.mailbox import Mailbox

EVERY = 50
"""One message in so many is dropped."""

FOREVER_S = 1e9
"""No test's virtual clock comes near it, unless nothing else is left to happen."""


class Mutant:
    """One way to break it. `seen` counts the chances, `broken` how many were taken."""

    what = "nothing"

    def __init__(self) -> None:
        self.seen = self.broken = 0

    def now(self) -> bool:
        """Whether this chance is the one."""
        self.seen += 1
        return False

    def take(self) -> bool:
        """Count, and say whether to break it now."""
        taken = self.now()
        self.broken += taken
        return taken

    def next_test(self) -> None:
        """Another test begins."""

    def install(self) -> None:
        """Replace the method."""


class Once(Mutant):
    """The first chance of each test."""

    def now(self) -> bool:
        self.seen += 1
        return self.seen == 1

    def next_test(self) -> None:
        self.seen = 0


class DropMessage(Mutant):
    """One message in fifty, counted over the whole run, is accepted and thrown away."""

    def now(self) -> bool:
        self.seen += 1
        return self.seen % EVERY == 0

    def install(self) -> None:
        put = Mailbox.put

        def dropping(mailbox: Mailbox, *args: Any, **kwargs: Any) -> None:
            if not self.take():
                put(mailbox, *args, **kwargs)

        Mailbox.put = dropping  # type: ignore[method-assign]  # the point


class SkipRestart(Once):
    """One restart that was decided on does not happen."""

    def install(self) -> None:
        restart = Supervisor._restart

        def skipping(supervisor: Supervisor, child: Any, *args: Any) -> None:
            if self.take():
                child.state = ActorState.BACKOFF
            else:
                restart(supervisor, child, *args)

        Supervisor._restart = skipping  # type: ignore[method-assign]  # the point


class StopOutOfOrder(Once):
    """Once the first of several children is stopped before the last."""

    def install(self) -> None:
        stop_children = Supervisor.stop_children

        async def disorderly(supervisor: Supervisor, mode: Any) -> None:
            active = [child for child in supervisor.children() if child.active]
            if len(active) > 1 and self.take():
                await supervisor.stop_child(active[0], mode)
            await stop_children(supervisor, mode)

        Supervisor.stop_children = disorderly  # type: ignore[method-assign]  # the point


MUTANTS: dict[str, type[Mutant]] = {
    "none": Mutant,
    "drop-message": DropMessage,
    "skip-restart": SkipRestart,
    "stop-out-of-order": StopOutOfOrder,
}

_mutant = MUTANTS[os.environ.get("PROTECTOR_TEST_MUTANT", "none")]()


def run(async_fn: Callable[..., Awaitable[Any]], *args: Any, real_time: bool = False) -> Any:
    """`trio_run.run` with an end: what waits for ever fails."""

    async def bounded() -> Any:
        with trio.fail_after(FOREVER_S):
            return await async_fn(*args)

    if real_time:
        return _run(async_fn, *args, real_time=True)
    return _run(bounded)


_run, trio_run.run = trio_run.run, run
_mutant.install()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A new test, a new chance."""
    _mutant.next_test()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How often it was broken."""
    terminalreporter.write_line(f"broken {_mutant.broken} times")
