"""Corroboration: which live evidence lights which chains, until when. Pure; the heart of the engine.

Two rules. A read lights a chain if and only if its workload is among the attributed ones and this binding and rule, as they
stood when it happened, would by themselves allow exactly this request within the chain's scope (design 3).
Nothing is scanned: a repeated read costs the chains that it lights, and time is looked at through queues of due moments.

Theory of operation: every piece of live evidence is an Item with edges to the chains that it lights (edges.py). Chains that
an item gained or lost are settled once, at the end of each call: what is lit twice or replaced within one call is no flip.
Counterparts: judge.py and afterwards.py (reads that no grant covers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from actors.engine.acts import acted_until
from actors.engine.afterwards import Afterwards
from actors.engine.changes import Changes
from actors.engine.edges import Edges
from actors.engine.ended import Ended, EndedRing
from actors.engine.flips import chain_flip, tell
from actors.engine.graph import Graph
from actors.engine.judge import Judge
from actors.engine.latest import Due
from actors.engine.nodes import NO_EDGES, AccountNode, Chain, Item
from actors.engine.timeline import Timeline
from actors.evidence import Account, Attribution, Evidence, ObservationKey
from actors.messages import EvidenceChanged


class Lights:
    """All live evidence, and the chains that it lights."""

    def __init__(
        self, graph: Graph, edges: Edges, judge: Judge, afterwards: Afterwards, ended: EndedRing, changes: Changes
    ) -> None:
        self._graph = graph
        self._edges = edges
        self._judge = judge
        self._afterwards = afterwards
        self._ended = ended
        self._changes = changes
        self.timeline = Timeline()
        self.live = 0
        self.gone = 0
        """Live evidence whose claimed pod is unknown."""
        self.begun = 0
        """Pieces of evidence that were new, so far."""
        self._due: Due[Item] = Due()
        self._leaving: dict[AccountNode, None] = {}
        """Accounts of which something ended: they may have nothing left."""
        for past in ended:
            if past.secret is not None:
                graph.chains.know(past.secret)
        ended.begin(self)

    # --- evidence ---

    def apply(self, message: EvidenceChanged, now: float) -> bool:
        """Takes in what one account's actor says. False: it builds on what is not here; ask for everything."""
        account = self._graph.account(message.account)
        if not message.full and account.heard != message.base:
            self._graph.leave_account(account)
            return False
        account.heard = message.version
        self._leaving[account] = None
        items = account.items
        if message.full:
            account.unnamed = dict(items)
        unnamed = account.unnamed
        for evidence in message.evidence:
            item = items.get(evidence.observation.key)
            if unnamed is not None:
                unnamed.pop(evidence.observation.key, None)
            if item is not None:
                self._refresh(item, evidence, now)
            elif evidence.observation.live_until > now:
                self._begin(account, evidence, now)
            else:
                self._keep_late(account, evidence, now)
        for key in message.ended:
            ended = items.get(key)
            if ended is not None:
                self._end(ended, now)
        if unnamed is not None and not message.more:
            account.unnamed = None
            for key, missing in unnamed.items():
                if items.get(key) is missing:
                    self._end(missing, now)
        return True

    def _begin(self, account: AccountNode, evidence: Evidence, now: float) -> None:
        """A new piece of live evidence."""
        ended, changes = self._ended, self._changes
        ended.numbers += 1
        item = Item(ended.numbers, account, evidence)
        observation = evidence.observation
        self.live += 1
        self.gone += evidence.attribution is Attribution.GONE
        self.begun += 1
        changes.touched += 1
        secret = item.secret
        begins_burst = account.put(item, secret)
        if secret is not None:
            self._graph.chains.know(secret)
        past = ended.get(account.account, observation.key)
        if past is not None and past.evidence.observation.first_seen == observation.first_seen:
            ended.take(account.account, observation.key)
            self._unknow([past])
            self._afterwards.drop(past.number)
        self.timeline.put(item)
        if self._edges.begin_plainly(item):
            self._due.at(item, observation.live_until)
        else:
            self._edges.evaluate(item, now)
            self._watch(item, now)
        if begins_burst:
            self._burst_changed(account)

    def _burst_changed(self, account: AccountNode) -> None:
        """It began or ended: the signal is of all evidence of the account."""
        if account.lighting:
            self._changes.answers = True
        if account.expected:
            self._changes.touched += len(account.items)
            for item in account.items.values():
                self._edges.expect(item)

    def _refresh(self, item: Item, evidence: Evidence, now: float) -> None:
        """The same observation, changed. Cheap where nothing but its times did, which is what a repeated read is."""
        old = item.evidence
        observation, before = evidence.observation, old.observation
        if observation.count == before.count and evidence == old:
            return
        item.evidence = evidence
        if evidence.attribution is not old.attribution:
            self.gone += (evidence.attribution is Attribution.GONE) - (old.attribution is Attribution.GONE)
        if observation.live_until <= now:
            self._end(item, now, fell=True)
            return
        if (
            item.steady
            and evidence.attribution is old.attribution
            and evidence.workloads == old.workloads
            and observation.last.at >= item.account.fickle_before
            and observation.last.verb != "watch"
            and observation.live_until >= before.live_until
        ):
            self._edges.repeat(item, observation, before)
        else:
            self._edges.evaluate(item, now, before)
            self._watch(item, now)
        if int(observation.last.at) != item.second:
            self.timeline.move(item)
        if evidence.signals != old.signals:
            self._edges.recount(item)
        if item.edges:
            self._changes.answers = True
        self._changes.touched += 1 + len(item.edges)

    def _keep_late(self, account: AccountNode, evidence: Evidence, now: float) -> None:
        """It was not live when it came; it is still told."""
        known = self._ended.get(account.account, evidence.observation.key)
        if known is not None and known.evidence == evidence:
            return
        self._ended.numbers += 1
        self._remember(self._afterwards.late(self._ended.numbers, account, evidence, known, now))

    def _end(self, item: Item, now: float, *, fell: bool = False) -> None:
        """It is live no longer: by time, or because the store says so."""
        account = item.account
        self.live -= 1
        self.gone -= item.evidence.attribution is Attribution.GONE
        self._changes.touched += 1
        self._remember(self._afterwards.past(item, now))
        self._edges.link(item, NO_EDGES, fell=fell)
        secret = item.secret
        ends_burst = account.drop(item, secret)
        if secret is not None:
            self._graph.chains.unknow(secret)
        self.timeline.drop(item)
        self._due.drop(item)
        self._judge.drop(item)
        if ends_burst:
            self._burst_changed(account)
        self._leaving[account] = None

    def heard_all(self, now: float) -> None:
        """Everything that is live has been told since the start: what earlier incarnations held besides has ended meanwhile."""
        for earlier in self._ended.take_earlier():
            for account, key, item in earlier.held():
                here = self._graph.accounts.get(account)
                past = self._ended.get(account, key)
                if here is not None and key in here.items:
                    continue
                if past is None or past.evidence.observation.first_seen != item.observation.first_seen:
                    self._remember(self._afterwards.past(item, now))

    def held(self) -> Iterator[tuple[Account, ObservationKey, Item]]:
        """All live evidence."""
        for account in self._graph.accounts.values():
            for key, item in account.items.items():
                yield account.account, key, item

    def _remember(self, past: Ended) -> None:
        if past.secret is not None:
            self._graph.chains.know(past.secret)
        self._unknow(self._ended.put(past))

    def _unknow(self, gone: Iterable[Ended]) -> None:
        for past in gone:
            if past.secret is not None:
                self._graph.chains.unknow(past.secret)

    # --- edges ---

    def evaluate_all(self, account: AccountNode, now: float) -> None:
        """The account's grants changed: everything live of it is held against them again."""
        self._changes.touched += len(account.items)
        for item in list(account.items.values()):
            self._edges.evaluate(item, now)
            self._watch(item, now)

    # --- time ---

    def _watch(self, item: Item, now: float) -> None:
        """Notes when time alone will change something about it."""
        observation = item.observation
        next_at = observation.live_until
        item.held_open = observation.held_open_until > now
        if item.held_open:
            next_at = min(next_at, observation.held_open_until)
        if not item.steady:
            next_at = min([next_at, *(end for end in item.edges.values() if end is not None)])
        self._due.at(item, next_at)

    def next_at(self) -> float | None:
        """The next moment (epoch seconds) at which time alone may change something; it may turn out that it did not."""
        moments = (self._due.next_at(), self._edges.proven_due.next_at(), self._ended.next_at())
        return min((moment for moment in moments if moment is not None), default=None)

    def look_at_clock(self, now: float) -> None:
        """Ends what has ended by now."""
        while (item := self._due.pop(now)) is not None:
            if item.observation.live_until <= now:
                self._end(item, now)
                continue
            self._changes.touched += 1
            was_open = item.held_open
            if any(end is not None and end <= now for end in item.edges.values()):
                self._edges.evaluate(item, now)
            self._watch(item, now)
            if item.held_open is not was_open and item.edges:
                self._changes.answers = True
        while (chain := self._edges.proven_due.pop(now)) is not None:
            until = chain.light.proven_until if chain.light is not None else 0.0
            if until > now:
                self._edges.proven_due.at(chain, until)
            elif chain.lit:
                self._changes.answers = True
        self._unknow(self._ended.forget(now))

    # --- settling ---

    def settle(self, now: float) -> None:
        """Flips the chains whose light came or went in this call, and takes out those that nothing lists any more."""
        unsettled, self._changes.unsettled = self._changes.unsettled, {}
        for chain in unsettled:
            self._changes.touched += 1
            light = chain.light
            if light is not None and light.stale:
                self._changes.touched += len(light.items)
                light.refresh(chain)
                if light.proven_until <= now:
                    self._edges.proven_due.drop(chain)
            acted = acted_until(chain) > now
            lit = acted or (light is not None and light.until > now)
            if lit is not chain.lit:
                self._graph.chains.turn(chain, lit=lit)
            is_open = acted or (lit and light is not None and light.open > 0)
            if is_open is not chain.open:
                self._graph.chains.mark_open(chain, is_open=is_open)
                self._flip(chain, now)
            if lit:
                continue
            if light is not None and not light.items:
                chain.light = None
            if not chain.structural and chain.light is None:
                self._edges.proven_due.drop(chain)
                self._graph.remove_chain(chain)
        leaving, self._leaving = self._leaving, {}
        for account in leaving:
            self._graph.leave_account(account)

    def _flip(self, chain: Chain, now: float) -> None:
        if chain.open:
            chain.told = tell(chain, now)
            self._changes.flips.append(chain_flip(chain, "chain.corroborated", now))
        else:
            self._changes.flips.append(chain_flip(chain, "chain.expired", now))
            chain.told = None
