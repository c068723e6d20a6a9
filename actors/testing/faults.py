"""What goes wrong in a test, when it is told to: crashes, starts that fail, messages that are late, lost, twice or out of order, full
mailboxes, slow consumers, a store that cannot commit, a clock that steps. The fixture `faults`.

Actors are named by the last part of their path (`store`, `engine`, `app.reader-sa`) or the whole of it. `matching` is a type of
message or a function of one; `times` is how often the fault happens, after which it is over. Each that happened is in `done`.

What arrives by `ActorRef.send` (which waits for room) meets crashes, and none of the faults of delivery.
Counterparts: session.py, journal.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import trio
import trio.testing
from msgspec import Struct

from actors.runtime import ActorDead, MailboxFull, NotAllowed, System
from actors.testing.bridge import Bridge, either
from actors.testing.journal import FaultyJournal
from actors.testing.times import seconds

if TYPE_CHECKING:
    from actors.testing.session import Session

__all__ = ["Crash", "FaultError", "Faults", "Happened"]

Matching = type | Callable[[Any], bool] | None

DONE_MAX: Final = 10_000
"""Faults that are written down; more of them happen all the same."""


class Crash(Exception):  # noqa: N818 - it says what happened
    """What an actor that was made to crash fails with."""


class FaultError(ValueError):
    """A fault that cannot be. One line."""


class Happened(Struct, frozen=True):
    """One fault that happened. `at`: epoch seconds."""

    at: float
    path: str
    what: str
    message_type: str


class _Rule:
    """One fault that is still to happen."""

    def __init__(self, what: str, matching: Matching, first: int, times: int, delay_s: float = 0.0) -> None:
        self.what, self.matching, self.first, self.left, self.delay_s = what, matching, first, times, delay_s
        self.seen = 0

    def due(self, message: Any) -> bool:
        if self.left <= 0 or not _matches(self.matching, message):
            return False
        self.seen += 1
        if self.seen < self.first:
            return False
        self.left -= 1
        return True


class Faults:
    """See the module."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._crashes: dict[str, list[_Rule]] = {}
        self._deliveries: dict[str, list[_Rule]] = {}
        self._held: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {}
        self._wrapped: set[str] = set()
        self.done: list[Happened] = []

    @property
    def bridge(self) -> Bridge | None:
        """As the session's."""
        return self._session.bridge

    def attach(self, system: System) -> None:
        """The system is there: rules that were said before take hold."""
        self._wrapped.clear()
        for name in self._deliveries:
            self._wrap(self.path(system, name))

    def meet(self, path: str, message: Any) -> None:
        """Before each handling: raises `Crash` where one is due."""
        for name in (path, path.rpartition("/")[2]):
            for rule in self._crashes.get(name, ()):
                if rule.due(message):
                    self._note(path, "crash", message)
                    raise Crash(f"{path} was made to crash at a {type(message).__name__}")

    # --- crashes ------------------------------------------------------------------------------------------------------

    def crash(self, actor: str, *, on: int = 1, matching: Matching = None, times: int = 1) -> None:
        """It fails when it begins to handle the `on`-th such message from now, and then at the next, until `times` are up."""
        self._crashes.setdefault(actor, []).append(_Rule("crash", matching, on, times))

    @either
    async def kill(self, actor: str) -> None:
        """It is cancelled now, in the middle of whatever it does; its supervisor decides what follows. FaultError if it rests."""
        system = await self._session.up()
        path = self.path(system, actor)
        try:
            system.kill_actor(path)
        except NotAllowed as error:
            raise FaultError(f"{path} cannot be killed: {error}") from None
        self._note(path, "kill", None)
        await trio.testing.wait_all_tasks_blocked()

    @either
    async def fail_start(self, actor: str, times: int = 1) -> None:
        """It is killed, and its next `times` starts fail."""
        system = await self._session.up()
        path = self.path(system, actor)
        left = [times]

        async def on_start(_actor: Any) -> None:
            if left[0] > 0:
                left[0] -= 1
                self._note(path, "fail_start", None)
                raise Crash(f"{path} was made to fail at its start")
            await base.on_start(_actor)

        cell = system.cell(path)
        base: Any = cell.actor_class
        cell.actor_class = type(base.__name__, (base,), {"on_start": on_start, "__doc__": base.__doc__})
        system.kill_actor(path)
        await trio.testing.wait_all_tasks_blocked()

    @either
    async def slow(self, actor: str, by: str | float) -> None:
        """It is restarted, and from then on takes so long for each message before it handles it."""
        system = await self._session.up()
        path, by_s = self.path(system, actor), seconds(by)

        async def on_receive(_actor: Any, message: Any) -> Any:
            await trio.sleep(by_s)
            result = base.on_receive(_actor, message)
            return await result if hasattr(result, "__await__") else result

        cell = system.cell(path)
        base: Any = cell.actor_class
        cell.actor_class = type(base.__name__, (base,), {"on_receive": on_receive, "__doc__": base.__doc__})
        await system.restart(path)
        await trio.testing.wait_all_tasks_blocked()

    # --- delivery -----------------------------------------------------------------------------------------------------

    def drop(self, to: str, *, on: int = 1, matching: Matching = None, times: int = 1) -> None:
        """The message never arrives; whoever asked hears nothing until his own time is up."""
        self._deliver(to, _Rule("drop", matching, on, times))

    def delay(self, to: str, by: str | float, *, on: int = 1, matching: Matching = None, times: int = 1) -> None:
        """It arrives so much later."""
        self._deliver(to, _Rule("delay", matching, on, times, seconds(by)))

    def repeat(self, to: str, *, on: int = 1, matching: Matching = None, times: int = 1) -> None:
        """It arrives twice."""
        self._deliver(to, _Rule("repeat", matching, on, times))

    def reorder(self, to: str, *, on: int = 1, matching: Matching = None, times: int = 1) -> None:
        """It arrives after the next one that comes."""
        self._deliver(to, _Rule("reorder", matching, on, times))

    def full(self, to: str, *, on: int = 1, matching: Matching = None, times: int = 1) -> None:
        """The mailbox says that it is full: MailboxFull for the sender."""
        self._deliver(to, _Rule("full", matching, on, times))

    def _deliver(self, to: str, rule: _Rule) -> None:
        self._deliveries.setdefault(to, []).append(rule)
        if self._session.system is not None:
            self._wrap(self.path(self._session.system, to))

    def _wrap(self, path: str) -> None:
        system = self._session.system
        if path in self._wrapped or system is None:
            return
        self._wrapped.add(path)
        cell = system.cell(path)
        put: Any = cell.put

        def through(message: Any, *rest: Any) -> None:
            rule = next((rule for rule in self._rules(path) if rule.due(message)), None)
            if rule is None:
                put(message, *rest)
                for held, more in self._held.pop(path, ()):
                    put(held, *more)
                return
            self._note(path, rule.what, message)
            match rule.what:
                case "drop":
                    pass
                case "delay":
                    system.beside(_later, rule.delay_s, put, message, rest)
                case "repeat":
                    put(message, *rest)
                    put(message)
                case "reorder":
                    self._held.setdefault(path, []).append((message, rest))
                case _:
                    raise MailboxFull(f"{path} was made to be full")

        cell.put = through

    def _rules(self, path: str) -> list[_Rule]:
        return [*self._deliveries.get(path, ()), *self._deliveries.get(path.rpartition("/")[2], ())]

    # --- the store and the clock ---------------------------------------------------------------------------------------

    def store_fails(self, times: int = 1) -> None:
        """The next commits fail, as on a full disk."""
        self._journal().fail += times

    def store_slow(self, by: str | float) -> None:
        """Every commit takes so long from now on."""
        self._journal().slow_s = seconds(by)

    def clock_step(self, by: str | float) -> None:
        """The wall clock jumps (`-1h`, `+30s`); monotonic time does not."""
        self._session.clock.start_at += seconds(by)

    def _journal(self) -> FaultyJournal:
        journal = self._session.journal
        if not isinstance(journal, FaultyJournal):
            raise FaultError("this session has a journal of its own, which fails as it will")
        return journal

    # --- names --------------------------------------------------------------------------------------------------------

    def path(self, system: System, name: str) -> str:
        """The path of the one actor that is called so. FaultError where there is none, or more than one."""
        paths: list[str] = [each.path for each in places(system.snapshot())]
        found = [path for path in paths if name in (path, path.rpartition("/")[2])]
        if len(found) != 1:
            raise FaultError(f"{name!r} names {len(found)} actors; there are: {', '.join(paths)}")
        return found[0]

    def _note(self, path: str, what: str, message: Any) -> None:
        if len(self.done) < DONE_MAX:
            kind = "" if message is None else type(message).__name__
            self.done.append(Happened(self._session.now(), path, what, kind))


def places(node: Any) -> list[Any]:
    """The snapshot of a place and of everything below it, in the order of the start."""
    return [node, *(each for child in node.children for each in places(child))]


def _matches(matching: Matching, message: Any) -> bool:
    if matching is None:
        return True
    return isinstance(message, matching) if isinstance(matching, type) else bool(matching(message))


async def _later(delay_s: float, put: Callable[..., None], message: Any, rest: tuple[Any, ...]) -> None:
    await trio.sleep(delay_s)
    with suppress(ActorDead, MailboxFull):
        put(message, *rest)
