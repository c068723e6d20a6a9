"""The actor of one watched kind: runs its follower, hands on what it finds to the cluster's actor.

Options: `kind`, `access` (the API server), `cluster` (who takes objects), `limiter` (lists at once) and `outages` (what the log says),
both shared by the kinds, `counts` (outlives the actor), `seed`. Emits: ListBegun, ObjectsMoved, ListEnded, each asked, so that the
cluster's actor sets the pace, and SourceHeard. Messages: WatcherQuery. A crash begins with a list, so nothing is missed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

import structlog
import trio
from msgspec import Struct

from actors.cluster.live.access import ApiAccess
from actors.cluster.live.client import ApiClient
from actors.cluster.live.follow import Follower, SinkLost
from actors.cluster.live.kinds import WATCHED, WatchedKind
from actors.cluster.live.outage import Outages
from actors.cluster.live.statistics import Counts, WatcherStatistics
from actors.cluster.queries import ListBegun, ListEnded, ObjectsMoved, SourceHeard, SourceState
from actors.cluster.raw import Decoded
from actors.runtime import (
    Actor,
    ActorCrashed,
    ActorDead,
    ActorRef,
    AskTimeout,
    Backoff,
    Child,
    Intensity,
    MailboxFull,
    SupervisorSpec,
)

log = structlog.get_logger("protector.cluster")

LISTS_AT_ONCE: Final = 4
"""Kinds that are listed at the same time: more only fills memory."""
TAKEN_S: Final = 30.0
"""How long the cluster's actor may take for what it is handed."""
WATCHERS: Final = "watch"
"""The name of the watchers' supervisor."""
WATCH_INTENSITY: Final = Intensity(max=15, within_s=60.0)
"""Watchers that fail (networks do not make them fail: those are retried within): a number of its own."""

LOST: Final = (ActorCrashed, ActorDead, AskTimeout, MailboxFull)
"""The cluster's actor is away; it will be back, and may have missed what it was handed."""


class WatcherQuery(Struct, frozen=True):
    """Answer: WatcherStatistics."""


class LiveSource(Struct, frozen=True):
    """A live cluster as the cluster's source. `counts` outlives the watchers' incarnations."""

    access: ApiAccess
    kinds: tuple[WatchedKind, ...] = WATCHED
    counts: dict[str, Counts] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The kinds that are watched."""
        return tuple(kind.kind for kind in self.kinds)


def watchers(source: LiveSource, cluster: Any) -> SupervisorSpec:
    """One watcher for each kind."""
    limiter, outages = trio.CapacityLimiter(LISTS_AT_ONCE), Outages()
    for kind in source.kinds:
        source.counts.setdefault(kind.kind, Counts())
    return SupervisorSpec(
        WATCHERS,
        tuple(
            Child(
                kind.resource, WatcherActor, (kind, source.access, cluster, limiter, source.counts[kind.kind], outages)
            )
            for kind in source.kinds
        ),
        intensity=WATCH_INTENSITY,
        backoff=Backoff(base_s=0.2, cap_s=10.0),
    )


class WatcherActor(Actor):
    """The shell around a Follower."""

    def __init__(
        self,
        kind: WatchedKind,
        access: ApiAccess,
        cluster: ActorRef,
        limiter: trio.CapacityLimiter,
        counts: Counts,
        outages: Outages,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self._kind = kind
        self._cluster = cluster
        self._client = ApiClient(access)
        rng = random.Random(seed)  # noqa: S311 - jitter, no secret
        self._follower = Follower(kind, self._client, self, rng, limiter, counts, outages)
        self._state, self._why = SourceState.WAITING, ""
        self._heard_at: float | None = None

    async def on_start(self) -> None:
        """Follow, beside the messages."""
        self.context.start_soon(self._follower.run)

    async def on_stop(self) -> None:
        """Let go of the connection."""
        await self._client.close()

    async def on_receive(self, message: Any) -> Any:
        """Answer what is asked."""
        if isinstance(message, WatcherQuery):
            return self.statistics()
        return await super().on_receive(message)

    def statistics(self) -> WatcherStatistics:
        """How the kind stands, and what was counted."""
        counts = self._follower.counts
        return WatcherStatistics(
            kind=self._kind.kind,
            state=self._state.value,
            why=self._why,
            heard_at=self._heard_at,
            lists=counts.lists,
            pages=counts.pages,
            watches=counts.watches,
            events=counts.events,
            bookmarks=counts.bookmarks,
            gone=counts.gone,
            failures=counts.failures,
            malformed=counts.malformed,
        )

    # --- the follower's sink --------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """A list begins."""
        await self._hand(ListBegun(self._kind.kind))

    async def move(self, upserted: Sequence[Decoded], removed: Sequence[Decoded]) -> None:
        """These are there like this; then those went."""
        self._heard_at = self.context.clock.now()
        if upserted or removed:
            await self._hand(ObjectsMoved(tuple(upserted), tuple(removed), kind=self._kind.kind))

    async def end(self) -> None:
        """The list has been told to its end."""
        await self._hand(ListEnded(self._kind.kind))

    def heard(self, state: SourceState, why: str = "") -> None:
        """How the kind stands; what finds no room is told again with the next word of it."""
        self._state, self._why = state, why
        if state is SourceState.WATCHING:
            self._heard_at = self.context.clock.now()
        try:
            self._cluster.tell(SourceHeard(self._kind.kind, state, why))
        except (MailboxFull, ActorDead) as error:
            log.debug("a word on a kind was not taken", kind=self._kind.kind, reason=type(error).__name__)

    async def _hand(self, message: Any) -> None:
        try:
            await self._cluster.ask(message, timeout_s=TAKEN_S)
        except LOST as error:
            raise SinkLost(f"the cluster's actor did not take what was told ({type(error).__name__})") from None
