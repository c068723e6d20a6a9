"""Stand-ins for what the dashboard is shown from: refs that answer from a table, a made-up cluster, a tree of actors."""

from __future__ import annotations

from typing import Any

from actors.cluster.live.heartbeat import HeartbeatQuery, HeartbeatState, HeartbeatStatus
from actors.cluster.queries import ClusterStatistics, ClusterStatus, ClusterStatusQuery, KindStatus
from actors.engine.escalation_views import EscalationPage, EscalationView, ReachedAccountView
from actors.engine.queries import (
    BadCursor,
    BehaviorView,
    ChainPage,
    ChainQuery,
    ChainsQuery,
    ChainView,
    EngineStatus,
    EngineStatusQuery,
    EntryView,
    EscalationsQuery,
    EvidencePage,
    EvidenceQuery,
    EvidenceView,
    GrantNameView,
    GrantView,
    NameView,
    ObjectView,
    ReaderView,
    SecretQuery,
    SecretStateView,
    SecretView,
)
from actors.evidence.times import rfc3339
from actors.runtime import ActorSnapshot, Failure, MailboxSnapshot, Percentiles, RestartsSnapshot
from actors.store.digests import DigestStatistics
from actors.store.entries import WindowStatistics
from actors.store.history import HistoryStatistics
from actors.store.journal import JournalStatistics
from actors.store.queries import ActorStatistics, SenderStatus, StoreCounts, StoreStatus, StoreStatusQuery
from web.events import EventHub
from web.sources import Sources

NOW = 1_800_000_000.0


class FixedClock:
    """A clock that stands where it is put."""

    def __init__(self, at: float = NOW) -> None:
        self.at = at

    def now(self) -> float:
        return self.at


class Ref:
    """Answers by the type of the question: a value, a function of the question, or an exception to raise."""

    def __init__(self, answers: dict[type, Any]) -> None:
        self.answers = answers
        self.asked: list[Any] = []

    async def ask(self, message: Any, *, timeout_s: float | None = None) -> Any:
        assert timeout_s is not None, "an ask without a bound"
        self.asked.append(message)
        answer = self.answers[type(message)]
        if isinstance(answer, Exception):
            raise answer
        return answer(message) if callable(answer) else answer


class Tree:
    """A system whose snapshot is this."""

    def __init__(self, root: ActorSnapshot) -> None:
        self.root = root

    def snapshot(self) -> ActorSnapshot:
        return self.root


def evidence(
    account: str = "reader-sa", secret: str | None = "db-creds", *, namespace: str | None = "app", **changes: Any
) -> EvidenceView:
    """A live get of app/db-creds by app/reader-sa, or what `changes` make of it."""
    scope = f"{namespace or '*'}/{secret or '*'}"
    values: dict[str, Any] = {
        "service_account": NameView("app", account),
        "secret": NameView(namespace, secret),
        "behavior": BehaviorView("secret_read", scope, "api"),
        "verb": "get" if secret else "list",
        "attribution": "exact",
        "workloads": [ObjectView("Deployment", "app", "web")],
        "pods": ["web-7d9c5b4f6-x2x8p"],
        "observed_at": rfc3339(NOW - 12),
        "first_seen": rfc3339(NOW - 190),
        "count": 3,
        "live": True,
        "held_open": False,
        "expires_at": rfc3339(NOW + 288),
        "source_ip": "10.244.1.17",
        "user_agent": "python-requests/2.32.3",
        "credential_id": "JTI=0d5b2a3c-6c6e-4c2c-9a55-1c2f0d5a4a9e",
        "audit_id": "f6d1f6a2-3a31-4b07-a0fc-5fd42b53a8c4",
        "granted_by": [
            GrantNameView(
                ObjectView("RoleBinding", "app", "read-db-creds"), ObjectView("Role", "app", "db-creds-reader")
            )
        ],
        "explained": True,
        "signals": ["first_read"],
        "chains": ["c1"],
    }
    return EvidenceView(**(values | changes))


