"""The supervision tree of the pipeline, on one screen. Children start in this order and stop in reverse.

/protector                    one_for_one   (the system's root; what escalates to it ends the process)
  pipeline                    one_for_one   each pulls what it lacks after a restart, so none needs a neighbour restarted
    store                     commits, then publishes; its journal outlives it
    cluster                   pods, owners, RBAC, Services; its model outlives it
    watch                     one_for_one   with a live cluster: one actor for each kind, lists and watches it
    keeper                    with a live cluster and a durable store: writes down what is known of it
    announcer                 the flip log
    engine                    chains and what lights them; what ended lately outlives it
    behaviors                 reports of sensors; their window outlives it
    accounts                  one actor for each ServiceAccount with live reads, started and retired by need
    router                    says which accounts changed
    heartbeat                 with a live cluster: is denied a Secret once a minute, and waits for that to come back
    parser, parser-large      bodies to reads; last, so that nothing is taken before everything behind it runs
  audit-log                   follows the audit log's file, where there is one
  edge                        one_for_one   (web/edge.py) the listeners

Refs name places, so that every actor gets those of its neighbours before they run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from actors.attribution import AccountActor, RouterActor
from actors.attribution.router import account_of
from actors.auditlog import AuditLogActor
from actors.behaviors import ActsWindow, BehaviorsActor
from actors.cluster.actor import ClusterActor
from actors.cluster.feeds import Feeds
from actors.cluster.keeper import KeeperActor
from actors.cluster.kept import KeptCluster
from actors.cluster.live.access import ApiAccess
from actors.cluster.live.heartbeat import HeartbeatActor
from actors.cluster.live.watcher import LiveSource, watchers
from actors.cluster.model import MEMORY_EXTRA_S, ClusterModel
from actors.cluster.raw import Snapshot
from actors.engine.actor import EngineActor, NewEvidence
from actors.engine.announcer import AnnouncerActor, OnEvent
from actors.engine.ended import EndedRing
from actors.engine.expected import Expected
from actors.engine.nodes import BURST_SECRETS
from actors.parser import ParserActor
from actors.runtime import Backoff, Child, DynamicSpec, Intensity, SupervisorSpec, System
from actors.store import Journal, StoreActor
from actors.store.history import REACH_S

PIPELINE: Final = "pipeline"
PIPELINE_INTENSITY: Final = Intensity(max=10, within_s=60.0)
"""A part that fails more often than this is broken, not unlucky: the process ends and whatever runs it starts it anew."""
PIPELINE_BACKOFF: Final = Backoff(base_s=0.05, cap_s=5.0)
"""The first restart comes at once: an API server waits 30 s for its answer."""


class Parts(Struct, frozen=True):
    """What the pipeline is made of, and what outlives its actors: `journal`, `model`, `ended`, `acts`."""

    journal: Journal
    model: ClusterModel
    snapshots: tuple[Snapshot, ...]
    ended: EndedRing
    write: Callable[[str], Awaitable[bool]]
    """Takes one line of the flip log; whether it could be written."""
    live: LiveSource | None = None
    """A cluster that is watched; None: the snapshots are all there is."""
    kept: KeptCluster | None = None
    """Where a watched cluster is remembered."""
    heartbeat: ApiAccess | None = None
    """Whom to ask for a Secret in order to be denied; None: nobody."""
    cluster_name: str = ""
    ttl_s: float = 300.0
    max_observations: int = 100_000
    history_days: int = 90
    expected: Expected | None = None
    burst_secrets: int = BURST_SECRETS
    first_read_after_s: float = REACH_S
    on_event: OnEvent | None = None
    on_evidence: NewEvidence | None = None
    acts: ActsWindow = field(default_factory=ActsWindow)
    lags_s: Mapping[str, float] = field(default_factory=dict)
    """How much later the logs of managed clusters may come, by their names."""
    audit_log: Path | None = None


class Refs(Struct, frozen=True):
    """The places in the pipeline that the edge talks to."""

    parser: Any
    parser_large: Any
    store: Any
    cluster: Any
    engine: Any
    behaviors: Any
    heartbeat: Any = None


def refs_of(system: System) -> Refs:
    """The refs, valid before, while and after their actors run."""
    base = f"/{system.name}/{PIPELINE}"
    return Refs(
        *(
            system.ref(f"{base}/{name}")
            for name in ("parser", "parser-large", "store", "cluster", "engine", "behaviors", "heartbeat")
        )
    )


def pipeline(system: System, parts: Parts) -> SupervisorSpec:
    """The specification of the whole pipeline, for `System.start`."""
    base = f"/{system.name}/{PIPELINE}"
    store, cluster, router, engine, announcer, behaviors = (
        system.ref(f"{base}/{name}") for name in ("store", "cluster", "router", "engine", "announcer", "behaviors")
    )
    memory_s = parts.ttl_s + max(parts.lags_s.values(), default=0.0) + MEMORY_EXTRA_S
    heartbeat = system.ref(f"{base}/heartbeat") if parts.heartbeat is not None else None
    feeds = Feeds(parts.live.names if parts.live is not None else ())

    def account(key: str) -> Child:
        return Child(key, AccountActor, (account_of(key), store, cluster, engine))

    return SupervisorSpec(
        PIPELINE,
        (
            Child("store", StoreActor, (parts.journal, router), _window(parts), stop_timeout_s=8.0),
            Child("cluster", ClusterActor, (parts.model, parts.snapshots, router, engine, feeds, parts.kept)),
            *(() if parts.live is None else (watchers(parts.live, cluster),)),
            *(() if parts.kept is None else (Child("keeper", KeeperActor, (parts.kept, cluster)),)),
            Child("announcer", AnnouncerActor, (store, engine, parts.write, parts.cluster_name, parts.on_event)),
            Child(
                "engine",
                EngineActor,
                (cluster, router, announcer, parts.ended, behaviors),
                {
                    "memory_s": memory_s,
                    "on_evidence": parts.on_evidence,
                    "expected": parts.expected,
                    "burst_secrets": parts.burst_secrets,
                },
            ),
            Child("behaviors", BehaviorsActor, (parts.acts, cluster, engine)),
            DynamicSpec("accounts", account, max_children=parts.max_observations),
            Child("router", RouterActor, (store, system.dynamic(f"{base}/accounts"), engine)),
            *(() if parts.heartbeat is None else (Child("heartbeat", HeartbeatActor, (parts.heartbeat,)),)),
            Child("parser", ParserActor, (heartbeat, parts.lags_s)),
            Child("parser-large", ParserActor, (heartbeat, parts.lags_s)),
            *_audit_log(system, parts),
        ),
        intensity=PIPELINE_INTENSITY,
        backoff=PIPELINE_BACKOFF,
    )


def _audit_log(system: System, parts: Parts) -> tuple[Child, ...]:
    if parts.audit_log is None:
        return ()
    base = f"/{system.name}/{PIPELINE}"
    refs = system.ref(f"{base}/parser-large"), system.ref(f"{base}/store")
    return (Child("audit-log", AuditLogActor, (parts.audit_log, *refs)),)


def _window(parts: Parts) -> dict[str, Any]:
    return {
        "ttl_s": parts.ttl_s,
        "capacity": parts.max_observations,
        "history_days": parts.history_days,
        "first_read_after_s": parts.first_read_after_s,
    }
