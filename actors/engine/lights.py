"""Corroboration: which live evidence lights which chains, until when. Pure; the heart of the engine.

Two rules. A read lights a chain if and only if its workload is among the attributed ones and this binding and rule, as they
stood when it happened, would by themselves allow exactly this request within the chain's scope (design 3).
Nothing is scanned: a repeated read costs the chains that it lights, and time is looked at through queues of due moments.

Theory of operation: every piece of live evidence is an Item with edges to the chains that it lights. An edge lasts as long
as the item; where the grant was gone by the newest read but the API server named it in an earlier one that is still live,
it lasts as long as that. Chains that an item gained or lost are settled once, at the end of each call: what is lit twice
or replaced within one call is no flip. Counterparts: graph.py (which chains there are), judge.py (reads no grant covers).
"""

from __future__ import annotations

from collections.abc import Iterable

from actors.engine.changes import Changes
from actors.engine.ended import Ended, EndedRing
from actors.engine.flips import chain_flip, tell
from actors.engine.graph import Graph
from actors.engine.judge import Judge
from actors.engine.latest import Due
from actors.engine.nodes import AccountNode, Chain, Item, Light
from actors.engine.timeline import Timeline
from actors.evidence import Evidence, GrantName, NamedGrant, Observation, Signal
from actors.messages import EvidenceChanged


