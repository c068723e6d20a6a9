"""What may be asked of the engine, and the answers: the shapes of the outside contract (design 4) as frozen records.

`msgspec.to_builtins` of a view is the JSON of the contract; times in views are RFC 3339 text.
Counterparts: escalation_views.py (answers about escalations), web/api.py, web/pages.py.
"""

from __future__ import annotations

from msgspec import Struct, field

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000

# --- questions -----------------------------------------------------------------------------------------------------


class ChainsQuery(Struct, frozen=True):
    """A page of chains. Answer: ChainPage, or BadCursor."""

    corroborated: bool | None = None
    namespace: str | None = None
    """Of the entry workload."""
    exposure: str | None = None
    secret: tuple[str, str] | None = None
    """(namespace, name): chains that cover it; the corroboration in the answer is of this Secret alone."""
    account: tuple[str, str] | None = None
    signal: str | None = None
    """Chains with live evidence that carries this signal; with `secret`, evidence of that Secret."""
    open: bool | None = None
    """Chains lit by evidence that no entry of the expected readers speaks for; False: all others."""
    cursor: str | None = None
    limit: int = LIMIT_DEFAULT


class ChainQuery(Struct, frozen=True):
    """One chain by id. Answer: ChainView or None."""

    id: str


class EvidenceQuery(Struct, frozen=True):
    """A page of evidence, newest first. Answer: EvidencePage, or BadCursor."""

    live: bool | None = None
    namespace: str | None = None
    """Of the account."""
    secret: tuple[str, str] | None = None
    """Evidence of reads that covered it (a collection read of its namespace included)."""
    account: tuple[str, str] | None = None
    signal: str | None = None
    cursor: str | None = None
    limit: int = LIMIT_DEFAULT


class SecretQuery(Struct, frozen=True):
    """Who may read this Secret, who mounts it, who reads it. Answer: SecretView (empty lists where nothing is known)."""

    namespace: str
    name: str


class EscalationsQuery(Struct, frozen=True):
    """A page of escalations: ways to Secrets that are no read of one. Answer: EscalationPage, or BadCursor."""

    namespace: str | None = None
    """Of the entry workload."""
    exposure: str | None = None
    account: tuple[str, str] | None = None
    secret: tuple[str, str] | None = None
    """(namespace, name): escalations that lead to it."""
    edge: str | None = None
    cursor: str | None = None
    limit: int = LIMIT_DEFAULT


class EngineStatusQuery(Struct, frozen=True):
    """Answer: EngineStatus."""


class BadCursor(Struct, frozen=True):
    """The cursor is none that this engine gave out."""


# --- answers: the contract's shapes ----------------------------------------------------------------------------------


class NameView(Struct, frozen=True, gc=False):
    """namespace and name; null where the contract says so."""

    namespace: str | None
    name: str | None


class ObjectView(Struct, frozen=True, gc=False):
    """kind, namespace (null: cluster-scoped) and name."""

    kind: str
    namespace: str | None
    name: str


class EntryView(Struct, frozen=True, gc=False):
    """The workload at the start of a chain."""

    kind: str
    namespace: str
    name: str
    exposure: str
    exposure_reason: str
    pods: list[str]
    usable_token: bool | None
    """Whether any of its pods gets a token of the account; null where no account is asked (mounted). A lit chain without one was
    used with a token from elsewhere, or before."""


class GrantView(Struct, frozen=True, gc=False):
    """What grants: null for a mounted chain."""

    binding: ObjectView
    role: ObjectView
    verbs: list[str]
    revoked: bool


class GrantNameView(Struct, frozen=True, gc=False):
    """A binding and its role."""

    binding: ObjectView
    role: ObjectView


class SecretStateView(Struct, frozen=True, gc=False):
    """One known Secret inside a chain."""

    namespace: str
    name: str
    corroborated: bool
    expires_at: str | None


class BehaviorView(Struct, frozen=True, gc=False, omit_defaults=True):
    """The behavior as runtime agents would write it: `source` is left out of a mounted read, and whatever its kind does not have."""

    kind: str
    secret: str | None = None
    source: str | None = None
    rule: str | None = None
    path: str | None = None
    peer: str | None = None
    internet: bool | None = None
    name: str | None = None
    from_uid: int | None = None
    to_uid: int | None = None
    summary: str = ""
    """For people; not on the wire of agents."""


class EvidenceView(Struct, frozen=True, gc=False):
    """One piece of evidence."""

    service_account: NameView
    secret: NameView
    behavior: BehaviorView
    verb: str | None
    """None: no request to the API server, a sensor reported it."""
    attribution: str
    workloads: list[ObjectView]
    pods: list[str]
    observed_at: str
    first_seen: str
    count: int
    live: bool
    held_open: bool
    expires_at: str | None
    source_ip: str | None
    user_agent: str | None
    credential_id: str | None
    audit_id: str
    granted_by: list[GrantNameView]
    explained: bool | None
    signals: list[str]
    chains: list[str]
    expected: str | None = None
    """Why it is expected; null: it is not."""
    via: str = ""
    """The managed cluster's log that the newest read came by; "": from the API server, or from a sensor."""
    unsaid: list[str] = field(default_factory=list)
    """What that log does not say of any read (docs/how-to/managed-clusters.md)."""


class ChainView(Struct, frozen=True, gc=False):
    """One chain."""

    id: str
    entry: EntryView
    service_account: NameView | None
    reach: str
    grant: GrantView | None
    objective: NameView
    technique: str
    breach_relevant: bool
    corroborated: bool
    corroboration: str | None
    corroborated_by: list[str]
    expires_at: str | None
    secrets: list[SecretStateView]
    secrets_total: int
    """Known Secrets of the scope; `secrets` holds at most the first 1,000, the corroborated ones first (fewer in a long page)."""
    evidence: list[EvidenceView]
    open: bool = False
    """Corroborated by evidence that is not expected: a finding."""
    cut: list[str] | None = None
    """What to cut to end it, in words, the first first. Only in the answer for one chain; null elsewhere."""


class ChainPage(Struct, frozen=True):
    """A page of chains; `total` counts all that the filters let through."""

    revision: int
    chains: list[ChainView]
    next_cursor: str | None
    total: int


class EvidencePage(Struct, frozen=True):
    """A page of evidence."""

    revision: int
    evidence: list[EvidenceView]
    next_cursor: str | None


class ReaderView(Struct, frozen=True, gc=False):
    """An account that may read the Secret."""

    service_account: NameView
    workloads: list[ObjectView]
    verbs: list[str]
    grants: list[GrantNameView]
    chains: list[str]
    without_token: list[ObjectView]
    """Workloads that run as the account and get no token of it: they cannot use these grants by themselves."""


class SecretView(Struct, frozen=True, gc=False):
    """Everything about one Secret's readers."""

    secret: NameView
    readers: list[ReaderView]
    mounted_by: list[ObjectView]
    evidence: list[EvidenceView]


class EngineStatus(Struct, frozen=True):
    """Counts of the engine; `touched` is the number of objects that the last events touched, in all."""

    revision: int
    ready: bool
    """Cluster in sync and evidence complete since the start."""
    chains: int
    corroborated: int
    evidence_live: int
    evidence_ended: int
    unexplained: int
    disagreements: int
    touched: int
    open: int = 0
    """Chains lit by evidence that is not expected."""
    gone: int = 0
    """Live evidence whose claimed pod is unknown (attribution `gone`)."""
    escalations: int = 0
    """Ways of live workloads to Secrets that are no reads."""
    escalations_at_bound: int = 0
    """Workloads with as many of them as are kept: there may be more."""
