"""The engine without its actor: records and evidence in, flips and answers out; time is what it is told. Pure.

Feed it `apply_records` (ClusterChanges), `apply_evidence` (EvidenceChanged) and `tick`, take `take_flips` after each, and ask.
Every answer is of its own `now`: it looks at the clock first, so nothing is shown as live that is not. For a replay give
evidence whose `live_until` is infinite: then a chain is lit if it was lit at any time in the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from actors.cluster.records import Record, RecordKey
from actors.engine.acts import Acts
from actors.engine.afterwards import Afterwards
from actors.engine.changes import Changes
from actors.engine.edges import Edges
from actors.engine.ended import EndedRing
from actors.engine.expected import Expected
from actors.engine.flips import chain_flip, tell
from actors.engine.graph import Graph
from actors.engine.judge import Judge
from actors.engine.lights import Lights
from actors.engine.nodes import BURST_SECRETS
from actors.messages import ActsChanges, EvidenceChanged, Flip

MEMORY_S: Final = 600.0
"""How long the cluster's records remember what went (design 3: the TTL and 300 s). What happened earlier is judged while it lives."""


class Engine:
    """Chains, exposure, corroboration and signals. Counterparts: actor.py drives it, listing.py and views.py answer from it."""

    def __init__(
        self,
        ended: EndedRing | None = None,
        *,
        memory_s: float = MEMORY_S,
        expected: Expected | None = None,
        burst_secrets: int = BURST_SECRETS,
    ) -> None:
        self.ended = EndedRing() if ended is None else ended
        self._changes = Changes()
        self.graph = Graph(self._changes, expected, burst_secrets)
        self.judge = Judge(self.graph, self._changes, memory_s)
        self.edges = Edges(self.graph, self.judge, self._changes)
        self.afterwards = Afterwards(self.graph, self.judge, self.ended, self._changes)
        self.lights = Lights(self.graph, self.edges, self.judge, self.afterwards, self.ended, self._changes)
        self.acts = Acts(self.graph, self._changes, self._numbers(), self.ended.acts)

    @property
    def revision(self) -> int:
        """Rises exactly when something changes that /api/chains answers."""
        return self.ended.revision

    @property
    def touched(self) -> int:
        """Objects touched so far."""
        return self._changes.touched

    def apply_records(
        self,
        records: Iterable[Record],
        forgotten: Iterable[RecordKey] = (),
        *,
        full: bool = False,
        more: bool = False,
        synced: bool = True,
        now: float,
    ) -> None:
        """One part of the cluster's changes, as ClusterChanges has them."""
        for account in self.graph.apply(records, forgotten, full=full, more=more):
            self.lights.evaluate_all(account, now)
        self.judge.synced = synced and not more
        self._close(now)

    def apply_evidence(self, message: EvidenceChanged, now: float) -> bool:
        """What one account's actor says. False: it builds on what is not here; ask for everything of that account."""
        applied = self.lights.apply(message, now)
        self._close(now)
        return applied

    def apply_acts(self, message: ActsChanges, now: float) -> None:
        """One part of what sensors reported."""
        self.acts.apply(message, now)
        self._close(now)

    def _numbers(self) -> Iterator[int]:
        while True:
            self.ended.numbers += 1
            yield self.ended.numbers

    def tick(self, now: float) -> None:
        """Looks at the clock: what has ended by now is dark."""
        self.lights.look_at_clock(now)
        self.acts.look_at_clock(now)
        for item in self.judge.look_at_clock(now):
            self.edges.recount(item)
        self.afterwards.look_at_clock(now)
        self._close(now)

    def heard_all(self, now: float) -> None:
        """The cluster and every account that lives were heard since the start; see Lights.heard_all."""
        self.lights.heard_all(now)
        self._close(now)

    def next_at(self) -> float | None:
        """When (epoch seconds) to tick next; None when nothing waits for time to pass."""
        moments = (self.lights.next_at(), self.acts.next_at(), self.judge.next_at(), self.afterwards.next_at())
        return min((moment for moment in moments if moment is not None), default=None)

    def take_flips(self) -> tuple[Flip, ...]:
        """The flips since they were taken last, in their order."""
        flips = tuple(self._changes.flips)
        self._changes.flips.clear()
        return flips

    def everything(self, now: float) -> tuple[Flip, ...]:
        """Flips of all that is lit now, and of all unexplained reads that are shown, for the announcer after a start."""
        self.tick(now)
        lit = [chain for chain in self.graph.chains.lit if chain.open]
        for chain in lit:
            chain.told = tell(chain, now)
        flips = [chain_flip(chain, "chain.corroborated", now) for chain in lit]
        items = (item for account in self.graph.accounts.values() for item in account.items.values())
        unexplained = (each for each in (*items, *self.ended) if each.explained is False)
        reported = (each for each in unexplained if self.judge.expected(each) is None)
        return (*flips, *(self.judge.report_of(each, now) for each in reported))

    def _close(self, now: float) -> None:
        """The end of every call that changes something."""
        self.lights.settle(now)
        if self._changes.answers:
            self._changes.answers = False
            self.ended.revision += 1
