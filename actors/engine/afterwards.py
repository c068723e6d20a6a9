"""The judgement of evidence that is not live: it came too late, or ended before it could be judged. Pure; counterpart: judge.py.

As with live reads nothing is claimed before EXPLAIN_AFTER_S have passed since it arrived and the cluster is in sync. What
happened longer ago than the cluster remembers, and met no cluster in sync when it came, stays unjudged: nobody can know.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from actors.engine.changes import Changes
from actors.engine.ended import Ended, EndedRing
from actors.engine.graph import Graph
from actors.engine.judge import EXPLAIN_AFTER_S, Judge, explains
from actors.engine.latest import Due
from actors.engine.nodes import AccountNode, Item
from actors.evidence import Evidence, GrantName

WAITING_MAX: Final = 10_000
"""Pieces that wait for their judgement; over it the oldest stays unjudged, counted."""


class Waiting:
    """One piece that is to be judged."""

    __slots__ = ("disagreed", "ended", "judge_at", "known", "number")

    def __init__(self, ended: Ended, judge_at: float, disagreed: frozenset[GrantName], *, known: bool) -> None:
        self.number = ended.number
        self.ended = ended
        self.judge_at = judge_at
        self.disagreed = disagreed
        """What the API server named for it and was counted before."""
        self.known = known
        """Whether the grants of its time were at hand when it came."""


class Afterwards:
    """Decides about `Ended.explained` in the ring, and reports what no grant covers."""

    def __init__(self, graph: Graph, judge: Judge, ended: EndedRing, changes: Changes) -> None:
        self._graph = graph
        self._judge = judge
        self._ended = ended
        self._changes = changes
        self._waiting: dict[int, Waiting] = {}
        """By number, the oldest first."""
        self._due: Due[Waiting] = Due()
        self.unjudged = 0
        """Pieces that were given up because too many waited."""
        for past in ended:
            if past.explained is None:
                self._wait(past, None, frozenset(), known=False)

    def past(self, item: Item, now: float) -> Ended:
        """The item as something that has ended; judged when it is due, where it was not yet."""
        chains = tuple(sorted(chain.id for chain in item.edges))
        ended_at = min(now, item.observation.live_until)
        ended = Ended(item.number, item.evidence, item.explained, item.all_signals(), chains, ended_at, item.expected)
        if item.judge_at is not None or item.explained is None:
            self._wait(ended, item.judge_at, item.disagreed, known=self._judge.synced)
        return ended

    def late(self, number: int, account: AccountNode, evidence: Evidence, before: Ended | None, now: float) -> Ended:
        """What was not live when it came, as something that has ended. `before`: what the ring has under the same key."""
        observation = evidence.observation
        last = observation.last
        covered = not last.borrowed and any(row.grant.in_force(last.at) for row in account.ways(last).rows)
        late = Ended(number, evidence, covered or None, evidence.signals, (), now)
        judge_at: float | None = None
        disagreed: frozenset[GrantName] = frozenset()
        if before is not None and before.observation.first_seen == observation.first_seen:
            waiting = self.drop(before.number)
            if waiting is not None:
                judge_at, disagreed = waiting.judge_at, waiting.disagreed
            else:
                disagreed = frozenset(each.grant for each in before.observation.named)
            if before.explained is False and not covered:
                late = late.judged(explained=False)
        late = self._expect(late)
        if late.explained is None or observation.named:
            timely = self._judge.synced and now - last.at <= self._judge.memory_s
            self._wait(late, judge_at, disagreed, known=timely)
        return late

    def _expect(self, ended: Ended) -> Ended:
        """The same with why it is expected, as its signals are now."""
        expected = self._judge.expected(ended)
        return ended if expected == ended.expected else replace(ended, expected=expected)

    def _wait(self, ended: Ended, judge_at: float | None, disagreed: frozenset[GrantName], *, known: bool) -> None:
        """Judge it when it is due; None: EXPLAIN_AFTER_S after it arrived. Borrowed reads are not judged."""
        observation = ended.observation
        if observation.last.borrowed:
            return
        self.drop(ended.number)
        due_at = observation.arrived_at + EXPLAIN_AFTER_S if judge_at is None else judge_at
        waiting = self._waiting[ended.number] = Waiting(ended, due_at, disagreed, known=known)
        self._due.at(waiting, due_at)
        if len(self._waiting) > WAITING_MAX:
            self._due.drop(self._waiting.pop(next(iter(self._waiting))))
            self.unjudged += 1

    def drop(self, number: int) -> Waiting | None:
        """It is judged as something else now; what waited."""
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            self._due.drop(waiting)
        return waiting

    def next_at(self) -> float | None:
        """When (epoch seconds) something can be judged; None before the cluster is in sync."""
        return self._due.next_at() if self._judge.synced else None

    def look_at_clock(self, now: float) -> None:
        """Judges what is due."""
        while self._judge.synced and (waiting := self._due.pop(now)) is not None:
            del self._waiting[waiting.number]
            self._changes.touched += 1
            age_s = now - waiting.ended.observation.last.at
            if waiting.known or age_s <= self._judge.memory_s:
                self._decide(waiting, now)

    def _decide(self, waiting: Waiting, now: float) -> None:
        ended = waiting.ended
        last = ended.observation.last
        account = self._graph.account(last.account)
        rows = account.ways(last).rows
        self._graph.leave_account(account)
        modelled = {row.name for row in rows} | waiting.disagreed
        named = {each.grant for each in ended.observation.named}
        self._judge.disagreements += len(named - modelled)
        if ended.explained is not None:
            return
        explained = explains(rows, last.at, now, self._judge.memory_s)
        judged = self._expect(ended.judged(explained))
        self._ended.replace(judged)
        if not explained and judged.expected is None:
            self._changes.flips.append(self._judge.report_of(judged, now))
