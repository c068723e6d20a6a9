"""Evidence that ended, or came too late to be live, in the last hour: a bounded ring that outlives the engine actor. Pure.

With it goes what must not start over when the engine actor is restarted: the revision and the numbers of evidence.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from actors.engine.ended_acts import EndedActs
from actors.engine.secrets import SecretName
from actors.evidence import Account, Evidence, Observation, ObservationKey, Signal

if TYPE_CHECKING:
    from actors.engine.lights import Lights

ENDED_MAX: Final = 10_000
"""Pieces that are kept; over it the oldest goes, counted."""
ENDED_KEPT_S: Final = 3600.0
"""How long each is kept."""
EARLIER_MAX: Final = 3
"""Incarnations whose live evidence is remembered until a later one has heard everything; over it the oldest goes, counted."""


class Ended(Struct, frozen=True, gc=False):
    """A piece of evidence that is not live, as it was."""

    number: int
    evidence: Evidence
    explained: bool | None
    signals: tuple[Signal, ...]
    chains: tuple[str, ...]
    """Ids of the chains that it lit."""
    ended_at: float
    expected: str | None = None
    """Why it was expected; None: it was not."""

    @property
    def observation(self) -> Observation:
        """What was read."""
        return self.evidence.observation

    @property
    def secret(self) -> SecretName | None:
        """The one Secret that was read by name."""
        scope = self.evidence.observation.last.scope
        return None if scope.namespace is None or scope.name is None else (scope.namespace, scope.name)

    def judged(self, explained: bool) -> Ended:
        """The same, as a grant covers it or none does."""
        signals = self.signals
        if not explained:
            signals = tuple(signal for signal in Signal if signal in signals or signal is Signal.UNEXPLAINED)
        return replace(self, explained=explained, signals=signals)

    def all_signals(self) -> tuple[Signal, ...]:
        """As Item.all_signals."""
        return self.signals


class EndedStatistics(Struct, frozen=True):
    """How full the ring is."""

    held: int
    capacity: int
    overflowed: int
    acts_held: int = 0
    acts_overflowed: int = 0


class EndedRing:
    """One piece of each observation, the newest end last."""

    def __init__(self, capacity: int = ENDED_MAX, kept_s: float = ENDED_KEPT_S, revision: int = 0) -> None:
        """`revision`: where to begin; the wall clock in milliseconds, so that no number ever stands for other content."""
        self._capacity = capacity
        self._kept_s = kept_s
        self._held: OrderedDict[tuple[Account, ObservationKey], Ended] = OrderedDict()
        self._overflowed = 0
        self.revision = revision
        """Of what /api/chains answers."""
        self.numbers = 0
        """Evidence counted so far: decides between pieces of the same moment."""
        self.acts = EndedActs()
        """What sensors reported, in a ring of its own."""
        self._earlier: list[Lights] = []
        """What incarnations of the engine held as live; the present one's last."""

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Ended]:
        return iter(list(self._held.values()))

    def get(self, account: Account, key: ObservationKey) -> Ended | None:
        """The ended piece of this observation."""
        return self._held.get((account, key))

    def put(self, ended: Ended) -> list[Ended]:
        """Keeps it; what had to go for it: the earlier piece of the same observation, or the oldest of all."""
        observation = ended.evidence.observation
        key = (observation.last.account, observation.key)
        earlier = self._held.pop(key, None)
        gone = [] if earlier is None else [earlier]
        self._held[key] = ended
        while len(self._held) > self._capacity:
            gone.append(self._held.popitem(last=False)[1])
            self._overflowed += 1
        return gone

    def replace(self, ended: Ended) -> None:
        """The same piece, judged: in its place, if it is still here."""
        observation = ended.evidence.observation
        key = (observation.last.account, observation.key)
        held = self._held.get(key)
        if held is not None and held.number == ended.number:
            self._held[key] = ended

    def take(self, account: Account, key: ObservationKey) -> Ended | None:
        """Takes it out."""
        return self._held.pop((account, key), None)

    def begin(self, lights: Lights) -> None:
        """A new incarnation of the engine: what those before it held as live may end while it hears of nothing yet."""
        self._earlier.append(lights)
        if len(self._earlier) > EARLIER_MAX + 1:
            self._overflowed += self._earlier.pop(0).live

    def take_earlier(self) -> list[Lights]:
        """The incarnations before the present one, the oldest first; they are forgotten."""
        earlier, self._earlier = self._earlier[:-1], self._earlier[-1:]
        return earlier

    def next_at(self) -> float | None:
        """When (epoch seconds) the oldest has been kept long enough."""
        oldest = next(iter(self._held.values()), None)
        return None if oldest is None else oldest.ended_at + self._kept_s

    def forget(self, now: float) -> list[Ended]:
        """Takes out what has been kept long enough."""
        gone = []
        while (at := self.next_at()) is not None and at <= now:
            gone.append(self._held.popitem(last=False)[1])
        return gone

    def statistics(self) -> EndedStatistics:
        """How full it is."""
        return EndedStatistics(len(self._held), self._capacity, self._overflowed, len(self.acts), self.acts.overflowed)
