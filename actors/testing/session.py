"""One test's world: the pipeline on a virtual clock, and how it is run: by plain code, by the plugin, or in somebody else's Trio run.

Three ways, one world. A plain test has a `Bridge` (bridge.py). An async test that the plugin runs has a Trio run of its own, with the
world opened around it. Under pytest-trio or anyio the run is theirs: the world opens in it at its first use, and ends with it.
Counterparts: plugin.py (fixtures), protector.py (what a test says to it), timeline.py (what it says when a test fails).
"""

from __future__ import annotations

import contextlib
import json
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import msgspec
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.behaviors import ActsWindow
from actors.cluster.model import ClusterModel
from actors.cluster.queries import ObjectsMoved
from actors.cluster.raw import Decoded, Snapshot
from actors.engine.ended import EndedRing
from actors.engine.queries import ChainsQuery, EvidenceQuery
from actors.messages import BatchAnswer, BehaviorsAnswer, ParseBody, ParsedBatch, RecordBatch, TakeBehaviors
from actors.parser import parse_body
from actors.runtime import (
    ActorCrashed,
    ActorDead,
    AskTimeout,
    MailboxFull,
    System,
    SystemFailed,
    VirtualClock,
    open_system,
)
from actors.store import Journal
from actors.testing.bridge import CALL_S, Bridge, Explained
from actors.testing.faults import Faults
from actors.testing.journal import FaultyJournal
from actors.testing.objects import Cluster
from actors.testing.taps import Taps
from actors.testing.timeline import explained
from actors.tree import Parts, Refs, pipeline, refs_of

__all__ = ["Posted", "Session", "WrongClock"]

NO_ANSWER: Final = (ActorCrashed, AskTimeout, ActorDead, MailboxFull)
"""What an asker meets while an actor is away; the edge answers 503 then, and an API server comes again."""
RETRY_S: Final = 1.0
TRIES_MAX: Final = 60
ASK_S: Final = 20.0
POSTED_MAX: Final = 100_000
"""Items that are remembered for the report, the newest; what is older is only counted."""
LINES_MAX: Final = 100_000
"""Lines of the flip log that are kept, the newest."""
PAGE: Final = 1000
TTL_S: Final = 300.0


class WrongClock(RuntimeError):  # noqa: N818 - it says what is the matter
    """Virtual time was asked for in a run that is on a real clock."""


class Posted(msgspec.Struct, frozen=True):
    """One item that was posted: when, what it says in short, and what became of it (None: taken as a read)."""

    at: float
    said: str
    dropped: str | None


