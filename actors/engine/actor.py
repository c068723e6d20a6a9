"""The engine's actor: pulls the cluster's changes, takes in the accounts' evidence, ticks, answers, and says what flipped.

Messages: ClusterMoved, EvidenceChanged, EvidenceComplete, ActsMoved, AnnounceAgain; asked: the questions of queries.py.
Sends ResendEvidence (router) and Announce (announcer). It may crash at any time: a new incarnation pulls the cluster, lets
the accounts send everything, and is *ready* when the cluster is in sync and it has heard every account that lives. It says
nothing of flips before, and then everything at once. What must not start over outlives it in the EndedRing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, ClassVar, Final

from msgspec import Struct

from actors.engine.answers import Answers
from actors.engine.core import MEMORY_S, Engine
from actors.engine.ended import EndedRing, EndedStatistics
from actors.engine.expected import Expected
from actors.engine.inspect import status_view
from actors.engine.nodes import BURST_SECRETS
from actors.engine.queries import EngineStatus
from actors.evidence import Account
from actors.messages import (
    ActsChanges,
    ActsMoved,
    ActsSince,
    Announce,
    AnnounceAgain,
    ClusterChanges,
    ClusterMoved,
    ClusterSince,
    EvidenceChanged,
    EvidenceComplete,
    ResendEvidence,
)
from actors.runtime import (
    UNANSWERED,
    Actor,
    ActorRef,
    MailboxPolicy,
    Overflow,
    Timer,
)

ASK_TIMEOUT_S: Final = 10.0
"""How long the cluster may take to answer."""
RETRY_S: Final = 1.0
"""After a failed question or a full mailbox."""
RESEND_AFTER_S: Final = 10.0
"""How long an account that lives may stay silent after a start before it is asked again."""
FOLLOW_UP_EVERY: Final = 64
"""After so many messages at the latest flips are announced and the next wake-up is set, however many more wait."""
TICK_MAX_S: Final = 60.0
"""The longest sleep between two looks at the clock: a wall clock can be set."""

NewEvidence = Callable[[Account, int], None]
"""Called with an account and how many pieces of its evidence are new."""


class EngineActorStatistics(Struct, frozen=True):
    """The engine's counts, and what its actor had to do twice."""

    engine: EngineStatus
    ended: EndedStatistics
    gaps: int
    """Messages that built on something else than what was here."""
    announcer_behind: int
    unanswered: int
    unjudged: int
    """Reads that were not judged because too many that are not live waited for it."""


class _Tick(Struct, frozen=True):
    """To itself: time has passed."""


class _AskAgain(Struct, frozen=True):
    """To itself: not ready yet; who has not been heard?"""


