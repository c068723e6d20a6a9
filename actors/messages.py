"""Every message between the pipeline's actors, in the order of the flow. Frozen; each carries a batch or an account's worth.

POST -> ParseBody -> RecordBatch (committed, then published) -> AccountsChanged -> Refresh -> Follow
-> AccountChanges (-> PodsOf) -> EvidenceChanged -> the engine -> ChainFlipped, ReadUnexplained -> subscribers.
Beside it TakeBehaviors -> PodsNamed -> ActsMoved -> ActsSince -> the engine.
What comes after the commit is state pulled, not events pushed: each receiver can lose a message and ask again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from msgspec import Struct, field

from actors.evidence import (
    Account,
    Act,
    ActKey,
    Attribution,
    Evidence,
    Observation,
    ObservationKey,
    Read,
    Signal,
    Workload,
)

if TYPE_CHECKING:
    from actors.cluster.records import Pod, Record, RecordKey


class Follower(Protocol):
    """As much of an ActorRef as a message needs that says whom to answer."""

    def tell(self, message: Any) -> None:
        """Queue a message."""


# --- edge -> parser ----------------------------------------------------------------------------------------------


class ParseBody(Struct, frozen=True):
    """Asked by the edge: make reads of this body. Answered with ParsedBatch, whatever the body is."""

    body: bytes
    received_at: float
    peer: str = ""
    as_lines: bool = False
    """It is known to be JSON lines."""


class Note(Struct, frozen=True, gc=False):
    """Something small that a source wants back after a restart, such as its place in a file: `value` as of the last batch that had one
    of this name, committed with that batch or not at all."""

    name: str
    value: bytes


class ParsedBatch(Struct, frozen=True):
    """What one body held. `events` = reads + borrowed and dropped items; `error` says why no, or not every, item was found."""

    digest: bytes
    received_at: float
    events: int
    reads: tuple[Read, ...]
    """Allowed reads; and, both counted as dropped, borrowed ones and ends of watches (Read.borrowed, Read.ends_only)."""
    dropped: dict[str, int] = field(default_factory=dict)
    error: str | None = None
    peer: str = ""
    newest_at: float | None = None
    """The newest stage time of all its items before clamping: lag and skew of the sender."""
    heartbeats: tuple[str, ...] = ()
    """Names of Secrets that protector itself asked for and was denied: its own requests coming back, at most HEARTBEATS_MAX."""
    note: Note | None = None
    """Kept with the batch, in the same commit."""
    allowance_s: float = 0.0
    """How much later than the API server's own the log it came by is allowed to be."""


HEARTBEAT_PREFIX: Final = "protector-heartbeat-"
"""What the name begins with of a Secret that is not there, and that protector asks for to see the denial come back."""
HEARTBEATS_MAX: Final = 16
"""Heartbeats that are taken from one batch; more are not ours."""


PROBE_VERB: Final = "protector-probe"
"""The verb of the event that `protector doctor` posts. No verb that reads, so that nothing can hide behind it."""
PROBE: Final = "probe"
"""The reason under which it is dropped."""


class HeartbeatsReturned(Struct, frozen=True):
    """From the parser to the heartbeat: these came back, with a batch of that peer."""

    names: tuple[str, ...]
    received_at: float
    peer: str


# --- edge -> store -----------------------------------------------------------------------------------------------


class RecordBatch(Struct, frozen=True):
    """Asked by the edge: make this batch durable. Answered with BatchAnswer after the commit, or StoreUnavailable."""

    batch: ParsedBatch


class BatchAnswer(Struct, frozen=True, omit_defaults=False):
    """The answer to one batch (design 4). A repeated batch gets the first answer with `duplicate` true."""

    events: int
    reads: int
    new: int
    dropped: dict[str, int]
    duplicate: bool = False
    error: str | None = None


class StoreUnavailable(Struct, frozen=True):
    """The commit failed and left nothing behind; the sender should come again."""

    why: str


