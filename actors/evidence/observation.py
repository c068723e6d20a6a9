"""Observations (all reads of one account, scope, verb and pod in the window), and evidence (an observation with its attribution).

Observations are made by the store, evidence by an account's attribution actor; the engine joins evidence with grants.
"""

from __future__ import annotations

import enum

from msgspec import Struct

from actors.evidence.names import Account, PodClaim, Scope, Workload
from actors.evidence.read import GrantName, Read


class ObservationKey(Struct, frozen=True, gc=False, cache_hash=True, array_like=True):
    """What tells the observations of one account apart.

    A record and not a tuple: a dict with such keys is none of the garbage collector's business, and its hash is worked out once.
    With a million observations, a collector that looks at every key stops the loop for tenths of a second.
    """

    verb: str
    namespace: str | None
    name: str | None
    pod: str | None
    uid: str | None
    borrowed: bool


def observation_key(read: Read) -> ObservationKey:
    """The observation of its account that this read belongs to."""
    claim, scope = read.claim, read.scope
    if claim is None:
        return ObservationKey(read.verb, scope.namespace, scope.name, None, None, read.borrowed)
    return ObservationKey(read.verb, scope.namespace, scope.name, claim.name, claim.uid, read.borrowed)


class NamedGrant(Struct, frozen=True, gc=False):
    """A grant that the API server named in a read of this observation, and until when that read is live."""

    grant: GrantName
    live_until: float


class SeenSource(Struct, frozen=True, gc=False):
    """An address that live reads of this observation came from. Times: epoch seconds."""

    address: str
    live_until: float
    """Until when a read from there is live."""
    at: float
    """When the newest of them was made."""


class Observation(Struct, frozen=True, gc=False):
    """What the window holds of one (account, scope, verb, pod); a new value replaces it with every change. Times: epoch seconds."""

    key: ObservationKey
    last: Read
    """The newest read by event time: its address, agent, credential and audit id are what is shown."""
    first_seen: float
    arrived_at: float
    """When its newest read was received here."""
    count: int
    """Requests; the two stages of one watch are one."""
    live_until: float
    """Until when it is evidence of reading now."""
    held_open_until: float
    """Until when a watch of it may still be open; 0.0 when none is."""
    named: tuple[NamedGrant, ...]
    """What the API server's reasons named, newest first, at most 8. Of the first the time may be behind: see `proofs`."""
    version: int
    """The store's version at its last change."""
    first_read: bool = False
    """This account never read this Secret before, though history reaches back 24 h."""
    sources: tuple[SeenSource, ...] = ()
    """Where its live reads came from, newest first, at most 8 addresses. Of the first the times may be behind: see `seen_from`."""

    @property
    def proofs(self) -> tuple[NamedGrant, ...]:
        """`named` with the first brought up to date: as long as one grant goes on being named, the window leaves it as it is."""
        named, last = self.named, self.last
        if not named or last.named is None or last.verb == "watch":
            return named
        head = named[0]
        if head.live_until == self.live_until or (head.grant is not last.named and head.grant != last.named):
            return named
        return (NamedGrant(head.grant, self.live_until), *named[1:])

    @property
    def seen_from(self) -> tuple[SeenSource, ...]:
        """`sources` with the first brought up to date: as long as one address goes on reading, the window leaves it as it is."""
        sources, last = self.sources, self.last
        if not sources or last.verb == "watch" or sources[0].address != last.source_ip:
            return sources
        return (SeenSource(sources[0].address, self.live_until, last.at), *sources[1:])

    @property
    def account(self) -> Account:
        """Whose reads these are."""
        return self.last.account

    @property
    def scope(self) -> Scope:
        """Which Secrets were asked for."""
        return self.last.scope

    @property
    def verb(self) -> str:
        """get, list or watch."""
        return self.last.verb

    @property
    def claim(self) -> PodClaim | None:
        """The pod that the token was bound to, as the API server authenticated it."""
        return self.last.claim

    @property
    def observed_at(self) -> float:
        """Event time of the newest read."""
        return self.last.at

    @property
    def borrowed(self) -> bool:
        """Whether it was made as somebody else."""
        return self.last.borrowed


class Attribution(enum.Enum):
    """How sure it is which workload made a read, strongest first (design 3, Attribution)."""

    EXACT = "exact"
    """The claimed uid is, or was, a pod of that account."""
    NAMED = "named"
    """No uid is claimed, and the claimed name is a pod of that account."""
    SHARED = "shared"
    """No pod claim: every workload of the account."""
    GONE = "gone"
    """The claimed pod is unknown, or another account's."""
    PODLESS = "podless"
    """No pod runs as that account."""


class Signal(enum.StrEnum):
    """What is unusual about a piece of evidence (design 3, Signals)."""

    UNEXPLAINED = "unexplained"
    PODLESS = "podless"
    GONE_POD = "gone_pod"
    UNBOUND_TOKEN = "unbound_token"  # noqa: S105 - the name of a signal, no token
    FOREIGN_SOURCE_IP = "foreign_source_ip"
    FIRST_READ = "first_read"
    CROSS_NAMESPACE = "cross_namespace"
    COLLECTION_READ = "collection_read"
    BURST = "burst"
    IMPERSONATED = "impersonated"


class Evidence(Struct, frozen=True, gc=False):
    """An observation and who made it. `signals` here are those that need only the observation and the account's pods."""

    observation: Observation
    attribution: Attribution
    workloads: tuple[Workload, ...]
    pods: tuple[str, ...]
    """Names of the pods it is attributed to; for SHARED the live pods of the account, at most 20."""
    signals: tuple[Signal, ...]
