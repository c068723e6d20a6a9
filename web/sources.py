"""Where the API, the pages and the metrics have what they show from: the actors' refs, the tree, the event hub, the clock.

One record is handed in; nothing here keeps state. A part that does not answer is a value to the faces (Unanswered), never a 500.
Counterparts: web/edge.py makes it; web/api.py, web/pages.py and web/metrics.py read from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from msgspec import Struct

from actors.behaviors import ActsStatistics, ActsWindow
from actors.cluster.live.heartbeat import HeartbeatQuery, HeartbeatStatus
from actors.cluster.queries import ClusterStatusQuery
from actors.engine.escalation_views import EscalationPage
from actors.engine.queries import (
    BadCursor,
    ChainPage,
    ChainQuery,
    ChainsQuery,
    ChainView,
    EngineStatus,
    EngineStatusQuery,
    EscalationsQuery,
    EvidencePage,
    EvidenceQuery,
    SecretQuery,
    SecretView,
)
from actors.evidence.times import rfc3339
from actors.runtime import UNANSWERED
from actors.store import HistoryPageQuery, HistoryQuery, StoreStatusQuery
from web.events import EventHub
from web.lag import LagStatistics

if TYPE_CHECKING:
    from actors.cluster.queries import ClusterStatus
    from actors.evidence import Account
    from actors.store import HistoryAnswer, HistoryPage, StoreStatus

__all__ = [
    "ASK_TIMEOUT_S",
    "FEED_SILENT_AFTER_S",
    "Askable",
    "FeedState",
    "FeedView",
    "Now",
    "Sources",
    "Tree",
    "Unanswered",
    "feed_of",
]

ASK_TIMEOUT_S: Final = 5.0
"""How long a face waits for an actor before it says that the actor did not answer."""
FEED_SILENT_AFTER_S: Final = 300.0
"""Without a batch for this long nothing is claimed about what is not seen."""

FeedState = Literal["live", "silent", "never"]


class Askable(Protocol):
    """What is needed of an actor's ref: ask and await the answer."""

    def ask(self, message: Any, *, timeout_s: float | None = None) -> Any:
        """An awaitable of the answer; raises what actors.runtime says."""
        ...


class Tree(Protocol):
    """What is needed of the actor system."""

    def snapshot(self) -> Any:
        """The tree of actors as a frozen record with `to_builtins()`; a real system tells more (see actors/runtime/watch)."""
        ...


class Now(Protocol):
    """What is needed of a clock."""

    def now(self) -> float:
        """Epoch seconds."""
        ...


class Unanswered(Exception):  # noqa: N818 - a state of a part, shown as such, not an error of ours
    """An actor could not answer in time: it is starting again, or has more to do than it can. `part` is ours to name."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"the {part} did not answer ({why})")
        self.part = part
        self.why = why


class FeedView(Struct, frozen=True):
    """Whether audit events arrive: never (no batch, ever), silent (none for a while), live."""

    state: FeedState
    last_batch_at: str | None


def feed_of(last_batch_at: float | None, now: float, silent_after_s: float = FEED_SILENT_AFTER_S) -> FeedView:
    """The state of the feed at this moment, from the time of its last batch (epoch seconds; None: there was none)."""
    if last_batch_at is None:
        return FeedView("never", None)
    state: FeedState = "live" if now - last_batch_at < silent_after_s else "silent"
    return FeedView(state, rfc3339(last_batch_at))


def _no_statistics() -> Mapping[str, Sequence[Struct]]:
    return {}


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that is shown comes from here."""

    engine: Askable
    store: Askable
    cluster: Askable
    system: Tree
    hub: EventHub
    clock: Now
    version: str
    cluster_name: str
    started_at: float
    """Epoch seconds."""
    feed_silent_after_s: float = FEED_SILENT_AFTER_S
    listeners: Callable[[], Mapping[str, Sequence[Struct]]] = _no_statistics
    """The `statistics()` of each listener and its guard, by the listener's name ("audit", "behavior", "dashboard")."""
    lag: Callable[[], LagStatistics] | None = None
    """How late the event loop is."""
    heartbeat: Askable | None = None
    """None where it is off, or the cluster is not a live one."""
    acts: Callable[[], ActsStatistics] = ActsWindow().statistics
    """What sensors reported: the window's counts."""
    has_cluster: bool = True
    """False where no cluster is configured: then nobody waits for it to be in sync."""

    async def chains(self, query: ChainsQuery) -> ChainPage | BadCursor:
        """A page of chains. Unanswered."""
        page: ChainPage | BadCursor = await _ask(self.engine, query, "engine")
        return page

    async def chain(self, chain_id: str) -> ChainView | None:
        """One chain. Unanswered."""
        view: ChainView | None = await _ask(self.engine, ChainQuery(chain_id), "engine")
        return view

    async def escalations(self, query: EscalationsQuery) -> EscalationPage | BadCursor:
        """A page of escalations. Unanswered."""
        page: EscalationPage | BadCursor = await _ask(self.engine, query, "engine")
        return page

    async def evidence(self, query: EvidenceQuery) -> EvidencePage | BadCursor:
        """A page of evidence. Unanswered."""
        page: EvidencePage | BadCursor = await _ask(self.engine, query, "engine")
        return page

    async def secret(self, namespace: str, name: str) -> SecretView:
        """Everything about one Secret's readers. Unanswered."""
        view: SecretView = await _ask(self.engine, SecretQuery(namespace, name), "engine")
        return view

    async def history(self, account: Account) -> HistoryAnswer:
        """What one account has ever read. Unanswered."""
        answer: HistoryAnswer = await _ask(self.store, HistoryQuery(account), "store")
        return answer

    async def history_page(self, query: HistoryPageQuery) -> HistoryPage:
        """A slice of what all accounts have ever read. Unanswered."""
        page: HistoryPage = await _ask(self.store, query, "store")
        return page

    async def engine_status(self) -> EngineStatus:
        """The engine's counts. Unanswered."""
        status: EngineStatus = await _ask(self.engine, EngineStatusQuery(), "engine")
        return status

    async def store_status(self) -> StoreStatus:
        """Counts, window, last batch and senders. Unanswered."""
        status: StoreStatus = await _ask(self.store, StoreStatusQuery(), "store")
        return status

    async def cluster_status(self) -> ClusterStatus:
        """Objects by kind: how many, in sync, how old. Unanswered."""
        status: ClusterStatus = await _ask(self.cluster, ClusterStatusQuery(), "cluster")
        return status

    async def heartbeat_status(self) -> HeartbeatStatus | None:
        """What the heartbeat knows of the feed; None where there is none. Unanswered."""
        if self.heartbeat is None:
            return None
        status: HeartbeatStatus = await _ask(self.heartbeat, HeartbeatQuery(), "heartbeat")
        return status

    async def feed(self) -> FeedView:
        """The state of the feed now. Unanswered."""
        return self.feed_at(await self.store_status(), self.clock.now())

    def feed_at(self, store: StoreStatus, now: float) -> FeedView:
        """The state of the feed at `now`: one whose log may lag is silent only so much later."""
        return feed_of(store.last_batch_at, now, self.feed_silent_after_s + store.allowance_s)


async def _ask(ref: Askable, question: Any, part: str) -> Any:
    try:
        return await ref.ask(question, timeout_s=ASK_TIMEOUT_S)
    except UNANSWERED as error:
        raise Unanswered(part, type(error).__name__) from error