class NoteOf(Struct, frozen=True):
    """Asked of the store by a source at its start: the value of its note. Answer: bytes, None where there never was
    one, or StoreUnavailable while a batch with such a note is being written: ask again."""

    name: str


# --- store -> router -> the account's actor ------------------------------------------------------------------------


class AccountsChanged(Struct, frozen=True):
    """Something of these accounts changed in the window, and nobody follows them. Conflated: repeating it changes nothing."""

    accounts: tuple[Account, ...]


class Refresh(Struct, frozen=True):
    """To an account's actor: pull what changed, and the pods too if they did. `full`: send the engine everything again."""

    pods_changed: bool = False
    full: bool = False


class Follow(Struct, frozen=True):
    """Told to the store by an account's actor: from here on tell me what changes. AccountChanges comes at once if there is any.

    `epoch` and `version` are of its last AccountChanges; 0 and 0 at first, and then everything comes. Of one account only the last
    one that followed is told.
    """

    account: Account
    epoch: int
    version: int
    follower: Follower
    """Who is told."""


class AccountChanges(Struct, frozen=True):
    """What is live of the account: everything (`full`), or what changed since the version asked for."""

    account: Account
    epoch: int
    """The store's incarnation: versions of another epoch mean nothing."""
    version: int
    full: bool
    observations: tuple[Observation, ...]
    ended: tuple[ObservationKey, ...] = ()
    """What left the window since: expired or evicted. Only where not `full`."""
    more: bool = False
    """There is more than one answer may hold: follow again from `version` (never for fewer than some thousand observations)."""
    since: int = 0
    """From which version on: where it is not what was heard last, something is missing, and its receiver follows again."""


class LiveAccounts(Struct, frozen=True):
    """Asked of the store by the router at its start: which accounts have anything in the window. Answer: AccountsChanged."""


# --- cluster -> attribution and engine -------------------------------------------------------------------------------


class PodsOf(Struct, frozen=True):
    """Asked of the cluster: the pods of this account that changed since an earlier answer, the remembered ones too; 0 and 0: all.
    Answer: AccountPods."""

    account: Account
    epoch: int = 0
    version: int = 0


class AccountPods(Struct, frozen=True):
    """Pods of one account, live and remembered: all of them (`full`), or those that changed, and the uids of those forgotten since."""

    account: Account
    pods: tuple[Pod, ...]
    epoch: int = 0
    version: int = 0
    full: bool = True
    forgotten: tuple[str, ...] = ()


class PodsNamed(Struct, frozen=True):
    """Asked of the cluster by the behaviors: these pods, by uid and by (namespace, name). Answer: FoundPods."""

    uids: tuple[str, ...]
    names: tuple[tuple[str, str], ...]


class FoundPods(Struct, frozen=True):
    """The pods in the order of the question, remembered ones too; None where there is none."""

    uids: tuple[Pod | None, ...]
    names: tuple[Pod | None, ...]
    synced: bool


class PodsChanged(Struct, frozen=True):
    """From the cluster to the router: pods of these accounts came, changed or went. Conflated."""

    accounts: tuple[Account, ...]


class ClusterSince(Struct, frozen=True):
    """Asked of the cluster by the engine: what changed since; 0 and 0 at first. Answer: ClusterChanges, at most 1,000 records."""

    epoch: int
    version: int


class ClusterChanges(Struct, frozen=True):
    """Records as they are now (tombstones included), and what was forgotten. `more`: ask again from `version`."""

    epoch: int
    version: int
    full: bool
    """A first part of everything: forget what you had."""
    records: tuple[Record, ...]
    forgotten: tuple[RecordKey, ...] = ()
    more: bool = False
    synced: bool = True
    """Whether the source has been read to the end at least once."""


class ClusterMoved(Struct, frozen=True):
    """From the cluster to the engine: there is something to ask for. Conflated."""


# --- the account's actor -> engine -------------------------------------------------------------------------------------