def chain(chain_id: str = "c1", **changes: Any) -> ChainView:
    """Deployment app/web proven to read app/db-creds, or what `changes` make of it."""
    values: dict[str, Any] = {
        "id": chain_id,
        "entry": EntryView(
            "Deployment", "app", "web", "internet", "Service app/web is a LoadBalancer", ["web-7d9c5b4f6-x2x8p"], True
        ),
        "service_account": NameView("app", "reader-sa"),
        "reach": "rbac-granted",
        "grant": GrantView(
            ObjectView("RoleBinding", "app", "read-db-creds"),
            ObjectView("Role", "app", "db-creds-reader"),
            ["get"],
            False,
        ),
        "objective": NameView("app", "db-creds"),
        "technique": "T1552",
        "breach_relevant": True,
        "corroborated": True,
        "corroboration": "proven",
        "corroborated_by": ["read"],
        "expires_at": rfc3339(NOW + 288),
        "secrets": [SecretStateView("app", "db-creds", True, rfc3339(NOW + 288))],
        "secrets_total": 1,
        "evidence": [evidence()],
    }
    values |= changes
    values.setdefault("open", values["corroborated"])
    values.setdefault(
        "cut", ["Delete RoleBinding/app/read-db-creds, or take ServiceAccount app/reader-sa out of its subjects."]
    )
    return ChainView(**values)


DARK: dict[str, Any] = {
    "corroborated": False,
    "corroboration": None,
    "corroborated_by": [],
    "expires_at": None,
    "evidence": [],
    "secrets": [SecretStateView("app", "db-creds", False, None)],
}
"""What makes a chain not corroborated."""


def chains() -> list[ChainView]:
    """One of each: proven, possible and wide, dark, mounted."""
    worker = EntryView(
        "CronJob", "ops", "nightly-report", "internal", "no Service selects its pods", ["nightly-report-2"], False
    )
    wide = GrantView(
        ObjectView("ClusterRoleBinding", None, "ops-secrets"),
        ObjectView("ClusterRole", None, "secret-lister"),
        ["list", "watch"],
        False,
    )
    return [
        chain("c1"),
        chain(
            "c2",
            entry=EntryView(
                "StatefulSet",
                "vault",
                "agent",
                "cluster",
                "Service vault/agent is a ClusterIP",
                ["agent-0", "agent-1"],
                True,
            ),
            service_account=NameView("vault", "agent"),
            grant=wide,
            objective=NameView(None, None),
            breach_relevant=False,
            corroboration="possible",
            secrets=[
                SecretStateView("app", "db-creds", True, rfc3339(NOW + 120)),
                SecretStateView("ops", "smtp", False, None),
            ],
            secrets_total=2,
            expires_at=rfc3339(NOW + 120),
            evidence=[
                evidence(
                    "agent", None, namespace=None, signals=["collection_read", "cross_namespace"], attribution="shared"
                )
            ],
        ),
        chain(
            "c3",
            **DARK
            | {
                "entry": worker,
                "service_account": NameView("ops", "report"),
                "objective": NameView("ops", None),
                "breach_relevant": False,
                "secrets_total": 14,
            },
        ),
        chain(
            "c4",
            **DARK
            | {
                "reach": "mounted",
                "grant": None,
                "service_account": NameView("app", "reader-sa"),
                "objective": NameView("app", "tls"),
            },
        ),
    ]


def node(path: str, children: tuple[ActorSnapshot, ...] = (), **changes: Any) -> ActorSnapshot:
    """An actor of the tree, running and idle."""
    name = path.rpartition("/")[2]
    values: dict[str, Any] = {
        "path": path,
        "actor": "Supervisor" if children else f"{name.partition('.')[0].title()}Actor",
        "state": "running",
        "strategy": "one_for_one" if children else None,
        "restarts": RestartsSnapshot(count=0, within_s=30.0, max=5),
        "incarnation": 1,
        "uptime_s": 4210.5,
        "retry_in_s": None,
        "mailbox": MailboxSnapshot(depth=0, capacity=1000, high_water=4, overflows=0, oldest_s=0.0),
        "handled": 1204,
        "failed": 0,
        "wait_ms": Percentiles(p50=0.05, p99=1.4),
        "handle_ms": Percentiles(p50=0.31, p99=4.8),
        "handling": None,
        "message_types": {"Refresh": 1200, "PodsChanged": 4},
        "last_failure": None,
        "children": children,
    }
    return ActorSnapshot(**(values | changes))


