"""The engine's own objects: workloads, accounts, entries, chains, and the evidence that lights them. No logic but their own.

They are mutable and compared by identity; everything they refer to that came from outside is a frozen record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Final, Literal

import msgspec
from sortedcontainers import SortedDict

from actors.engine.acts import WorkloadActs
from actors.engine.expected import Entry as ExpectedEntry
from actors.engine.exposure import UNEXPOSED, Exposure, PodShape
from actors.engine.granted import ChainKey, EdgesOf, Granted
from actors.engine.light import Light
from actors.engine.secrets import SecretName
from actors.evidence import (
    Account,
    Attribution,
    Evidence,
    GrantName,
    Observation,
    ObservationKey,
    Scope,
    Signal,
    Workload,
)
from actors.grants import Grant

PODS_SHOWN_MAX: Final = 100
"""Names of pods in a chain's entry, the first by name."""
BURST_SECRETS: Final = 20
"""So many distinct Secrets of one account in the window are a burst, where nothing else is set (design 3, Signals)."""

Reach = Literal["rbac-granted", "mounted"]


class WorkloadNode:
    """A workload with what its pods add up to. `exposure` is kept by the graph."""

    __slots__ = (
        "acts", "entries", "exposure", "live_shapes", "mounted", "mounts", "past_shapes", "pods", "shown", "workload",
    )  # fmt: skip

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.acts: WorkloadActs | None = None
        """What sensors reported of it, while anything is live."""
        self.entries: dict[Account, Entry] = {}
        self.pods: SortedDict[str, int] = SortedDict()
        """Names of live, unfinished pods."""
        self.live_shapes: dict[PodShape, int] = {}
        self.past_shapes: dict[PodShape, int] = {}
        """Of finished and remembered pods: they decide about exposure while there is no other."""
        self.mounts: dict[str, int] = {}
        """Secrets that live, unfinished pods mount."""
        self.mounted: dict[str, Chain] = {}
        self.exposure: Exposure = UNEXPOSED
        self.shown: tuple[str, ...] = ()
        """The pods that answers name."""

    @property
    def shapes(self) -> Iterable[PodShape]:
        """The shapes that decide about exposure."""
        return self.live_shapes or self.past_shapes

    def chains(self) -> list[Chain]:
        """All chains that start here."""
        return [*self.mounted.values(), *(chain for entry in self.entries.values() for chain in entry.chains.values())]


class Entry:
    """A workload as one account: where rbac-granted chains start."""

    __slots__ = ("account", "chains", "escalates", "known", "node", "pods", "shown", "tokens", "usable")

    def __init__(self, node: WorkloadNode, account: AccountNode) -> None:
        self.node = node
        self.account = account
        self.pods: SortedDict[str, int] = SortedDict()
        self.shown: tuple[str, ...] = ()
        """The pods that answers name."""
        self.tokens = 0
        """Live, unfinished pods that get a bound token."""
        self.known = 0
        """Pods of any state, remembered ones included."""
        self.usable = False
        """Whether its chains are listed without a read."""
        self.chains: dict[ChainKey, Chain] = {}
        self.escalates = 0
        """How many escalations are counted of it; Escalating keeps it."""


