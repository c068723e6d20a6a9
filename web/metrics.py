"""`/metrics`, in the Prometheus text format. Read without a token, so no name of the cluster's is in it: no namespace, Secret, account.

What is read are statuses, snapshots and statistics; nothing is counted here. Labels hold only values that are ours to choose:
actors by their static path (those that are started by key are put together under `…/*`), kinds, reasons, listeners.
Counterpart: web/sources.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import trio
from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from actors.behaviors import ActsStatistics
from actors.engine.queries import EngineStatus
from actors.runtime import ActorSnapshot, MailboxSnapshot
from actors.runtime.watch.reading import SLICE, Glance, HasSnapshot, reader_of
from web.events import HubStatistics
from web.families import WORD, bounded, counter, gauge, of_counts, of_records
from web.lag import LagStatistics
from web.sessions import SessionsStatistics
from web.sources import Sources, Unanswered

if TYPE_CHECKING:
    from actors.cluster.live.heartbeat import HeartbeatStatus
    from actors.cluster.queries import ClusterStatus
    from actors.store import StoreStatus

__all__ = ["CACHE_S", "CONTENT_TYPE", "Facts", "Metrics", "actors_of"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
CACHE_S: Final = 1.0
"""An answer serves for so long: anybody may ask, and a look at many actors has its price."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Facts:
    """What one scrape tells. A part that did not answer is None."""

    version: str
    started_at: float
    now: float
    silent_after_s: float
    store: StoreStatus | None
    engine: EngineStatus | None
    cluster: ClusterStatus | None
    actors: Actors
    hub: HubStatistics
    sessions: SessionsStatistics | None
    listeners: Mapping[str, Sequence[Struct]]
    lag: LagStatistics | None = None
    heartbeat: HeartbeatStatus | None = None
    acts: ActsStatistics | None = None


class Metrics:
    """Gathers the facts and writes them down, at most once in CACHE_S."""

    def __init__(self, sources: Sources, sessions: Callable[[], SessionsStatistics] | None = None) -> None:
        self._sources = sources
        self._sessions = sessions
        self._cached: tuple[float, bytes] | None = None

    async def text(self) -> bytes:
        """The exposition."""
        now = self._sources.clock.now()
        if self._cached is None or not 0.0 <= now - self._cached[0] < CACHE_S:
            self._cached = (now, _exposition(await self._gather(now)))
        return self._cached[1]

    async def _gather(self, now: float) -> Facts:
        sources = self._sources
        return Facts(
            version=sources.version,
            started_at=sources.started_at,
            now=now,
            silent_after_s=sources.feed_silent_after_s,
            store=await _or_none(sources.store_status()),
            engine=await _or_none(sources.engine_status()),
            cluster=await _or_none(sources.cluster_status()),
            heartbeat=await _or_none(sources.heartbeat_status()),
            actors=await actors_of(sources.system),
            hub=sources.hub.statistics(),
            sessions=self._sessions() if self._sessions is not None else None,
            listeners=sources.listeners(),
            lag=sources.lag() if sources.lag is not None else None,
            acts=sources.acts(),
        )


async def _or_none(answer: Awaitable[T]) -> T | None:
    """None where the part did not answer: protector_up says so, and the rest is still told."""
    try:
        return await answer
    except Unanswered:
        return None