def tree(accounts: tuple[str, ...] = ("app.reader-sa", "vault.agent")) -> ActorSnapshot:
    """The product's tree, with an actor for each of these accounts."""
    base = "/protector/pipeline"
    failure = Failure(
        NOW - 34, "WatchClosed from ReadError", None, ("cluster/source.py:88 watch", "cluster/source.py:121 read")
    )
    busy = MailboxSnapshot(depth=130, capacity=1000, high_water=611, overflows=0, oldest_s=0.2)
    return node(
        "/protector",
        (
            node(
                base,
                (
                    node(
                        f"{base}/cluster",
                        incarnation=3,
                        restarts=RestartsSnapshot(count=2, within_s=30.0, max=5),
                        last_failure=failure,
                        failed=2,
                    ),
                    node(f"{base}/parser"),
                    node(f"{base}/store", mailbox=busy),
                    node(
                        f"{base}/accounts",
                        tuple(node(f"{base}/accounts/{name}") for name in accounts),
                        actor="DynamicSupervisor",
                    ),
                    node(f"{base}/engine"),
                ),
                strategy="rest_for_one",
            ),
            node("/protector/edge", (node("/protector/edge/audit"), node("/protector/edge/dashboard"))),
        ),
    )


def store_status(last_batch_at: float | None = NOW - 3, **changes: Any) -> StoreStatus:
    """A store that had a batch three seconds ago."""
    sender = SenderStatus(peer="10.0.0.5", last_batch_at=NOW - 3, lag_s=1.5, skew_s=0.0)
    values: dict[str, Any] = {
        "counts": StoreCounts(
            batches=812,
            duplicates=3,
            events=48210,
            reads=911,
            new=77,
            dropped={"not_allowed": 12, "not_secrets": 44019},
            borrowed=1,
            late=2,
            evicted=0,
        ),
        "observations": 77,
        "capacity": 100_000,
        "last_batch_at": last_batch_at,
        "lag_s": None if last_batch_at is None else 1.5,
        "senders": () if last_batch_at is None else (sender,),
    }
    parts = {"journal": JournalStatistics, "window": WindowStatistics, "digests": DigestStatistics}
    parts |= {"history": HistoryStatistics, "actor": ActorStatistics}
    zeros = {name: made(**dict.fromkeys(made.__struct_fields__, 0)) for name, made in parts.items()}
    return StoreStatus(**(zeros | values | changes))


def engine_status(**changes: Any) -> EngineStatus:
    """A ready engine."""
    values: dict[str, Any] = {
        "revision": 41,
        "ready": True,
        "chains": 4,
        "corroborated": 2,
        "evidence_live": 5,
        "evidence_ended": 9,
        "unexplained": 1,
        "disagreements": 0,
        "touched": 1200,
    }
    return EngineStatus(**(values | changes))


def cluster_status(objects: dict[str, KindStatus]) -> ClusterStatus:
    """A cluster that knows these."""
    counts = dict.fromkeys(ClusterStatistics.__struct_fields__, 0)
    return ClusterStatus(objects=objects, malformed=0, unknown={}, statistics=ClusterStatistics(**counts))