class AccountNode(Granted):
    """A ServiceAccount: its grants, the workloads that run as it, its live evidence."""

    __slots__ = (
        "account", "burst_secrets", "by_secret", "collections", "entries", "expected", "heard", "items", "lighting", "unnamed",
    )  # fmt: skip

    def __init__(
        self, account: Account, expected: tuple[ExpectedEntry, ...] = (), burst_secrets: int = BURST_SECRETS
    ) -> None:
        super().__init__()
        self.account = account
        self.expected = expected
        """What its reads are expected to be."""
        self.burst_secrets = burst_secrets
        self.entries: dict[Workload, Entry] = {}
        self.items: dict[ObservationKey, Item] = {}
        self.by_secret: dict[SecretName, Item | set[Item]] = {}
        """Live evidence of one named Secret; mostly there is one piece."""
        self.collections: set[Item] = set()
        """Live evidence that names no single Secret."""
        self.lighting = 0
        """How many of its items light a chain."""
        self.unnamed: dict[ObservationKey, Item] | None = None
        """While everything of the account is being told anew: what was not named yet."""
        self.heard: tuple[int, int] | None = None
        """Version of the last EvidenceChanged."""

    def put(self, item: Item, secret: SecretName | None) -> bool:
        """New live evidence, of this Secret or of none by name; whether it makes a burst of what the account reads."""
        self.items[item.evidence.observation.key] = item
        if secret is None:
            self.collections.add(item)
            return False
        there = self.by_secret.setdefault(secret, item)
        if there is item:
            return len(self.by_secret) == self.burst_secrets
        if isinstance(there, set):
            there.add(item)
        else:
            self.by_secret[secret] = {there, item}
        return False

    def drop(self, item: Item, secret: SecretName | None) -> bool:
        """It is live no longer; whether what the account reads is no burst without it."""
        del self.items[item.evidence.observation.key]
        if secret is None:
            self.collections.discard(item)
            return False
        there = self.by_secret[secret]
        if isinstance(there, set):
            there.discard(item)
            if len(there) == 1:
                self.by_secret[secret] = there.pop()
            return False
        del self.by_secret[secret]
        return len(self.by_secret) == self.burst_secrets - 1

    def over(self, secret: SecretName) -> Iterator[Item]:
        """The live evidence of this Secret, that of collections which hold it included."""
        there = self.by_secret.get(secret, ())
        yield from (there,) if isinstance(there, Item) else there
        yield from (item for item in self.collections if item.observation.last.scope.covers(*secret))

    @property
    def burst(self) -> bool:
        """Whether so many distinct Secrets were read that it is a signal."""
        return len(self.by_secret) >= self.burst_secrets


class Chain:
    """workload -> account -> binding -> role -> scope, or workload -> mounted Secret. Lit while `light` holds live evidence."""

    __slots__ = (
        "alone", "alone_named", "entry", "grant", "grant_name", "id", "light", "lit", "node", "number", "open", "removed", "scope",
        "structural", "told",
    )  # fmt: skip

    def __init__(self, number: int, node: WorkloadNode, entry: Entry | None, grant: Grant | None, scope: Scope) -> None:
        self.number = number
        self.node = node
        self.entry = entry
        self.grant = grant
        self.grant_name = None if grant is None else GrantName(grant.binding, grant.role)
        self.scope = scope
        self.id = chain_id(node.workload, None if entry is None else entry.account.account, self.grant_name, scope)
        self.structural = False
        """Listed because of what the cluster is, without a read."""
        self.removed = False
        """No longer among the chains: another may have taken its place."""
        self.alone: tuple[tuple[Chain, ...], ...] = ((self,),)
        """What `Item.provers` is for evidence that proves this one chain only, and `Item.named_grants`."""
        self.alone_named: tuple[GrantName, ...] = () if self.grant_name is None else (self.grant_name,)
        self.lit = False
        """As of the last look at the clock."""
        self.open = False
        """Lit by evidence that no entry of the expected readers speaks for: a finding."""
        self.light: Light | None = None
        self.told: Told | None = None
        """What was said when it was lit."""

    @property
    def reach(self) -> Reach:
        """How the Secret is reached."""
        return "mounted" if self.entry is None else "rbac-granted"

    @property
    def key(self) -> ChainKey:
        """Which of its entry's chains it is."""
        grant_name = self.grant_name
        if grant_name is None:
            raise ValueError("a mounted chain has no grant")
        return (grant_name.binding, grant_name.role, self.scope)

    @property
    def pods(self) -> tuple[str, ...]:
        """Names of the live pods it starts from, the first by name."""
        return self.node.shown if self.entry is None else self.entry.shown

    @property
    def dark_key(self) -> tuple[int, str]:
        """Its place among the chains that are not lit."""
        return (self.node.exposure.rank, self.id)