class _Facts(Collector):
    """One scrape's facts as metric families."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        """The families, in the order of the flow."""
        facts = self._facts
        yield from _process(facts)
        if facts.store is not None:
            yield from _store(facts.store, facts)
        if facts.heartbeat is not None:
            yield from _heartbeat(facts.heartbeat)
        if facts.engine is not None:
            yield from _engine(facts.engine)
        if facts.acts is not None:
            yield from _acts(facts.acts)
        if facts.cluster is not None:
            yield from _cluster(facts.cluster)
        yield from _actors(facts.actors)
        yield from _faces(facts)


def _exposition(facts: Facts) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Facts(facts))
    return generate_latest(registry)


def _process(facts: Facts) -> Iterator[Metric]:
    info = GaugeMetricFamily("protector_build_info", "The version that runs.", labels=["version"])
    info.add_metric([facts.version], 1)
    yield info
    yield gauge("start_time_seconds", "When this process started, epoch seconds.", facts.started_at)
    if facts.lag is not None:
        yield gauge("loop_lag_seconds", "How late the event loop was when it was looked at last.", facts.lag.last_s)
        yield gauge("loop_lag_worst_minute_seconds", "The worst of the last minute.", facts.lag.worst_minute_s)
        yield gauge("loop_lag_worst_seconds", "The worst since the start.", facts.lag.worst_s)
    up = GaugeMetricFamily("protector_up", "Whether this part answered in time.", labels=["part"])
    for part, found in (("store", facts.store), ("engine", facts.engine), ("cluster", facts.cluster)):
        up.add_metric([part], float(found is not None))
    yield up


def _store(store: StoreStatus, facts: Facts) -> Iterator[Metric]:
    counts = store.counts
    yield counter("batches", "Batches taken.", counts.batches)
    yield counter("duplicate_batches", "Batches that came again and changed nothing.", counts.duplicates)
    yield counter("events", "Items of batches.", counts.events)
    yield counter("reads", "Allowed reads of Secrets by ServiceAccounts.", counts.reads)
    yield counter("new_observations", "Reads that were not in the window.", counts.new)
    yield counter("borrowed_reads", "Reads made as somebody else: kept, no evidence of a chain.", counts.borrowed)
    yield counter("late_reads", "Reads that came after their TTL.", counts.late)
    yield counter("evicted_observations", "Observations that a full window let go.", counts.evicted)
    dropped = CounterMetricFamily("protector_dropped", "Items that are no reads, by reason.", labels=["reason"])
    for reason, count in bounded(counts.dropped.items()):
        dropped.add_metric([reason], count)
    yield dropped
    yield gauge("observations", "Observations in the window.", store.observations)
    yield gauge("observations_capacity", "How many the window holds.", store.capacity)
    at = store.last_batch_at
    if at is not None:
        yield gauge("feed_last_batch_timestamp_seconds", "When the last batch came, epoch seconds.", at)
    alive = at is not None and facts.now - at < facts.silent_after_s + store.allowance_s
    yield gauge("feed_live", "Whether batches come: 0 if none ever did, or none for a while.", float(alive))
    if store.lag_s is not None:
        yield gauge("feed_lag_seconds", "Age of the newest event of the last batch on its arrival.", store.lag_s)
    parts = {
        "actor": (store.actor,),
        "digests": (store.digests,),
        "history": (store.history,),
        "journal": (store.journal,),
        "window": (store.window,),
    }
    yield from of_records("store", "part", parts)
    yield gauge("feed_senders", "Addresses that batches came from.", len(store.senders))


def _heartbeat(beat: HeartbeatStatus) -> Iterator[Metric]:
    yield gauge(
        "heartbeat_alive", "Whether protector's own denied requests come back.", float(beat.state.value == "alive")
    )
    yield counter("heartbeats_sent", "Requests for a Secret that were denied, as they should be.", beat.sent)
    yield counter("heartbeats_returned", "Those that came back through the audit webhook.", beat.returned)
    if beat.lag_s is not None:
        yield gauge("heartbeat_lag_seconds", "From such a request to the arrival of its event.", beat.lag_s)


def _engine(engine: EngineStatus) -> Iterator[Metric]:
    yield gauge(
        "ready", "Whether the cluster is in sync and all evidence was told since the start.", float(engine.ready)
    )
    yield gauge("revision", "Rises with every change of what the chains answer.", engine.revision)
    yield gauge("chains", "Chains, lit or not.", engine.chains)
    yield gauge("escalations", "Ways of live workloads to Secrets that are no reads.", engine.escalations)
    yield gauge("escalations_at_bound", "Workloads with as many escalations as are kept.", engine.escalations_at_bound)
    yield gauge("chains_corroborated", "Chains with live evidence.", engine.corroborated)
    yield gauge("chains_open", "Corroborated chains that no expected reader accounts for: findings.", engine.open)
    yield gauge("evidence_live", "Pieces of live evidence.", engine.evidence_live)
    yield gauge("evidence_ended", "Pieces of evidence that ended and are still shown.", engine.evidence_ended)
    yield gauge("unexplained_reads", "Live evidence that no modelled grant covers.", engine.unexplained)
    yield gauge("gone_reads", "Live evidence whose claimed pod is unknown.", engine.gone)
    yield counter(
        "model_disagreements", "Reads whose grant the API server named otherwise than the model.", engine.disagreements
    )
    yield counter("engine_touched_objects", "Objects that the engine's work touched.", engine.touched)


def _acts(acts: ActsStatistics) -> Iterator[Metric]:
    yield gauge("acts", "Behaviors of known pods in the window, as sensors reported them.", acts.acts)
    yield gauge("acts_capacity", "How many the window holds.", acts.capacity)
    yield counter("acts_new", "Behaviors that were not in the window.", acts.new)
    yield counter("acts_evicted", "Live behaviors that had to make room.", acts.evicted)
    waiting = acts.waiting
    yield gauge("behaviors_waiting", "Behaviors of pods that are not known yet.", waiting.waiting)
    yield counter("behaviors_resolved", "Behaviors that had waited when their pod appeared.", waiting.resolved)
    yield counter("behaviors_waiting_overflowed", "Waiting behaviors that had to make room.", waiting.overflowed)
    yield counter("behavior_reports", "Bodies of sensors.", acts.bodies)
    yield counter("behavior_reports_unusable", "Bodies of sensors that could not be read.", acts.unusable)
    taken = CounterMetricFamily("protector_behaviors_taken", "Behaviors taken, by kind.", labels=["kind"])
    for kind, count in sorted(acts.taken_by_kind.items()):
        taken.add_metric([kind], count)
    yield taken
    dropped = CounterMetricFamily("protector_behaviors_dropped", "Behaviors dropped, by reason.", labels=["reason"])
    for reason, items in bounded(acts.dropped.items()):
        dropped.add_metric([reason], items)
    yield dropped


def _cluster(cluster: ClusterStatus) -> Iterator[Metric]:
    count = GaugeMetricFamily("protector_cluster_objects", "Objects known, by kind.", labels=["kind"])
    synced = GaugeMetricFamily("protector_cluster_synced", "Whether this kind was read to the end.", labels=["kind"])
    age = GaugeMetricFamily(
        "protector_cluster_age_seconds", "Since the last word of this kind's source.", labels=["kind"]
    )
    for kind, status in sorted(cluster.objects.items()):
        label = kind if WORD.fullmatch(kind) else "other"
        count.add_metric([label], status.count)
        synced.add_metric([label], float(status.synced))
        if status.age_s is not None:
            age.add_metric([label], status.age_s)
    yield from (count, synced, age)
    yield gauge("cluster_malformed_objects", "Objects of the source that were left out.", cluster.malformed)


class Actors(Struct, frozen=True):
    """The actors: every lasting one, and those by key put together under their supervisor's path and a star."""

    lasting: list[ActorSnapshot]
    together: dict[str, Together]


