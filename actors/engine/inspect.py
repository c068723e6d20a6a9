"""One Secret's readers, and the engine's own counts. Pure; counterparts: queries.py, listing.py."""

from __future__ import annotations

from itertools import islice
from typing import Final

from actors.engine.core import Engine
from actors.engine.listing import Listing
from actors.engine.nodes import AccountNode, Chain
from actors.engine.queries import (
    EngineStatus,
    EvidenceQuery,
    GrantNameView,
    NameView,
    ReaderView,
    SecretQuery,
    SecretView,
)
from actors.engine.views import object_view
from actors.evidence import Account
from actors.grants import Reader, readers_of

READERS_MAX: Final = 1000
"""Accounts in one answer, those with workloads first."""
EVIDENCE_MAX: Final = 100
"""Pieces of evidence in one answer, the newest."""


def secret_view(engine: Engine, listing: Listing, query: SecretQuery, now: float) -> SecretView:
    """Who may read this Secret (with or without workloads), who mounts it, and the evidence of reads that covered it."""
    engine.tick(now)
    graph = engine.graph
    secret = (query.namespace, query.name)
    over: dict[Account, list[Chain]] = {}
    mounted_by = []
    for chain in graph.chains.over(secret):
        if chain.entry is None:
            mounted_by.append(chain.node.workload)
        else:
            over.setdefault(chain.entry.account.account, []).append(chain)
    others = sorted({*graph.accounts, *graph.grants.named_accounts()} - set(over))
    candidates = readers_of(graph.grants, query.namespace, query.name, [*sorted(over), *others])
    page = listing.evidence(EvidenceQuery(secret=secret, limit=EVIDENCE_MAX), now)
    return SecretView(
        secret=NameView(*secret),
        readers=[
            _reader_view(reader, over.get(reader.account, []), graph.accounts.get(reader.account))
            for reader in islice(candidates, READERS_MAX)
        ],
        mounted_by=[object_view(workload) for workload in sorted(mounted_by)],
        evidence=getattr(page, "evidence", []),
    )


def _reader_view(reader: Reader, chains: list[Chain], node: AccountNode | None) -> ReaderView:
    entries = () if node is None else tuple(node.entries.values())
    return ReaderView(
        service_account=NameView(reader.account.namespace, reader.account.name),
        workloads=[object_view(workload) for workload in sorted({chain.node.workload for chain in chains})],
        verbs=list(reader.verbs),
        grants=[GrantNameView(object_view(grant.binding), object_view(grant.role)) for grant in reader.grants],
        chains=sorted(chain.id for chain in chains),
        without_token=[
            object_view(workload)
            for workload in sorted(entry.node.workload for entry in entries if entry.pods and not entry.tokens)
        ],
    )


def status_view(engine: Engine, now: float, *, ready: bool) -> EngineStatus:
    """Counts, for pages and metrics."""
    engine.tick(now)
    chains = engine.graph.chains
    return EngineStatus(
        revision=engine.revision,
        ready=ready,
        chains=len(chains.by_id),
        corroborated=len(chains.lit),
        open=chains.open,
        evidence_live=engine.lights.live,
        evidence_ended=len(engine.ended),
        unexplained=engine.judge.unexplained,
        disagreements=engine.judge.disagreements,
        touched=engine.touched,
        gone=engine.lights.gone,
        escalations=engine.graph.escalating.total,
        escalations_at_bound=engine.graph.escalating.at_bound,
    )