class EvidenceChanged(Struct, frozen=True):
    """Evidence of one account: all of it (`full`), or what changed since `base`. Applied once; a gap is asked for again."""

    account: Account
    base: tuple[int, int]
    """(epoch, version) that this builds on; where it is not what the engine has, the engine asks for everything."""
    version: tuple[int, int]
    full: bool
    evidence: tuple[Evidence, ...]
    ended: tuple[ObservationKey, ...] = ()
    more: bool = False
    """The rest of it follows in messages of its own; of a `full` one, what none of them names has ended with the last."""


class ResendEvidence(Struct, frozen=True):
    """From the engine to the router: let these accounts (None: all that live) send everything again."""

    accounts: tuple[Account, ...] | None = None


class EvidenceComplete(Struct, frozen=True):
    """From the router to the engine, after a ResendEvidence of all: these are the accounts that have anything live."""

    accounts: tuple[Account, ...]


# --- edge -> behaviors -> engine -----------------------------------------------------------------------------------------


class TakeBehaviors(Struct, frozen=True):
    """Asked by the edge: take what this body reports. Answer: BehaviorsAnswer."""

    body: bytes
    falco: bool
    """One Falco alert, instead of an array of observations."""
    received_at: float


class BehaviorsAnswer(Struct, frozen=True, omit_defaults=False):
    """The answer to one report. `events` = `taken` and dropped ones; `reads`: of mounted Secrets; `new`: not in the window before."""

    events: int
    taken: int
    reads: int
    new: int
    dropped: dict[str, int]
    error: str | None = None


class ActsMoved(Struct, frozen=True):
    """From the behaviors to the engine: there is something to ask for. Conflated."""


class ActsSince(Struct, frozen=True):
    """Asked of the behaviors by the engine: what changed since; 0 at first. Answer: ActsChanges."""

    version: int


class ActsChanges(Struct, frozen=True):
    """Acts as they are now, in the order of their last change; `ended`: those that had to make room while they were live."""

    version: int
    full: bool
    """A first part of everything: forget what you had."""
    acts: tuple[Act, ...]
    ended: tuple[ActKey, ...] = ()
    more: bool = False
    """Ask again from `version`."""


# --- engine -> subscribers -------------------------------------------------------------------------------------------------


class Flip(Struct, frozen=True):
    """One line of the flip log (design 4), but for the cluster's name. `at`: epoch seconds."""

    at: float
    event: Literal["chain.corroborated", "chain.expired", "read.unexplained"]
    chain: str | None
    workload: Workload | None
    service_account: Account | None
    """None: a mounted chain has none."""
    secret: str
    attribution: Attribution | None
    corroboration: Literal["proven", "possible"] | None
    exposure: str | None
    signals: tuple[Signal, ...] = ()
    key: str = ""
    """What tells this announcement apart: the chain's id, or the unexplained observation's."""
    corroborated_by: tuple[str, ...] = ("read",)
    """What lit the chain: `read`, `mounted_read`, `alert`, `exec`."""


class FlipsAnnounced(Struct, frozen=True):
    """To the store: these were announced (`lit`), or their end was (`dark`). So that a restart is no flip."""

    lit: tuple[str, ...] = ()
    dark: tuple[str, ...] = ()


class Announced(Struct, frozen=True):
    """Asked of the store at the announcer's start. Answer: AnnouncedKeys."""


class AnnouncedKeys(Struct, frozen=True):
    """What had been announced as lit and not as dark."""

    keys: frozenset[str]


class Announce(Struct, frozen=True):
    """From the engine to the announcer: flips in their order, and after a start the whole state (`everything`)."""

    flips: tuple[Flip, ...]
    everything: bool = False
    """The flips are all that is lit now: what was announced and is not among them went dark meanwhile."""
    revision: int = 0


class AnnounceAgain(Struct, frozen=True):
    """From the announcer to the engine, at its start: what an earlier incarnation did not say is lost; send everything."""