class Lights:
    """All live evidence, and the chains that it lights."""

    def __init__(self, graph: Graph, judge: Judge, ended: EndedRing, changes: Changes) -> None:
        self._graph = graph
        self._judge = judge
        self._ended = ended
        self._changes = changes
        self.timeline = Timeline()
        self.live = 0
        self.begun = 0
        """Pieces of evidence that were new, so far."""
        self._due: Due[Item] = Due()
        self._proven_due: Due[Chain] = Due()
        self._leaving: dict[AccountNode, None] = {}
        """Accounts of which something ended: they may have nothing left."""
        for past in ended:
            if past.secret is not None:
                graph.chains.know(past.secret)

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
        self._ended.numbers += 1
        item = Item(self._ended.numbers, account, evidence)
        observation = evidence.observation
        self.live += 1
        self.begun += 1
        self._changes.touched += 1
        was_burst = account.burst
        account.items[observation.key] = item
        secret = item.secret
        if secret is None:
            account.collections.add(item)
        else:
            account.by_secret.setdefault(secret, set()).add(item)
            self._graph.chains.know(secret)
        past = self._ended.get(account.account, observation.key)
        if past is not None and past.evidence.observation.first_seen == observation.first_seen:
            self._ended.take(account.account, observation.key)
            self._unknow([past])
        self.timeline.put(item)
        self._evaluate(item, now)
        self._watch(item, now)
        if account.burst is not was_burst and account.lighting:
            self._changes.answers = True

    def _refresh(self, item: Item, evidence: Evidence, now: float) -> None:
        """The same observation, changed. Cheap where nothing but its times did, which is what a repeated read is."""
        old = item.evidence
        observation, before = evidence.observation, old.observation
        if observation.count == before.count and evidence == old:
            return
        item.evidence = evidence
        if observation.live_until <= now:
            self._end(item, now)
            return
        if (
            item.steady
            and evidence.attribution is old.attribution
            and evidence.workloads == old.workloads
            and observation.last.at >= item.account.fickle_before
            and observation.last.verb != "watch"
            and observation.live_until >= before.live_until
        ):
            self._repeat(item, observation, before)
        else:
            self._evaluate(item, now, before)
            self._watch(item, now)
        if int(observation.last.at) != item.second:
            self.timeline.move(item)
        if evidence.signals != old.signals:
            self.recount(item)
        if item.edges:
            self._changes.answers = True
        self._changes.touched += 1 + len(item.edges)

    def _repeat(self, item: Item, observation: Observation, before: Observation) -> None:
        """Another read like those before, a moment later: the same grants allow it, and its light lasts longer."""
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
        named = observation.named
        if named is before.named:
            return
        names = [each.grant for each in named]
        if names != item.named_grants:
            self._name(item, fell=not set(item.named_grants) <= set(names))
            self._judge.named(item, names)
            return
        for each, chains in zip(named, item.provers, strict=True):
            for chain in chains:
                if chain.light is not None and each.live_until > chain.light.read_proven:
                    chain.light.raise_to(0.0, each.live_until)

    def _keep_late(self, account: AccountNode, evidence: Evidence, now: float) -> None:
        """It was not live when it came; it is still told."""
        observation = evidence.observation
        known = self._ended.get(account.account, observation.key)
        if known is not None and known.evidence == evidence:
            return
        self._ended.numbers += 1
        covered = bool(self._allowing(account, observation)) if not observation.last.borrowed else False
        self._remember(Ended(self._ended.numbers, evidence, covered or None, evidence.signals, (), now))

    def _end(self, item: Item, now: float) -> None:
        """It is live no longer: by time, or because the store says so."""
        account, observation = item.account, item.observation
        self.live -= 1
        self._changes.touched += 1
        was_burst = account.burst
        ended_at = min(now, observation.live_until)
        chains = tuple(sorted(chain.id for chain in item.edges))
        past = Ended(item.number, item.evidence, item.explained, tuple(item.all_signals()), chains, ended_at)
        self._remember(past)
        self._link(item, {}, fell=False)
        del account.items[observation.key]
        secret = item.secret
        if secret is None:
            account.collections.discard(item)
        else:
            items = account.by_secret[secret]
            items.discard(item)
            if not items:
                del account.by_secret[secret]
            self._graph.chains.unknow(secret)
        self.timeline.drop(item)
        self._due.drop(item)
        self._judge.drop(item)
        if account.burst is not was_burst and account.lighting:
            self._changes.answers = True
        self._leaving[account] = None

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
        for item in list(account.items.values()):
            self._evaluate(item, now)
            self._watch(item, now)

    def _allowing(self, account: AccountNode, observation: Observation) -> bool:
        last = observation.last
        allowing = self._graph.grants.allowing(
            account.account, last.verb, last.scope.namespace, last.scope.name, at=last.at
        )
        return bool(allowing)

    def _evaluate(self, item: Item, now: float, before: Observation | None = None) -> None:
        """Which chains this read lights: by the grants as of the event, and those named in a read that is still live.

        `before`: the observation as it was last evaluated, where it changed.
        """
        account, evidence = item.account, item.evidence
        observation = evidence.observation
        last = observation.last
        verb, namespace, name = last.verb, last.scope.namespace, last.scope.name
        edges: dict[Chain, float | None] = {}
        allowed = False
        for grant in self._graph.grants.allowing(account.account, verb, namespace, name) if not last.borrowed else ():
            in_force = grant.in_force(last.at)
            allowed = allowed or in_force
            end = None if in_force else named_until(observation.named, GrantName(grant.binding, grant.role))
            if end is not None and end <= now:
                continue
            for scope in grant.scopes():
                if not grant.scope_allows(scope, verb, namespace, name):
                    continue
                key = (grant.binding, grant.role, scope)
                for workload in evidence.workloads:
                    entry = self._graph.entry(workload, account.account)
                    chain = self._graph.granted_chain(entry, key, account.known_grants.get(key, grant))
                    if edges.get(chain, 0.0) is not None:
                        edges[chain] = end
        item.steady = not account.has_tombstones and last.at >= account.fickle_before
        fell = before is not None and observation.live_until < before.live_until
        self._link(item, edges, fell=fell)
        self._judge.covered(item, allowed=allowed)
        self.recount(item)

    def _link(self, item: Item, edges: dict[Chain, float | None], *, fell: bool) -> None:
        """From now on these are what it lights. `fell`: it may do so for less long than before."""
        before = item.edges
        names = {each.grant for each in item.observation.named}
        fell = fell or not names.issuperset(item.named_grants)
        fell = fell or any(end is not None for edge in (before, edges) for end in edge.values())
        if edges != before:
            self._changes.answers = True
            item.account.lighting += bool(edges) - bool(before)
        item.edges = edges
        for chain in before:
            if chain not in edges and chain.light is not None:
                self._changes.touched += 1
                chain.light.drop(item)
                chain.light.count_signals(item.counted, -1)
                self._changes.unsettled[chain] = None
        for chain in edges:
            if chain.light is None:
                chain.light = Light()
            if chain not in before:
                self._changes.touched += 1
                chain.light.count_signals(item.counted, 1)
            self._changes.unsettled[chain] = None
        self._name(item, fell=fell)

    def _name(self, item: Item, *, fell: bool) -> None:
        """Puts it into the light of each of its chains, with what the API server named."""
        names = [each.grant for each in item.observation.named]
        for chain in item.edges:
            light = chain.light
            if light is not None:
                proven = item.proven_in(chain) if chain.grant_name in names else 0.0
                light.put(item, item.until_in(chain), proven, fell=fell)
                if proven > 0.0:
                    self._proven_due.at(chain, proven)
        item.provers = tuple(tuple(chain for chain in item.edges if chain.grant_name == name) for name in names)

    def recount(self, item: Item) -> None:
        """Its signals changed, or may have."""
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
        moments = (self._due.next_at(), self._proven_due.next_at(), self._ended.next_at())
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
                self._evaluate(item, now)
            self._watch(item, now)
            if item.held_open is not was_open and item.edges:
                self._changes.answers = True
        while (chain := self._proven_due.pop(now)) is not None:
            until = chain.light.proven_until if chain.light is not None else 0.0
            if until > now:
                self._proven_due.at(chain, until)
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
            lit = light is not None and light.until > now
            if lit is not chain.lit:
                self._graph.chains.turn(chain, lit=lit)
                self._flip(chain, now)
            if lit:
                continue
            if light is not None and not light.items:
                chain.light = None
            if not chain.structural and chain.light is None:
                self._proven_due.drop(chain)
                self._graph.remove_chain(chain)
        leaving, self._leaving = self._leaving, {}
        for account in leaving:
            self._graph.leave_account(account)

    def _flip(self, chain: Chain, now: float) -> None:
        if chain.lit:
            chain.told = tell(chain, now)
            self._changes.flips.append(chain_flip(chain, "chain.corroborated", now))
        else:
            self._changes.flips.append(chain_flip(chain, "chain.expired", now))
            chain.told = None


def named_until(named: Iterable[NamedGrant], grant: GrantName) -> float:
    """Until when (epoch seconds) a read is live in which the API server named this grant; 0.0 for none."""
    return max((each.live_until for each in named if each.grant == grant), default=0.0)
