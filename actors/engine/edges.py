"""Which live evidence lights which chains: the edges between them. Pure; counterparts: lights.py (when), light.py (what adds up).

An edge lasts as long as its item; where the grant was gone by the newest read but the API server named it in an earlier one
that is still live, it lasts as long as that. An observation keeps the 8 grants that were
named last: proof is remembered for those, here as in an engine that is told everything anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from actors.engine.changes import Changes
from actors.engine.expected import first_of
from actors.engine.granted import ChainKey, EdgesOf, Ways
from actors.engine.graph import Graph
from actors.engine.judge import Judge
from actors.engine.latest import Due
from actors.engine.light import Light
from actors.engine.nodes import NO_EDGES, AccountNode, Chain, Item
from actors.evidence import GrantName, NamedGrant, Observation, Signal, Workload

LASTING_MAX: Final = 4096
"""Sets of workloads of one kind of request that are remembered with the chains that it lights; when full, all are forgotten."""


class Edges:
    """Draws the edges of items, anew where something decides about them, and only longer where nothing does."""

    def __init__(self, graph: Graph, judge: Judge, changes: Changes) -> None:
        self._graph = graph
        self._judge = judge
        self._changes = changes
        self.proven_due: Due[Chain] = Due()
        """When what proves a chain may end."""

    def evaluate(self, item: Item, now: float, before: Observation | None = None) -> None:
        """Which chains this read lights: by the grants as of the event, and those named in a read that is still live.

        `before`: the observation as it was last evaluated, where it changed.
        """
        account, evidence = item.account, item.evidence
        observation = evidence.observation
        last = observation.last
        ways = account.ways(last)
        item.steady = not account.has_tombstones and last.at >= account.fickle_before
        if last.borrowed:
            edges, allowed = NO_EDGES, False
        elif item.steady:
            edges, allowed = self._lasting(account, ways, evidence.workloads), bool(ways.rows)
        else:
            edges, allowed = self._as_of(item, ways, now)
        fell = before is not None and observation.live_until < before.live_until
        self.link(item, edges, fell=fell)
        self._judge.covered(item, ways.rows, allowed=allowed)
        self.recount(item)

    def begin_plainly(self, item: Item) -> bool:
        """As `evaluate`, in one go, for a new item of what is most common: a read that one lit chain's grant, which has stood
        all the time, allows, and no other, and the API server named just this one. False: nothing was done.

        Tests hold it against `evaluate`.
        """
        account, evidence = item.account, item.evidence
        observation = evidence.observation
        last, named = observation.last, observation.proofs
        if len(named) != 1 or last.verb == "watch" or last.borrowed or account.expected:
            return False
        edges = account.ways(last).lasting.get(evidence.workloads)
        if edges is None or len(edges) != 1 or account.has_tombstones or last.at < account.fickle_before:
            return False
        (chain,) = edges
        light, (proof,) = chain.light, named
        if light is None or (chain.grant_name is not proof.grant and chain.grant_name != proof.grant):
            return False
        changes = self._changes
        changes.answers = True
        changes.touched += 1
        changes.unsettled[chain] = None
        account.lighting += 1
        item.steady = item.explained = True
        item.explained_at = last.at
        item.edges, item.provers, item.named_grants = edges, chain.alone, chain.alone_named
        light.open += 1
        light.put_read(item, observation.live_until, proof.live_until)
        self.proven_due.at(chain, proof.live_until)
        if evidence.signals:
            light.count_signals(evidence.signals, 1)
            item.counted = evidence.signals
        return True

    def _lasting(self, account: AccountNode, ways: Ways, workloads: tuple[Workload, ...]) -> EdgesOf:
        """Where all grants of the account stood: one answer for all reads of this kind by these workloads."""
        edges = ways.lasting.get(workloads)
        if edges is not None:
            for chain in edges:
                if chain.removed:
                    break
            else:
                return edges
        edges = {
            self._chain(account, key, workload): None for keys in ways.keys for workload in workloads for key in keys
        }
        if len(ways.lasting) >= LASTING_MAX:
            ways.lasting.clear()
        ways.lasting[workloads] = edges
        return edges

    def _as_of(self, item: Item, ways: Ways, now: float) -> tuple[EdgesOf, bool]:
        """Where grants began or ended lately: each as it stood when the read was made; and whether one allowed it."""
        observation = item.evidence.observation
        edges: dict[Chain, float | None] = {}
        allowed = False
        for row, keys in zip(ways.rows, ways.keys, strict=True):
            in_force = row.grant.in_force(observation.last.at)
            allowed = allowed or in_force
            end = None if in_force else named_until(observation.proofs, row.name)
            if end is not None and end <= now:
                continue
            for key in keys:
                for workload in item.evidence.workloads:
                    chain = self._chain(item.account, key, workload)
                    if edges.get(chain, 0.0) is not None:
                        edges[chain] = end
        return edges, allowed

    def _chain(self, account: AccountNode, key: ChainKey, workload: Workload) -> Chain:
        """The chain of this key from this workload; made if it is not there."""
        entry = account.entries.get(workload) or self._graph.entry(workload, account.account)
        return entry.chains.get(key) or self._graph.granted_chain(entry, key, account.known_grants[key])

    def link(self, item: Item, edges: EdgesOf, *, fell: bool) -> None:
        """From now on these are what it lights. `fell`: it may do so for less long than before."""
        before = item.edges
        if before and not fell:
            fell = not set(grants_of(item.evidence.observation.named)).issuperset(item.named_grants)
            fell = fell or any(end is not None for edge in (before, edges) for end in edge.values())
        if edges != before:
            self._changes.answers = True
            item.account.lighting += bool(edges) - bool(before)
        item.edges = edges
        for chain in before:
            if chain not in edges and chain.light is not None:
                self._changes.touched += 1
                chain.light.drop(item, chain, fell=fell)
                chain.light.count_signals(item.counted, -1)
                chain.light.open -= item.expected is None
                self._changes.unsettled[chain] = None
        for chain in edges:
            if chain.light is None:
                chain.light = Light()
            if chain not in before:
                self._changes.touched += 1
                chain.light.open += item.expected is None
                if item.counted:
                    chain.light.count_signals(item.counted, 1)
            self._changes.unsettled[chain] = None
        self.name(item, fell=fell)

    def name(self, item: Item, *, fell: bool) -> None:
        """Puts it into the light of each of its chains, with what the API server named."""
        observation = item.evidence.observation
        named, live_until = observation.proofs, observation.live_until
        if len(named) == 1 and len(item.edges) == 1:
            self._name_one(item, named[0], live_until, fell=fell)
            return
        provers: list[list[Chain]] = [[] for _ in named]
        for chain, end in item.edges.items():
            light = chain.light
            if light is None:
                continue
            grant, proven = chain.grant_name, 0.0
            for each, chains in zip(named, provers, strict=True):
                if each.grant == grant:
                    chains.append(chain)
                    proven = max(proven, each.live_until)
            light.put(item, live_until if end is None else end, proven, fell=fell)
            if proven > 0.0:
                self.proven_due.at(chain, proven)
        item.provers = tuple(map(tuple, provers))

    def _name_one(self, item: Item, named: NamedGrant, live_until: float, *, fell: bool) -> None:
        """As `name`, for what is most common: it lights one chain, and one grant was named."""
        ((chain, end),) = item.edges.items()
        light = chain.light
        proves = chain.grant_name == named.grant and light is not None
        if light is not None:
            light.put(item, live_until if end is None else end, named.live_until if proves else 0.0, fell=fell)
        if proves:
            self.proven_due.at(chain, named.live_until)
        item.provers = chain.alone if proves else ((),)

    def recount(self, item: Item) -> None:
        """Its signals changed, or may have."""
        if item.account.expected:
            self.expect(item)
        signals = item.evidence.signals
        if item.explained is False:
            signals = (*signals, Signal.UNEXPLAINED)
        if signals == item.counted:
            return
        for chain in item.edges:
            if chain.light is not None:
                chain.light.count_signals(item.counted, -1)
                chain.light.count_signals(signals, 1)
        item.counted = signals

    def expect(self, item: Item) -> None:
        """Whether somebody expects it: its signals, or the time of its newest read, may have changed."""
        last = item.evidence.observation.last
        expected = first_of(item.account.expected, last.scope, last.verb, last.at, item.all_signals())
        if expected == item.expected:
            return
        turned = (expected is None) - (item.expected is None)
        item.expected = expected
        self._changes.answers |= bool(item.edges)
        for chain in item.edges if turned else ():
            if chain.light is not None:
                chain.light.open += turned
                self._changes.unsettled[chain] = None

    def repeat(self, item: Item, observation: Observation, before: Observation) -> None:
        """Another read like those before, a moment later: the same grants allow it, and its light lasts longer."""
        if item.expected is not None:
            self.expect(item)  # the entry may have ended meanwhile
        until, at = observation.live_until, observation.last.at
        for chain in item.edges:
            light = chain.light
            if light is None:
                continue
            if until > light.read_until:
                light.read_until = until
                if until > light.until:
                    light.until = until
            if at > light.newest_at:
                light.newest_at = at
            if not chain.lit:
                self._changes.unsettled[chain] = None
        named, earlier = observation.named, before.named
        if named is earlier:
            if named and (again := observation.last.named) is not None and again == named[0].grant:
                self._prove(item.provers[0], until)
            return
        named, earlier = observation.proofs, before.proofs
        if len(named) == 1 == len(earlier) and named[0].grant is earlier[0].grant:
            self._prove(item.provers[0], named[0].live_until)
            return
        names = grants_of(named)
        if names != item.named_grants:
            self._unprove(item, earlier, set(names))
            self.name(item, fell=False)
            self._judge.named(item, names)
            return
        for each, chains in zip(named, item.provers, strict=True):
            self._prove(chains, each.live_until)

    def _unprove(self, item: Item, earlier: tuple[NamedGrant, ...], names: set[GrantName]) -> None:
        """Of what was named earlier, what is not among these proves nothing any more; `item.provers` is still of `earlier`."""
        for each, chains in zip(earlier, item.provers, strict=True):
            if each.grant in names:
                continue
            for chain in chains:
                if chain.light is not None and each.live_until >= chain.light.read_proven:
                    chain.light.stale = True
                    self._changes.unsettled[chain] = None

    def _prove(self, chains: tuple[Chain, ...], live_until: float) -> None:
        """The API server named the grant of these chains again."""
        for chain in chains:
            if chain.light is not None and live_until > chain.light.read_proven:
                chain.light.raise_to(0.0, live_until)
                self.proven_due.at(chain, live_until)


def grants_of(named: tuple[NamedGrant, ...]) -> tuple[GrantName, ...]:
    """Their names, in their order."""
    return (named[0].grant,) if len(named) == 1 else tuple([each.grant for each in named])


def named_until(named: Iterable[NamedGrant], grant: GrantName) -> float:
    """Until when (epoch seconds) a read is live in which the API server named this grant; 0.0 for none."""
    return max((each.live_until for each in named if each.grant == grant), default=0.0)
