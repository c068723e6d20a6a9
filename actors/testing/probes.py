"""Probes: actors that write down what they are told, so that a test can say what it expects. The fixtures `probe` and `system`.

`probe.ref` is handed to an actor as its neighbour; `probe.wiretap(ref)` hears what another actor handles. Waiting is virtual, so
`expect_none("1h")` costs nothing. Works at once in a plain test, awaited in an async one.
Counterparts: session.py, faults.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Final

import trio
from trio.testing import wait_all_tasks_blocked

from actors.runtime import Actor, ActorRef, ActorSnapshot, MailboxPolicy, Spec, System, Terminated
from actors.testing.bridge import Bridge, Explained, either
from actors.testing.conservation import Conservation
from actors.testing.session import Session
from actors.testing.timeline import explained, tree_text
from actors.testing.times import seconds

__all__ = ["Actors", "Probe", "ProbeActor", "Unexpected"]

HEARD_MAX: Final = 100_000
"""Messages that a probe keeps, the newest."""
WITHIN_S: Final = 3.0
"""How long `expect` waits, unless told otherwise."""
FISH_MAX: Final = 1000
"""Messages that `fish` looks at."""


class Unexpected(Explained):
    """A probe heard something else, or nothing."""


class ProbeActor(Actor):
    """Hands every message to its probe, and answers what the probe was told to answer."""

    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=HEARD_MAX)

    def __init__(self, heard: Callable[[Any], Any]) -> None:
        super().__init__()
        self._heard = heard

    def on_receive(self, message: Any) -> Any:
        """Pass it on."""
        return self._heard(message)


class Probe:
    """One listener. It starts when it is first asked for its `ref`, or for what it heard."""

    def __init__(self, session: Session, name: str = "probe") -> None:
        self._session = session
        self.name = name
        self._heard: deque[Any] = deque(maxlen=HEARD_MAX)
        self._moved = trio.Event()
        self._ref: ActorRef | None = None
        self._answer: Callable[[Any], Any] = lambda _message: None

    @property
    def bridge(self) -> Bridge | None:
        """As the session's."""
        return self._session.bridge

    def _hear(self, message: Any) -> Any:
        self._heard.append(message)
        self._moved.set()
        return self._answer(message)

    @either
    async def ref(self) -> ActorRef:
        """Whom to tell."""
        if self._ref is None:
            system = await self._session.up()
            self._ref = system.spawn(ProbeActor, self._hear)
            await wait_all_tasks_blocked()
        return self._ref

    def answers_with(self, answer: Any) -> None:
        """What it replies to asks: a value, or a function of the message."""
        self._answer = answer if callable(answer) else lambda _message: answer

    @either
    async def wiretap(self, ref: ActorRef | str) -> None:
        """Hear every message that this actor handles from now on (a ref, a path, or a path's last name). It is the same object."""
        system = await self._session.up()
        path = ref.path if isinstance(ref, ActorRef) else self._session.faults.path(system, ref)
        self._session.taps.add(path, self._hear)

    @property
    def heard(self) -> list[Any]:
        """What was heard and not yet taken by an expectation."""
        return list(self._heard)

    async def _next(self, within_s: float) -> tuple[Any, ...]:
        """The next message, in a tuple; an empty one when none came."""
        with trio.move_on_after(within_s):
            while not self._heard:
                self._moved = trio.Event()
                await self._moved.wait()
        return (self._heard.popleft(),) if self._heard else ()

    @either
    async def expect(self, what: Any, within: str | float = WITHIN_S) -> Any:
        """The next message is of this type, or equal to this, or makes this function true; it is returned."""
        await self._session.up()
        got = await self._next(seconds(within))
        if not got:
            raise self._unexpected(f"{_named(what)} within {seconds(within):g} s", "no message came")
        if not _is(what, got[0]):
            raise self._unexpected(_named(what), repr(got[0]))
        return got[0]

    @either
    async def expect_none(self, during: str | float = WITHIN_S) -> None:
        """Nothing comes for so long (virtual time passes)."""
        await self._session.up()
        got = await self._next(seconds(during))
        if got:
            raise self._unexpected(f"no message for {seconds(during):g} s", repr(got[0]))

    @either
    async def fish(self, what: Any, within: str | float = WITHIN_S) -> Any:
        """The first message that fits; those before it are let go."""
        await self._session.up()
        end = trio.current_time() + seconds(within)
        for _ in range(FISH_MAX):
            got = await self._next(end - trio.current_time())
            if not got:
                raise self._unexpected(f"{_named(what)} within {seconds(within):g} s", "it never came")
            if _is(what, got[0]):
                return got[0]
        raise self._unexpected(_named(what), f"{FISH_MAX} other messages")

    @either
    async def terminated(self, ref: ActorRef, within: str | float = WITHIN_S) -> Terminated:
        """This actor has ended for good, or does so in time."""
        await self._session.up()
        with trio.move_on_after(seconds(within)):
            return await ref.wait_terminated()
        raise self._unexpected(f"the end of {ref.path} within {seconds(within):g} s", "it lives")

    def _unexpected(self, expected: str, found: str) -> Unexpected:
        return Unexpected(explained(self._session, f"{self.name} hears {expected}", found))