def escalations() -> list[EscalationView]:
    """One that leads to every Secret of a namespace, one over named pods, one that leads to nothing that is known."""
    entry = EntryView("Deployment", "app", "web", "internet", "Service app/web is a LoadBalancer", ["web-1"], True)
    grant = GrantNameView(ObjectView("RoleBinding", "app", "deployer"), ObjectView("ClusterRole", None, "edit"))
    values: dict[str, Any] = {
        "entry": entry,
        "service_account": NameView("app", "deployer"),
        "reach": "escalation",
        "verbs": ["create"],
        "names": None,
        "namespace": "app",
        "grants": [grant],
        "objective": None,
        "accounts": [],
        "accounts_more": False,
        "mounted": [],
        "mounted_more": False,
        "latent": False,
        "breach_relevant": True,
    }
    reached = [
        ReachedAccountView(NameView("app", "reader-sa"), [NameView("app", "db-creds")]),
        ReachedAccountView(NameView("app", None), [NameView("app", None)]),
        ReachedAccountView(NameView(None, None), []),
    ]
    wide = {"objective": NameView("app", None), "accounts": reached, "through": "secrets"}
    named = {"names": ["web-1", "web-2", "web-3", "web-4"], "mounted": [NameView("app", "tls")], "mounted_more": True}
    return [
        EscalationView(**values | wide, id="e1", edge="create_pods", technique="T1610"),
        EscalationView(**values | named, id="e2", edge="exec", technique="T1609", through="pods"),
        EscalationView(
            **values | {"latent": True, "namespace": None, "grants": [grant, grant]},
            id="e3",
            edge="create_tokens",
            technique="T1528",
            through="accounts",
        ),
    ]


def escalation_page(query: EscalationsQuery) -> EscalationPage | BadCursor:
    """All of them, but for those of another edge."""
    if query.cursor is not None:
        return BadCursor()
    found = [each for each in escalations() if query.edge in (None, each.edge)]
    return EscalationPage(found, None, len(found) if query.edge is None else None)


def secret_view(query: SecretQuery) -> SecretView:
    """One reader by RBAC, one workload that mounts it."""
    reader = ReaderView(
        NameView("app", "reader-sa"),
        [ObjectView("Deployment", "app", "web")],
        ["get"],
        evidence().granted_by,
        ["c1"],
        [ObjectView("Deployment", "app", "mute")],
    )
    return SecretView(
        NameView(query.namespace, query.name), [reader], [ObjectView("Deployment", "app", "api")], [evidence()]
    )


def beating(state: HeartbeatState = HeartbeatState.ALIVE, why: str = "") -> Ref:
    """A heartbeat that answers."""
    return Ref({HeartbeatQuery: HeartbeatStatus(state, why, 4, 3, 1000.0, 1001.0, 1.5, {"10.0.0.5": 1001.0})})


def made_up(found: list[ChainView] | None = None, seen: list[EvidenceView] | None = None, **changes: Any) -> Sources:
    """Sources over stand-ins. `changes` replace fields of Sources."""
    known = chains() if found is None else found
    pieces = (
        [evidence(), evidence("agent", None, namespace=None, signals=["collection_read"], explained=False)]
        if seen is None
        else seen
    )

    def chain_page(query: ChainsQuery) -> ChainPage | BadCursor:
        if query.cursor is not None and not query.cursor.isdigit():
            return BadCursor()
        some = [c for c in known if query.corroborated in (None, c.corroborated)]
        start = int(query.cursor or 0)
        after = start + query.limit
        return ChainPage(41, some[start:after], str(after) if after < len(some) else None, len(some))

    def evidence_page(query: EvidenceQuery) -> EvidencePage | BadCursor:
        if query.cursor is not None and not query.cursor.isdigit():
            return BadCursor()
        start = int(query.cursor or 0)
        after = start + query.limit
        return EvidencePage(41, pieces[start:after], str(after) if after < len(pieces) else None)

    engine = Ref(
        {
            ChainsQuery: chain_page,
            ChainQuery: lambda query: next((c for c in known if c.id == query.id), None),
            EvidenceQuery: evidence_page,
            EscalationsQuery: escalation_page,
            SecretQuery: secret_view,
            EngineStatusQuery: engine_status(),
        }
    )
    objects = {
        kind: KindStatus(count=count, synced=True, age_s=4.0)
        for kind, count in (("Pod", 212), ("Role", 31), ("RoleBinding", 40))
    }
    values: dict[str, Any] = {
        "engine": engine,
        "store": Ref({StoreStatusQuery: store_status()}),
        "cluster": Ref({ClusterStatusQuery: cluster_status(objects)}),
        "system": Tree(tree()),
        "hub": EventHub("t"),
        "clock": FixedClock(),
        "version": "0.1.0",
        "cluster_name": "shop-eu-1",
        "started_at": NOW - 4210.5,
    }
    return Sources(**(values | changes))
