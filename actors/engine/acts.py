"""What sensors reported of workloads, and the chains that it lights. Pure; beside lights.py, which knows only the API server's word.

A mounted read lights exactly the mount chain of its Secret; an alert, or the start of a shell or package manager, every chain of its
workload. The other behaviors light nothing and are shown. Acts are kept by workload, whether or not the cluster knows it already:
a chain that is made later is lit by what is live then. Counterparts: evidence/act.py, nodes.py (WorkloadNode.acts), behaviors/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import nlargest
from typing import TYPE_CHECKING, Final

from actors.engine.ended_acts import EndedActs
from actors.engine.latest import Due
from actors.evidence import Act, ActKey, ActReason, Scope
from actors.messages import ActsChanges

if TYPE_CHECKING:
    from actors.engine.changes import Changes
    from actors.engine.graph import Graph
    from actors.engine.nodes import Chain, WorkloadNode

REASONS: Final[tuple[ActReason, ...]] = ("mounted_read", "alert", "exec")
"""In the order in which answers name them, after `read`."""


class Held:
    """One live act inside the engine."""

    __slots__ = ("act", "number")

    def __init__(self, number: int, act: Act) -> None:
        self.number = number
        self.act = act

    @property
    def position(self) -> tuple[float, int]:
        """Its place among evidence, newest first."""
        return (self.act.observed_at, self.number)


class WorkloadActs:
    """The live acts of one workload, and what they come to for each reason: (until, newest event time), epoch seconds."""

    __slots__ = ("held", "mounted", "whole")

    def __init__(self) -> None:
        self.held: dict[ActKey, Held] = {}
        self.whole: dict[ActReason, tuple[float, float]] = {}
        """Of what lights every chain."""
        self.mounted: dict[str, tuple[float, float]] = {}
        """By Secret."""

    def add(self, act: Act) -> None:
        """Counts the act with the others."""
        if act.secret is not None:
            self.mounted[act.secret] = _max(self.mounted.get(act.secret), act)
        elif act.reason is not None:
            self.whole[act.reason] = _max(self.whole.get(act.reason), act)

    def recount(self) -> None:
        """After an act went: what those that are left come to."""
        self.whole, self.mounted = {}, {}
        for held in self.held.values():
            self.add(held.act)

    def over(self, chain: Chain) -> Iterator[tuple[ActReason, tuple[float, float]]]:
        """What lights this chain, in the order of REASONS."""
        if chain.entry is None and (found := self.mounted.get(chain.scope.name or "")) is not None:
            yield "mounted_read", found
        for reason in REASONS:
            if (whole := self.whole.get(reason)) is not None:
                yield reason, whole


def _max(known: tuple[float, float] | None, act: Act) -> tuple[float, float]:
    return max(known[0], act.live_until) if known else act.live_until, max(
        known[1], act.observed_at
    ) if known else act.observed_at


def acted_until(chain: Chain) -> float:
    """Until when acts light the chain (epoch seconds); 0.0 where none does."""
    acts = chain.node.acts
    return 0.0 if acts is None else max((until for _, (until, _) in acts.over(chain)), default=0.0)


def acted_at(chain: Chain) -> float:
    """The newest event time of what lights it; 0.0 where none does."""
    acts = chain.node.acts
    return 0.0 if acts is None else max((at for _, (_, at) in acts.over(chain)), default=0.0)


def acted_by(chain: Chain, now: float) -> tuple[ActReason, ...]:
    """Why acts light it now."""
    acts = chain.node.acts
    return () if acts is None else tuple(reason for reason, (until, _) in acts.over(chain) if until > now)


def acts_of(chain: Chain, now: float, most: int) -> list[Held]:
    """The newest live acts that light it."""
    acts = chain.node.acts
    if acts is None:
        return []
    return nlargest(
        most,
        (h for h in acts.held.values() if h.act.live_until > now and lights(h.act, chain)),
        key=lambda h: h.position,
    )


def lights(act: Act, chain: Chain) -> bool:
    """Whether the act, of the chain's workload, lights the chain."""
    if act.secret is not None:
        return chain.entry is None and chain.scope.name == act.secret
    return act.reason is not None


class Acts:
    """All live acts, by workload."""

    def __init__(self, graph: Graph, changes: Changes, numbers: Iterator[int], ended: EndedActs) -> None:
        self._graph = graph
        self._changes = changes
        self._numbers = numbers
        self._due: Due[Held] = Due()
        self._held: dict[ActKey, Held] = {}
        self._unseen: dict[ActKey, None] | None = None
        """While everything is being told anew: what was not named yet."""
        self.ended = ended
        ended.begin(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())

    def apply(self, message: ActsChanges, now: float) -> None:
        """Takes in one part of the changes."""
        if message.full:
            self._unseen = dict.fromkeys(self._held)
        for act in message.acts:
            if self._unseen is not None:
                self._unseen.pop(act.key, None)
            if act.live_until > now:
                self._put(act)
        gone: Iterable[ActKey] = message.ended
        all_heard = self._unseen is not None and not message.more
        if self._unseen is not None and all_heard:
            gone, self._unseen = (*gone, *self._unseen), None
        for key in gone:
            if (held := self._held.get(key)) is not None:
                self._end(held)
                self.ended.put(held, now)
        if all_heard:
            self.ended.heard_all(now)

    def _put(self, act: Act) -> None:
        held = self._held.get(act.key)
        if held is not None and held.act.workload != act.workload:
            self._end(held)
            held = None
        acts = self._graph.acts.get(act.workload)
        if acts is None:
            acts = self._graph.acts[act.workload] = WorkloadActs()
            if (node := self._graph.workloads.get(act.workload)) is not None:
                node.acts = acts
        if held is None:
            held = Held(next(self._numbers), act)
            self._held[act.key] = acts.held[act.key] = held
            self.ended.take(act.key)
        held.act = act
        acts.add(act)
        self._due.at(held, act.live_until)
        self._touch(act)

    def _end(self, held: Held) -> None:
        act = held.act
        del self._held[act.key]
        self._due.drop(held)
        acts = self._graph.acts[act.workload]
        del acts.held[act.key]
        acts.recount()
        if not acts.held:
            del self._graph.acts[act.workload]
            if (node := self._graph.workloads.get(act.workload)) is not None:
                node.acts = None
        self._touch(act)

    def _touch(self, act: Act) -> None:
        """The chains that it lights are to be settled, and their answers are others."""
        self._changes.touched += 1
        node = self._graph.workloads.get(act.workload)
        if node is None or act.reason is None:
            return
        for chain in self._chains(node, act):
            self._changes.unsettled[chain] = None
            self._changes.answers = True

    def _chains(self, node: WorkloadNode, act: Act) -> list[Chain]:
        """Of a pod that is gone the mount may be listed no longer; the chain is made again while the act is live."""
        if act.secret is None:
            return node.chains()
        chain = node.mounted.get(act.secret)
        if chain is None:
            if node.acts is None:
                return []
            scope = Scope(node.workload.namespace, act.secret)
            chain = node.mounted[act.secret] = self._graph.chains.make(node, None, None, scope)
        return [chain]

    def next_at(self) -> float | None:
        """When the next of them ends, or of those that ended is forgotten."""
        return min((at for at in (self._due.next_at(), self.ended.next_at()) if at is not None), default=None)

    def look_at_clock(self, now: float) -> None:
        """Ends what has ended by now, and forgets what ended long ago."""
        while (held := self._due.pop(now)) is not None:
            if held.act.live_until > now:
                self._due.at(held, held.act.live_until)
            else:
                self._end(held)
                self.ended.put(held, now)
        self.ended.forget(now)