class Session:
    """See the module. `seed` decides everything that is by chance in the world itself."""

    def __init__(self, seed: int = 1, *, ttl_s: float = TTL_S, journal: Journal | None = None) -> None:
        self.seed = seed
        self.ttl_s = ttl_s
        self.bare = False
        """A system without the product's pipeline."""
        self.chance = random.Random(seed)  # noqa: S311 - a test's choices
        self.mock_clock = MockClock(autojump_threshold=0)
        self.clock = VirtualClock()
        self.cluster = Cluster(seed)
        self.model = ClusterModel(ttl_s=ttl_s)
        self.journal: Journal = journal or FaultyJournal()
        self.ended = EndedRing()
        self.acts = ActsWindow(ttl_s)
        self.lags_s: dict[str, float] = {}
        """How much later the logs of managed clusters may come, by their names."""
        self.lines: deque[dict[str, Any]] = deque(maxlen=LINES_MAX)
        self.posted: deque[Posted] = deque(maxlen=POSTED_MAX)
        self.answers: list[BatchAnswer] = []
        self.accepted: list[ParsedBatch] = []
        """What the harness itself made of each body that was taken, a repeated one left out."""
        self._digests: set[bytes] = set()
        self.resent = 0
        self.bodies = 0
        self.taps = Taps(self.now)
        self.faults = Faults(self)
        self.bridge: Bridge | None = None
        self.instruments: tuple[trio.abc.Instrument, ...] = ()
        self.system: System | None = None
        self.refs: Refs
        self._told: dict[str, tuple[dict[str, Any], Decoded]] = {}
        self._told_version = -1
        self._closing: trio.Event | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._failed: BaseException | None = None

    # --- how it is run ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """For a plain test: from here on calls are made through a bridge."""
        self.bridge = Bridge(self.mock_clock, self._nothing, self.instruments)

    def end(self) -> None:
        """For a plain test, and for a run that is somebody else's."""
        if self.bridge is not None:
            bridge, self.bridge = self.bridge, None
            bridge.close()
        elif self._closing is not None and self._token is not None:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._closing.set)

    def run(self, async_fn: Callable[..., Awaitable[Any]], **kwargs: Any) -> Any:
        """For an async test that nobody else runs: what `async_fn(**kwargs)` returns, the world open around it."""

        async def main() -> Any:
            async with self.opened():
                return await async_fn(**kwargs)

        return trio.run(main, clock=self.mock_clock, instruments=self.instruments)

    @contextlib.asynccontextmanager
    async def _nothing(self) -> AsyncIterator[None]:
        """Around a bridge's calls; the world itself opens with the first that needs it, when its cluster has been said."""
        self._stack = contextlib.AsyncExitStack()
        async with self._stack:
            yield

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Session]:
        """The world, opened here and ended here, in an async function's own Trio run."""
        async with contextlib.AsyncExitStack() as self._stack:
            yield self

    async def up(self) -> System:
        """The system, opened if it is not yet, the cluster as it was said until now."""
        if self._failed is not None:
            raise self._failed
        if self.system is None:
            if hasattr(self, "_stack"):
                await self._stack.enter_async_context(self._world())
            else:
                await self._move_in()
        await self._tell_cluster()
        assert self.system is not None  # noqa: S101 - both ways above set it
        return self.system

    async def _move_in(self) -> None:
        """Open the world in a run that is not ours. It ends with the run, or with the test if that is earlier."""
        clock = trio.lowlevel.current_clock()
        if not isinstance(clock, MockClock):
            raise WrongClock(
                "this test runs on Trio's real clock, and protector's world needs a virtual one: under pytest-trio ask for the fixture "
                "`autojump_clock`, under anyio give the backend the option clock=trio.testing.MockClock(autojump_threshold=0)"
            )
        self.mock_clock = clock
        self._token, self._closing = trio.lowlevel.current_trio_token(), trio.Event()
        up = trio.Event()
        trio.lowlevel.spawn_system_task(self._lodge, up)  # noqa: TID251 - the run is somebody else's: no nursery of it is ours to use
        await up.wait()
        if self._failed is not None:
            raise self._failed

    async def _lodge(self, up: trio.Event) -> None:
        assert self._closing is not None  # noqa: S101 - set by the caller
        try:
            async with self._world():
                up.set()
                await self._closing.wait()
        except SystemFailed as error:
            self._failed = error
        finally:
            self.system = None
            up.set()

    @contextlib.asynccontextmanager
    async def _world(self) -> AsyncIterator[None]:
        parts = Parts(
            journal=self.journal,
            model=self.model,
            snapshots=(self._snapshot(),),
            ended=self.ended,
            acts=self.acts,
            write=self._write,
            cluster_name="test",
            ttl_s=self.ttl_s,
            lags_s=self.lags_s,
        )
        async with open_system("protector", clock=self.clock, intercept=self._intercept, seed=self.seed) as system:
            self.system = system
            if not self.bare:
                self.refs = refs_of(system)
                await system.start(pipeline(system, parts))
            self.faults.attach(system)
            await wait_all_tasks_blocked()
            try:
                yield
            finally:
                self.system = None

    def _snapshot(self) -> Snapshot:
        """The cluster at the start."""
        self._told = {key: (self.cluster.objects[key], record) for key, record in self.cluster.decoded().items()}
        self._told_version = self.cluster.version
        return self.cluster.snapshot()

    def _intercept(self, path: str, message: Any) -> None:
        self.taps.see(path, message)
        self.faults.meet(path, message)

    async def _write(self, line: str) -> bool:
        self.lines.append(json.loads(line))
        return True

    async def _tell_cluster(self) -> None:
        """Let the cluster's actor know what was said of the cluster since the last time."""
        if self.bare or self._told_version == self.cluster.version:
            return
        decoded = self.cluster.decoded()
        upserted = tuple(
            record
            for key, record in decoded.items()
            if key not in self._told or self._told[key][0] is not self.cluster.objects[key]
        )
        removed = tuple(record for key, (_, record) in self._told.items() if key not in decoded)
        self._told = {key: (self.cluster.objects[key], record) for key, record in decoded.items()}
        self._told_version = self.cluster.version
        self.refs.cluster.tell(ObjectsMoved(upserted, removed, synced=True))
        await wait_all_tasks_blocked()

    # --- what is done with it -----------------------------------------------------------------------------------------

    def now(self) -> float:
        """The test's wall time: epoch seconds. Before anything ran, and after, as far as the clock got."""
        return self.clock.start_at + self.mock_clock.current_time()

    async def settled(self) -> None:
        """Until nothing can go on without time passing."""
        await self.up()
        await wait_all_tasks_blocked()

    async def post_once(self, body: bytes) -> BatchAnswer | None:
        """One try: the answer, or None where an API server would hear 503."""
        await self.up()
        mine = parse_body(body, self.now(), "192.0.2.1")
        try:
            parsed = await self.refs.parser.ask(ParseBody(body, self.now(), "192.0.2.1"), timeout_s=ASK_S)
            answer = await self.refs.store.ask(RecordBatch(parsed), timeout_s=ASK_S)
        except NO_ANSWER:
            return None
        if not isinstance(answer, BatchAnswer):
            return None
        if not answer.duplicate and mine.digest not in self._digests:
            self._digests.add(mine.digest)
            self.accepted.append(mine)
        return answer

    async def post(self, body: bytes) -> BatchAnswer:
        """Until it is taken, coming again each second; then until the pipeline is quiet."""
        self.bodies += 1
        with trio.fail_after(CALL_S):
            for _ in range(TRIES_MAX):
                answer = await self.post_once(body)
                if answer is not None:
                    self.answers.append(answer)
                    await wait_all_tasks_blocked()
                    return answer
                self.resent += 1
                await trio.sleep(RETRY_S)
        raise Explained(
            explained(self, "a batch is taken", f"it was not in {TRIES_MAX} tries, each {RETRY_S:g} s after the other")
        )

    async def report(self, *observations: Any, falco: bool = False) -> BehaviorsAnswer:
        """Behaviors as a sensor reports them (or one Falco alert), until they are taken."""
        await self.up()
        body = json.dumps(observations[0] if falco else observations).encode()
        for _ in range(TRIES_MAX):
            try:
                answer: BehaviorsAnswer = await self.refs.behaviors.ask(
                    TakeBehaviors(body, falco, self.now()), timeout_s=ASK_S
                )
            except NO_ANSWER:
                self.resent += 1
                await trio.sleep(RETRY_S)
            else:
                await wait_all_tasks_blocked()
                return answer
        raise Explained(explained(self, "a report is taken", f"it was not in {TRIES_MAX} tries"))

    async def ask_engine(self, query: Any) -> Any:
        """An answer of the engine's, asked again while it is away."""
        await self.up()
        for _ in range(TRIES_MAX):
            try:
                return await self.refs.engine.ask(query, timeout_s=ASK_S)
            except NO_ANSWER:
                await trio.sleep(RETRY_S)
        raise Explained(explained(self, "the engine answers", f"it gave no answer in {TRIES_MAX} tries"))

    async def chains(self, **filters: Any) -> list[Any]:
        """Every chain that the filters of ChainsQuery let through."""
        return await self._pages(ChainsQuery(limit=PAGE, **filters), "chains")

    async def evidence(self, **filters: Any) -> list[Any]:
        """Every piece of evidence that the filters of EvidenceQuery let through."""
        return await self._pages(EvidenceQuery(limit=PAGE, **filters), "evidence")

    async def _pages(self, query: Any, key: str) -> list[Any]:
        found: list[Any] = []
        while True:
            page = await self.ask_engine(query)
            found += getattr(page, key)
            if page.next_cursor is None:
                return found
            query = msgspec.structs.replace(query, cursor=page.next_cursor)