class Together(Struct):
    """Many actors as one: the greatest of what each has."""

    known: int = 0
    running: int = 0
    depth: int = 0
    capacity: int = 0
    high_water: int = 0
    oldest_s: float = 0.0

    def add(self, glance: Glance) -> None:
        """One more."""
        self.known += 1
        self.running += glance.state == "running"
        self.depth = max(self.depth, glance.depth)
        self.capacity = max(self.capacity, glance.capacity)
        self.high_water = max(self.high_water, glance.high_water)
        self.oldest_s = max(self.oldest_s, glance.oldest_s)


async def actors_of(system: HasSnapshot) -> Actors:
    """Looks at all of them; lets others run in between, since there may be very many by key."""
    reader = reader_of(system)
    lasting: list[ActorSnapshot] = []
    together: dict[str, Together] = {}
    waiting = [reader.root()]
    while waiting:
        place = waiting.pop()
        record = reader.record(place)
        lasting.append(record)
        if not reader.is_keyed(place):
            waiting.extend(reader.children(place))
            continue
        many = Together()
        for number, child in enumerate(reader.children(place), 1):
            many.add(reader.glance(child))
            if number % SLICE == 0:
                await trio.lowlevel.checkpoint()
        if many.known:
            together[f"{record.path}/*"] = many
    return Actors(sorted(lasting, key=lambda record: record.path), together)