class Actors:
    """A system of your own actors on virtual time, for a team that builds on the runtime. The fixture `system`."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def bridge(self) -> Bridge | None:
        """As the session's."""
        return self.session.bridge

    @either
    async def spawn(self, actor_class: type[Actor], *args: Any, **kwargs: Any) -> ActorRef:
        """Start one actor without restarts; up when this returns."""
        ref = (await self.session.up()).spawn(actor_class, *args, **kwargs)
        await wait_all_tasks_blocked()
        return ref

    @either
    async def start(self, *specs: Spec) -> None:
        """Start supervised actors and supervisors."""
        system = await self.session.up()
        await system.start(*specs)
        self.session.faults.attach(system)

    @either
    async def tell(self, ref: ActorRef | str, message: Any) -> None:
        """Tell, and wait until all is quiet."""
        self._ref(await self.session.up(), ref).tell(message)
        await wait_all_tasks_blocked()

    @either
    async def ask(self, ref: ActorRef | str, message: Any, within: str | float = WITHIN_S) -> Any:
        """Ask, and the reply; what the ask raises is raised."""
        return await self._ref(await self.session.up(), ref).ask(message, timeout_s=seconds(within))

    @either
    async def tree(self) -> str:
        """The tree as text."""
        return tree_text((await self.session.up()).snapshot(), 0)

    @either
    async def snapshot(self) -> ActorSnapshot:
        """The tree as records."""
        return (await self.session.up()).snapshot()

    @either
    async def assert_tree(self, *paths: str) -> None:
        """As Protector.assert_tree."""
        await Conservation(self.session).tree(paths)

    @either
    async def assert_mailboxes_bounded(self) -> None:
        """As Protector.assert_mailboxes_bounded."""
        await Conservation(self.session).mailboxes_bounded()

    @either
    async def assert_no_leaked_tasks(self) -> None:
        """As Protector.assert_no_leaked_tasks."""
        await Conservation(self.session).no_leaked_tasks()

    @either
    async def assert_no_dead_letters(self) -> None:
        """As Protector.assert_no_dead_letters."""
        await Conservation(self.session).no_dead_letters()

    def _ref(self, system: System, ref: ActorRef | str) -> ActorRef:
        return ref if isinstance(ref, ActorRef) else system.ref(self.session.faults.path(system, ref))


def _is(what: Any, message: Any) -> bool:
    if isinstance(what, type):
        return isinstance(message, what)
    if what == message:
        return True
    return callable(what) and bool(what(message))


def _named(what: Any) -> str:
    return what.__name__ if isinstance(what, type) else repr(what)
