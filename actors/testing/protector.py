"""What a test says to the product: the fixture `protector`, and the clock beside it, the fixture `clock`.

Every method that takes a while works at once in a plain test and is awaited in an async one (see bridge.py).
Counterparts: session.py (the world), checks.py (what can be asserted), conservation.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio
from trio.testing import wait_all_tasks_blocked

from actors.runtime import ActorSnapshot, System
from actors.testing.bridge import Bridge, either
from actors.testing.checks import AccessCheck, ChainCheck, SecretCheck
from actors.testing.conservation import Conservation
from actors.testing.events import AuditEvent
from actors.testing.posting import bodies_of
from actors.testing.sentences import Sentence
from actors.testing.session import Session
from actors.testing.timeline import tree_text
from actors.testing.times import seconds

if TYPE_CHECKING:
    from actors.messages import BatchAnswer, BehaviorsAnswer
    from actors.testing.apiserver import SenderOptions, SimulatedApiServer

__all__ = ["Clock", "Protector"]

UNTIL_S: Final = 3600.0
"""How long `run_until` waits, unless told otherwise."""


class Clock:
    """Virtual time, wall and monotonic together."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def bridge(self) -> Bridge | None:
        """As the session's."""
        return self._session.bridge

    def now(self) -> float:
        """Epoch seconds."""
        return self._session.now()

    @either
    async def advance(self, by: str | float) -> None:
        """Let so much time pass (`5m`, `299.999s`), with everything that happens in it, and until all is quiet at its end."""
        await self._session.up()
        await trio.sleep_until(trio.current_time() + seconds(by))
        await wait_all_tasks_blocked()

    @either
    async def run_until(
        self, predicate: Callable[[], Any], within: str | float = UNTIL_S, step: str | float = 0.1
    ) -> None:
        """Let time pass until the predicate holds. AssertionError if it does not within that time."""
        await self._session.up()
        end = trio.current_time() + seconds(within)
        while not predicate():
            if trio.current_time() >= end:
                raise AssertionError(f"it did not come true within {seconds(within):g} s of virtual time")
            await trio.sleep(seconds(step))
            await wait_all_tasks_blocked()


class Protector:
    """The pipeline and what can be said of it. `session` is the machinery behind it, which is no stable interface."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def bridge(self) -> Bridge | None:
        """As the session's."""
        return self.session.bridge

    # --- what comes in ------------------------------------------------------------------------------------------------

    @either
    async def post(self, *said: Sentence | AuditEvent | dict[str, Any] | bytes) -> BatchAnswer:
        """One batch of these, posted until it is taken, as an API server does; the answer. `bytes` is a whole body as it is.

        More events than one batch holds (400) go as several; the answer is that of the last.
        """
        await self.session.up()
        answer = None
        for body in bodies_of(self.session, said):
            answer = await self.session.post(body)
        if answer is None:
            raise ValueError("post what? name at least one event")
        return answer

    @either
    async def report(self, *observations: dict[str, Any], falco: bool = False) -> BehaviorsAnswer:
        """Behaviors as a sensor reports them (docs/reference/http.md), in one report; with `falco` one Falco alert."""
        return await self.session.report(*observations, falco=falco)

    @either
    async def replay(self, log: str | Path, *, as_recorded: bool = False) -> int:
        """A recorded audit log (JSON lines, EventLists, the clouds' wrappers, gz) against this cluster; how many items it held.

        The log's times are moved so that its last event is now; with `as_recorded` they stay, and the clock is set to the log's.
        """
        from actors.testing.recorded import post_recorded  # noqa: PLC0415 - few tests have a log

        await self.session.up()
        return await post_recorded(self.session, Path(log), as_recorded=as_recorded)

    @either
    async def api_server(
        self, during: Callable[[SimulatedApiServer], Awaitable[Any] | None], options: SenderOptions | None = None
    ) -> SimulatedApiServer:
        """A simulated API server posts what `during(server)` submits, with kube-apiserver's true batching and retry schedule.

        Returns it when every batch is accepted or lost: `statistics()` says which.
        """
        from actors.testing.posting import run_api_server  # noqa: PLC0415 - httpx is needed only here

        await self.session.up()
        return await run_api_server(self.session, during, options)

    # --- what can be asserted -----------------------------------------------------------------------------------------

    def chain(self, workload: str, secret: str, *, binding: str = "") -> ChainCheck:
        """The chains from a workload (`app/web`, or `Deployment/app/web`) to a Secret (`app/db-creds`)."""
        return ChainCheck(self.session, workload, secret, binding)

    def access(self, account: str) -> AccessCheck:
        """What an account (`app/reader-sa`) may read, and what it has read."""
        return AccessCheck(self.session, account)

    def secret(self, name: str) -> SecretCheck:
        """Who may read a Secret, and who has."""
        return SecretCheck(self.session, name)

    def _conservation(self) -> Conservation:
        return Conservation(self.session)

    @either
    async def assert_nothing_lost(self) -> None:
        """Accepted = live + expired + dropped with a reason + dead letters; and a body that was taken is in the store's counts."""
        await self._conservation().nothing_lost()

    @either
    async def assert_mailboxes_bounded(self) -> None:
        """No mailbox has held more than its bound, and none overflowed."""
        await self._conservation().mailboxes_bounded()

    @either
    async def assert_no_leaked_tasks(self) -> None:
        """No task runs below the system that is neither an actor's nor the system's own."""
        await self._conservation().no_leaked_tasks()

    @either
    async def assert_tree(self, *paths: str) -> None:
        """Exactly these actors run: `pipeline/store`, without the system's name; patterns as in a shell (`pipeline/accounts/*`)."""
        await self._conservation().tree(paths)

    @either
    async def assert_no_dead_letters(self) -> None:
        """No message was lost on its way."""
        await self._conservation().no_dead_letters()

    # --- looking ------------------------------------------------------------------------------------------------------

    @either
    async def chains(self, /, **filters: Any) -> list[Any]:
        """Views of chains, as the API has them; filters as ChainsQuery's."""
        return await self.session.chains(**filters)

    @either
    async def evidence(self, /, **filters: Any) -> list[Any]:
        """Views of evidence, as the API has them; filters as EvidenceQuery's."""
        return await self.session.evidence(**filters)

    @property
    def flips(self) -> list[dict[str, Any]]:
        """The lines of the flip log so far."""
        return list(self.session.lines)

    @either
    async def settle(self) -> None:
        """Until nothing can go on without time passing."""
        await self.session.settled()

    @either
    async def system(self) -> System:
        """The actor system, for what has no word of its own here."""
        return await self.session.up()

    @either
    async def tree(self) -> str:
        """The supervision tree as text."""
        return tree_text((await self.session.up()).snapshot(), 0)

    @either
    async def snapshot(self) -> ActorSnapshot:
        """The supervision tree as records."""
        return (await self.session.up()).snapshot()

    @either
    async def restart(self, actor: str) -> None:
        """Restart it in good order."""
        system = await self.session.up()
        await system.restart(self.session.faults.path(system, actor))
        await wait_all_tasks_blocked()