def _actors(actors: Actors) -> Iterator[Metric]:
    """Gauges of every actor, those of actors by key put together by the greatest; counters only of the lasting ones.

    (An actor by key goes and takes its counts with it: a sum over those that are there would fall.)
    """
    gauges: tuple[tuple[str, str, Callable[[MailboxSnapshot | Together], float]], ...] = (
        ("mailbox_depth", "Messages that wait; of actors put together, the fullest.", lambda box: box.depth),
        ("mailbox_capacity", "How many can wait.", lambda box: box.capacity),
        ("mailbox_high_water", "The most that ever waited.", lambda box: box.high_water),
        ("mailbox_oldest_seconds", "How long the oldest has waited.", lambda box: box.oldest_s),
    )
    counters: tuple[tuple[str, str, Callable[[ActorSnapshot], float]], ...] = (
        ("mailbox_overflows", "Messages over a mailbox's bound.", lambda actor: actor.mailbox.overflows),
        ("messages_handled", "Messages handled.", lambda actor: actor.handled),
        ("messages_failed", "Messages whose handling failed.", lambda actor: actor.failed),
        ("actor_restarts", "Starts after the first.", lambda actor: max(0, actor.incarnation - 1)),
    )
    for name, text, of_box in gauges:
        family = GaugeMetricFamily(f"protector_{name}", text, labels=["actor"])
        for actor in actors.lasting:
            family.add_metric([actor.path], of_box(actor.mailbox))
        for label, many in actors.together.items():
            family.add_metric([label], of_box(many))
        yield family
    for name, text, of_actor in counters:
        total = CounterMetricFamily(f"protector_{name}", text, labels=["actor"])
        for actor in actors.lasting:
            total.add_metric([actor.path], of_actor(actor))
        yield total
    running = GaugeMetricFamily("protector_actors_running", "Actors that run.", labels=["actor"])
    known = GaugeMetricFamily("protector_actors", "Actors, in any state.", labels=["actor"])
    for actor in actors.lasting:
        running.add_metric([actor.path], actor.state == "running")
        known.add_metric([actor.path], 1)
    for label, many in actors.together.items():
        running.add_metric([label], many.running)
        known.add_metric([label], many.known)
    yield from (running, known)


def _faces(facts: Facts) -> Iterator[Metric]:
    hub = facts.hub
    yield gauge("event_streams", "Open event streams.", hub.subscribers)
    yield counter("announcements", "Events announced to streams.", hub.published)
    yield counter("announcements_missed", "Events that slow streams did not get.", hub.missed)
    yield counter("event_streams_refused", "Streams over the bound.", hub.refused)
    if facts.sessions is not None:
        yield gauge("viewer_sessions", "Open viewer sessions.", facts.sessions.sessions)
        yield counter("viewer_token_failures", "Wrong viewer tokens.", facts.sessions.failures)
        yield counter("viewer_tokens_limited", "Tries that had to wait.", facts.sessions.limited)
    yield from of_records("listener", "listener", facts.listeners)
    yield of_counts("listener", "listener", "admitted", "credential", facts.listeners)
    yield of_counts("listener", "listener", "answers", "status", facts.listeners)
