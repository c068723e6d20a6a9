"""The answers of the JSON API as frozen records; docs/openapi.yaml is held against them (design 4 is their contract).

What the engine answers is passed on as it is (actors/engine/queries.py); here is what is put around it. Counterpart: web/api.py.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from actors.engine.escalation_views import EscalationView
from actors.engine.queries import (
    ChainView,
    EvidenceView,
    NameView,
    SecretView,
)
from web.sources import FeedState, FeedView

__all__ = [
    "ANSWERS",
    "ChainAnswer",
    "ChainsAnswer",
    "CountsView",
    "ErrorAnswer",
    "EscalationsAnswer",
    "EvidenceAnswer",
    "FeedStatusView",
    "HeartbeatView",
    "HistoryReadsAnswer",
    "HistoryRowView",
    "KindView",
    "SecretAnswer",
    "SenderView",
    "StatusAnswer",
    "WindowView",
]


class ErrorAnswer(Struct, frozen=True):
    """Why there is no other answer."""

    error: str


class ChainsAnswer(Struct, frozen=True):
    """A page of chains. `revision` rises when something changes that this list answers; `total` counts over all pages."""

    revision: int
    feed: FeedView
    chains: list[ChainView]
    next_cursor: str | None
    total: int


class ChainAnswer(ChainView, frozen=True, kw_only=True):
    """One chain."""

    feed: FeedView


class EvidenceAnswer(Struct, frozen=True):
    """A page of evidence, newest first: what is live, and what ended or came late in the last hour."""

    revision: int
    feed: FeedView
    evidence: list[EvidenceView]
    next_cursor: str | None


class EscalationsAnswer(Struct, frozen=True):
    """A page of escalations. `total`: over all pages, null under filters; a page may be short and have a cursor all the same."""

    escalations: list[EscalationView]
    next_cursor: str | None
    total: int | None


class SecretAnswer(SecretView, frozen=True, kw_only=True):
    """Who may read one Secret, who mounts it, who reads it."""

    feed: FeedView


class SenderView(Struct, frozen=True, omit_defaults=True):
    """One API server (or forwarder), by its address. lag_s: age of its newest event on arrival; skew_s: its clock ahead of ours;
    heartbeat_at: when it last brought back a heartbeat (absent: never)."""

    peer: str
    last_batch_at: str
    lag_s: float | None
    skew_s: float | None
    heartbeat_at: str | None = None


class HeartbeatView(Struct, frozen=True):
    """Whether protector's own denied requests come back. lag_s: from the request to its event's arrival."""

    state: Literal["waiting", "alive", "blind", "unreachable", "unusable"]
    why: str
    sent: int
    returned: int
    last_sent_at: str | None
    last_returned_at: str | None
    lag_s: float | None


class FeedStatusView(Struct, frozen=True, omit_defaults=True):
    """The feed and its senders; heartbeat: absent where it is off."""

    state: FeedState
    last_batch_at: str | None
    lag_s: float | None
    senders: list[SenderView]
    heartbeat: HeartbeatView | None = None


class CountsView(Struct, frozen=True):
    """Counts since the start."""

    batches: int
    duplicates: int
    events: int
    reads: int
    new: int
    dropped: dict[str, int]
    borrowed: int
    late: int
    evicted: int
    disagreements: int


class WindowView(Struct, frozen=True):
    """Observations in the window, and how many it holds."""

    observations: int
    capacity: int


class KindView(Struct, frozen=True, omit_defaults=True):
    """Objects of one kind: how many, whether read to the end once, seconds since the last word of their source, how that stands (live
    sources only)."""

    count: int
    synced: bool
    age_s: float | None
    state: str = "read"
    why: str = ""


class StatusAnswer(Struct, frozen=True):
    """What this process knows of itself."""

    version: str
    cluster: str
    uptime_s: float
    revision: int
    feed: FeedStatusView
    counts: CountsView
    window: WindowView
    objects: dict[str, KindView]


class HistoryRowView(Struct, frozen=True):
    """Reads of one account, scope and verb, as far back as history goes."""

    service_account: NameView
    secret: NameView
    verb: str
    first_seen: str
    last_seen: str
    count: int


class HistoryReadsAnswer(Struct, frozen=True):
    """A page of history. `since`: from when on everything is known; what was read before is not."""

    since: str | None
    history: list[HistoryRowView]
    next_cursor: str | None


ANSWERS: Final = (
    ChainsAnswer,
    ChainAnswer,
    EscalationsAnswer,
    EvidenceAnswer,
    HistoryReadsAnswer,
    SecretAnswer,
    StatusAnswer,
    ErrorAnswer,
)
"""Every answer with a schema of its own; docs/openapi.yaml is held against them."""
