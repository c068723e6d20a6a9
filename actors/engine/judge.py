"""Reads that no modelled grant covers, and grants that the API server names and the model does not have. Pure.

Nothing is claimed before the cluster has been read to its end and EXPLAIN_AFTER_S have passed since the read arrived: the
cluster's news and the audit log travel on different ways. A read that a grant covers is explained at once, and stays so.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from actors.engine.changes import Changes
from actors.engine.ended import Ended
from actors.engine.expected import first_of
from actors.engine.flips import unexplained_flip
from actors.engine.granted import GrantRow
from actors.engine.graph import Graph
from actors.engine.latest import Due
from actors.engine.nodes import Item
from actors.evidence import GrantName
from actors.messages import Flip

EXPLAIN_AFTER_S: Final = 5.0
"""How long after its arrival a read may stay without a grant before it is called unexplained (design 3)."""


class Judge:
    """Decides about `Item.explained`, and counts disagreements. Borrowed reads are not judged: the rights were another's."""

    def __init__(self, graph: Graph, changes: Changes, memory_s: float) -> None:
        self._graph = graph
        self._changes = changes
        self.memory_s = memory_s
        """How long the cluster remembers what went."""
        self._due: Due[Item] = Due()
        self.synced = False
        """Whether the cluster's records have been read to the end."""
        self.unexplained = 0
        """Live reads that no grant covers."""
        self.disagreements = 0
        """Grants that the API server named and the model lacks, counted once for each observation; never falls."""

    def covered(self, item: Item, allowing: tuple[GrantRow, ...], *, allowed: bool) -> None:
        """The item was held against the grants: these allow it, whenever they stood; `allowed`: as of its newest read."""
        observation = item.evidence.observation
        last = observation.last
        self.named(item, tuple([each.grant for each in observation.named]), allowing)
        if last.borrowed:
            return
        if allowed:
            item.explained_at = last.at
            self._explain(item, True)
        elif item.explained is None or (item.explained and item.explained_at != last.at):
            fresh = item.explained is not None
            self._explain(item, None)
            self._wait(item, fresh=fresh)

    def named(self, item: Item, names: tuple[GrantName, ...], allowing: tuple[GrantRow, ...] | None = None) -> None:
        """The API server named these for the item: other ones than before."""
        item.named_grants = names
        if names and not item.evidence.observation.last.borrowed and self._lacking(item, allowing):
            self._wait(item, fresh=False)

    def drop(self, item: Item) -> None:
        """The item is live no longer."""
        self._due.drop(item)
        if item.explained is False:
            self.unexplained -= 1

    def next_at(self) -> float | None:
        """When (epoch seconds) something can be judged; None before the cluster is in sync."""
        return self._due.next_at() if self.synced else None

    def look_at_clock(self, now: float) -> list[Item]:
        """Judges what is due; the items whose judgement changed."""
        judged: list[Item] = []
        while self.synced and (item := self._due.pop(now)) is not None:
            if item.judge_at is not None and item.judge_at > now:
                self._due.at(item, item.judge_at)
                continue
            item.judge_at = None
            self._changes.touched += 1
            lacking = self._lacking(item)
            self.disagreements += len(lacking)
            item.disagreed |= lacking
            if item.explained is None:
                last = item.observation.last
                explained = explains(item.account.ways(last).rows, last.at, now, self.memory_s)
                self._explain(item, explained)
                if explained:
                    item.explained_at = last.at
                    continue
                judged.append(item)
                self._report(item, now)
        return judged

    def _explain(self, item: Item, explained: bool | None) -> None:
        if item.explained is explained:
            return
        self.unexplained += (explained is False) - (item.explained is False)
        item.explained = explained
        self._changes.answers |= bool(item.edges)

    def _wait(self, item: Item, *, fresh: bool) -> None:
        """Judge it EXPLAIN_AFTER_S after its arrival; one that waits already is not put off by its repetition."""
        if fresh or item.judge_at is None:
            item.judge_at = item.observation.arrived_at + EXPLAIN_AFTER_S
        self._due.at(item, item.judge_at)

    def _lacking(self, item: Item, allowing: tuple[GrantRow, ...] | None = None) -> set[GrantName]:
        """What the API server named for it, but the model does not have or would not allow it by; new ones only."""
        observation = item.evidence.observation
        lacking: set[GrantName] = set()
        if observation.named:
            rows = item.account.ways(observation.last).rows if allowing is None else allowing
            for each in observation.named:
                grant = each.grant
                for row in rows:
                    if row.name == grant:
                        break
                else:
                    if grant not in item.disagreed:
                        lacking.add(grant)
        return lacking

    def _report(self, item: Item, now: float) -> None:
        if not item.reported and self.expected(item) is None:
            item.reported = True
            self._changes.flips.append(self.report_of(item, now))

    def expected(self, item: Item | Ended) -> str | None:
        """Why somebody expects this evidence as it is now, its signals included; None: nobody does."""
        last = item.observation.last
        node = self._graph.accounts.get(last.account)
        entries = self._graph.expected.of(last.account) if node is None else node.expected
        return first_of(entries, last.scope, last.verb, last.at, item.all_signals()) if entries else None

    def report_of(self, item: Item | Ended, now: float) -> Flip:
        """The report that no grant covers this read."""
        workloads = item.evidence.workloads
        node = self._graph.workloads.get(workloads[0]) if workloads else None
        return unexplained_flip(item, None if node is None else node.exposure.level, now)


def explains(rows: Iterable[GrantRow], at: float, now: float, memory_s: float) -> bool:
    """Whether one of these grants covers a read made at `at`: as of the event, and where that is forgotten those that stand now."""
    forgotten = now - at > memory_s
    return any(row.grant.in_force(at) or (forgotten and not row.grant.revoked) for row in rows)