class EngineActor(Actor):
    """The shell around Engine."""

    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=10_000, overflow=Overflow.REJECT)

    def __init__(
        self,
        cluster_ref: ActorRef,
        router_ref: ActorRef,
        announcer_ref: ActorRef,
        ended: EndedRing,
        behaviors_ref: ActorRef | None = None,
        *,
        memory_s: float = MEMORY_S,
        on_evidence: NewEvidence | None = None,
        expected: Expected | None = None,
        burst_secrets: int = BURST_SECRETS,
    ) -> None:
        super().__init__()
        self._cluster = cluster_ref
        self._router = router_ref
        self._announcer = announcer_ref
        self._behaviors = behaviors_ref
        self._acts_version = 0
        self._acts_heard = behaviors_ref is None
        self._on_evidence = on_evidence
        self._engine = Engine(ended, memory_s=memory_s, expected=expected, burst_secrets=burst_secrets)
        self._answers = Answers(self._engine)
        self._position = (0, 0)
        self._synced = False
        self._asked = False
        self._complete = False
        self._heard: set[Account] = set()
        self._awaited: set[Account] = set()
        self._ready = False
        self._behind = False
        self._timer: Timer | None = None
        self._tick_at = 0.0
        self._put_off = 0
        """Messages since the last follow-up."""
        self._gaps = 0
        self._announcer_behind = 0
        self._unanswered = 0

    @classmethod
    def conflate_key(cls, message: Any) -> Hashable | None:
        """Of messages that only say "look", one is enough."""
        return (
            type(message) if isinstance(message, ClusterMoved | ActsMoved | AnnounceAgain | _Tick | _AskAgain) else None
        )

    async def on_start(self) -> None:
        """Pulls everything anew."""
        self.context.ref.tell(ClusterMoved())
        self.context.ref.tell(ActsMoved())
        self.context.after(RESEND_AFTER_S, _AskAgain())

    def on_receive(self, message: Any) -> Any:
        """News changes the engine; questions are answered as of now."""
        if message.__class__ is EvidenceChanged:  # nearly all of them, and nothing of it waits
            self._evidence(message)
            return self._took()
        answer = self._answers.to(message, self.context.clock.now(), ready=self._ready)
        if answer is not NotImplemented:
            self._put_off = 0
            self._follow_up()
            return answer
        return self._take(message)

    def _took(self) -> None:
        """Follows up on news, once for many that wait."""
        self._put_off += 1
        if self._put_off < FOLLOW_UP_EVERY and self.context.backlog:
            return
        self._put_off = 0
        self._follow_up()

    async def _take(self, message: Any) -> None:
        match message:
            case ClusterMoved():
                await self._pull()
            case ActsMoved():
                await self._pull_acts()
            case EvidenceComplete(accounts=accounts):
                self._complete = True
                self._awaited = set(accounts) - self._heard
            case AnnounceAgain():
                self._behind = True
            case _Tick():
                self._timer = None
                self._engine.tick(self.context.clock.now())
            case _AskAgain():
                self._ask_again()
            case _:
                raise TypeError(f"the engine takes no {type(message).__name__}")
        self._took()

    # --- news ---

    async def _pull(self) -> None:
        """One part of the cluster's changes; the next part is asked for after the messages that wait."""
        try:
            changes: ClusterChanges = await self._cluster.ask(ClusterSince(*self._position), timeout_s=ASK_TIMEOUT_S)
        except UNANSWERED:
            self._unanswered += 1
            self.context.after(RETRY_S, ClusterMoved())
            return
        self._engine.apply_records(
            changes.records,
            changes.forgotten,
            full=changes.full,
            more=changes.more,
            synced=changes.synced,
            now=self.context.clock.now(),
        )
        self._position = (changes.epoch, changes.version)
        self._synced = changes.synced and not changes.more
        if changes.more:
            self.context.ref.tell(ClusterMoved())
        elif not self._asked:
            self._asked = True
            self._resend(None)

    async def _pull_acts(self) -> None:
        """One part of what sensors reported; the next part is asked for after the messages that wait."""
        if self._behaviors is None:
            return
        try:
            changes: ActsChanges = await self._behaviors.ask(ActsSince(self._acts_version), timeout_s=ASK_TIMEOUT_S)
        except UNANSWERED:
            self._unanswered += 1
            self.context.after(RETRY_S, ActsMoved())
            return
        self._engine.apply_acts(changes, self.context.clock.now())
        self._acts_version = changes.version
        if changes.more:
            self.context.ref.tell(ActsMoved())
        else:
            self._acts_heard = True

    def _evidence(self, message: EvidenceChanged) -> None:
        before = self._engine.lights.begun
        if not self._engine.apply_evidence(message, self.context.clock.now()):
            self._gaps += 1
            self._resend((message.account,))
            return
        if not self._ready and not message.more:
            self._heard.add(message.account)
            self._awaited.discard(message.account)
        new = self._engine.lights.begun - before
        if new and self._on_evidence is not None:
            self._on_evidence(message.account, new)

    def _resend(self, accounts: tuple[Account, ...] | None) -> None:
        try:
            self._router.tell(ResendEvidence(accounts))
        except UNANSWERED:
            self._unanswered += 1
            if self._ready:
                self.context.after(RETRY_S, _AskAgain())
            self._awaited.update(accounts or ())

    def _ask_again(self) -> None:
        """Asks those again that should have been heard; goes on until all were."""
        if not self._complete and not self._ready:
            self._resend(None)
        elif self._awaited:
            self._resend(tuple(sorted(self._awaited)))
            if self._ready:
                self._awaited.clear()
        if not self._ready:
            self.context.after(RESEND_AFTER_S, _AskAgain())

    # --- after each message ---

    def _follow_up(self) -> None:
        now = self.context.clock.now()
        flips = self._engine.take_flips()
        if not self._ready and self._synced and self._complete and not self._awaited and self._acts_heard:
            self._ready = self._behind = True
            self._heard.clear()
            self._engine.heard_all(now)
        if self._ready and (flips or self._behind):
            everything = self._behind
            if everything:
                flips = self._engine.everything(now)
                self._engine.take_flips()
            self._announce(Announce(flips, everything, self._engine.revision))
        self._schedule(now)

    def _announce(self, announce: Announce) -> None:
        """Tells the announcer; if it has no room, everything is told again later: only what went to and fro is not said then."""
        try:
            self._announcer.tell(announce)
            self._behind = False
        except UNANSWERED:
            self._behind = False
            self._announcer_behind += 1
            self.context.after(RETRY_S, AnnounceAgain())

    def _schedule(self, now: float) -> None:
        """Wakes when time alone will change something."""
        next_at = self._engine.next_at()
        if next_at is None:
            return
        next_at = min(next_at, now + TICK_MAX_S)
        if self._timer is not None:
            if self._tick_at <= next_at:
                return
            self._timer.cancel()
        self._tick_at = next_at
        self._timer = self.context.after(max(0.0, next_at - now), _Tick())

    def statistics(self) -> EngineActorStatistics:
        """Counts, for pages and metrics."""
        return EngineActorStatistics(
            engine=status_view(self._engine, self.context.clock.now(), ready=self._ready),
            ended=self._engine.ended.statistics(),
            gaps=self._gaps,
            announcer_behind=self._announcer_behind,
            unanswered=self._unanswered,
            unjudged=self._engine.afterwards.unjudged,
        )