class Told(msgspec.Struct, frozen=True, gc=False):
    """What the flip of a chain said about the evidence; its end says the same."""

    attribution: Attribution
    corroboration: Literal["proven", "possible"]
    signals: tuple[Signal, ...]
    corroborated_by: tuple[str, ...] = ("read",)


NO_EDGES: Final[EdgesOf] = {}
"""Of what lights nothing; shared, never changed."""
_NONE_NAMED: Final[frozenset[GrantName]] = frozenset()
"""Shared: Python makes a new empty one each time."""


class Item:
    """One live piece of evidence inside the engine."""

    __slots__ = (
        "account", "counted", "disagreed", "edges", "evidence", "expected", "explained", "explained_at", "held_open", "judge_at",
        "named_grants", "number", "provers", "reported", "second", "steady",
    )  # fmt: skip

    def __init__(self, number: int, account: AccountNode, evidence: Evidence) -> None:
        self.number = number
        self.account = account
        self.evidence = evidence
        self.edges: EdgesOf = NO_EDGES
        """What it lights, and until when; None: as long as it lives. Replaced, never changed."""
        self.expected: str | None = None
        """Why it is expected; None: it is not."""
        self.explained: bool | None = None
        self.explained_at = 0.0
        """The event time of the read that a grant covered."""
        self.judge_at: float | None = None
        """From when on a read that no grant covers is called unexplained, and a disagreement one."""
        self.reported = False
        """Whether it was announced as unexplained."""
        self.disagreed = _NONE_NAMED
        """What the API server named and the model does not have; counted once each."""
        self.provers: tuple[tuple[Chain, ...], ...] = ()
        """For each of `named_grants` the chains that it proves."""
        self.named_grants: tuple[GrantName, ...] = ()
        """What the API server named, as it was last compared with the model."""
        self.held_open = False
        self.steady = False
        """Whether the same request a moment later is allowed by the same grants: none of them began or ended since."""
        self.counted: tuple[Signal, ...] = ()
        """The signals that its chains count."""
        self.second = 0
        """Its place on the timeline."""

    def until_in(self, chain: Chain) -> float:
        """Until when it lights this chain; 0.0 where it does not."""
        end = self.edges.get(chain, 0.0)
        return self.evidence.observation.live_until if end is None else end

    def proven_in(self, chain: Chain) -> float:
        """Until when a read of it is live in which the API server named this chain's binding and role; 0.0 for none."""
        grant = chain.grant_name
        return max(
            (named.live_until for named in self.evidence.observation.proofs if named.grant == grant), default=0.0
        )

    @property
    def observation(self) -> Observation:
        """What was read."""
        return self.evidence.observation

    @property
    def secret(self) -> SecretName | None:
        """The one Secret that was read by name, None for a collection."""
        scope = self.evidence.observation.last.scope
        return None if scope.namespace is None or scope.name is None else (scope.namespace, scope.name)

    def all_signals(self) -> tuple[Signal, ...]:
        """All of them, in a fixed order."""
        unexplained, burst = self.explained is False, self.account.burst
        return _all_of(self.evidence.signals, unexplained, burst) if unexplained or burst else self.evidence.signals


@lru_cache(maxsize=1024)
def _all_of(signals: tuple[Signal, ...], unexplained: bool, burst: bool) -> tuple[Signal, ...]:
    found = {*signals, *([Signal.UNEXPLAINED] if unexplained else ()), *([Signal.BURST] if burst else ())}
    return tuple(signal for signal in Signal if signal in found)


def chain_id(workload: Workload, account: Account | None, grant: GrantName | None, scope: Scope) -> str:
    """The chain's id: a hash of what it is, the same in every run; never of pods or uids (design 3)."""
    parts = (workload, account, None if grant is None else (grant.binding, grant.role), scope)
    return blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()
