"""The engine's objects as the shapes of the outside contract. Pure; counterparts: queries.py (the shapes), listing.py (the pages).

Everything an outsider chose (names, user agents, audit ids) is data here; whoever shows it escapes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

import msgspec
from msgspec.structs import replace

from actors.engine.acts import Held, acted_by, acted_until, acts_of, lights
from actors.engine.chains import Chains
from actors.engine.ended import Ended
from actors.engine.ended_acts import EndedAct
from actors.engine.flips import corroborated_by, is_proven
from actors.engine.nodes import Chain, Item, WorkloadNode
from actors.engine.queries import (
    BehaviorView,
    ChainView,
    EntryView,
    EvidenceView,
    GrantNameView,
    GrantView,
    NameView,
    ObjectView,
    SecretStateView,
)
from actors.engine.secrets import SecretName
from actors.engine.timeline import position_of
from actors.evidence import LOGS, Act, Evidence, ObjectName, Scope, Signal, Workload
from actors.evidence.times import rfc3339

SECRETS_SHOWN_MAX: Final = 1000
"""Secrets in one chain's answer, the corroborated ones first."""
EVIDENCE_SHOWN_MAX: Final = 20
"""Pieces of evidence in one chain's answer, the newest."""
TECHNIQUE: Final = "T1552"
"""MITRE ATT&CK: unsecured credentials."""


def object_view(name: ObjectName | Workload) -> ObjectView:
    """Kind, namespace and name."""
    return ObjectView(name.kind, name.namespace, name.name)


def item_view(item: Item, now: float) -> EvidenceView:
    """A live piece of evidence."""
    chains = sorted(chain.id for chain in item.edges if chain.lit)
    view = _evidence_view(item.evidence, item.explained, item.all_signals(), chains, now, live=True)
    return view if item.expected is None else replace(view, expected=item.expected)


def ended_view(ended: Ended, now: float) -> EvidenceView:
    """A piece that is live no longer, as it was."""
    view = _evidence_view(ended.evidence, ended.explained, ended.signals, list(ended.chains), now, live=False)
    return view if ended.expected is None else replace(view, expected=ended.expected)


def _evidence_view(
    evidence: Evidence,
    explained: bool | None,
    signals: Iterable[Signal],
    chains: list[str],
    now: float,
    *,
    live: bool,
) -> EvidenceView:
    observation = evidence.observation
    last = observation.last
    view = EvidenceView(
        service_account=NameView(last.account.namespace, last.account.name),
        secret=NameView(last.scope.namespace, last.scope.name),
        behavior=BehaviorView("secret_read", str(last.scope), "api"),
        verb=last.verb,
        attribution=evidence.attribution.value,
        workloads=[object_view(workload) for workload in evidence.workloads],
        pods=list(evidence.pods),
        observed_at=rfc3339(last.at),
        first_seen=rfc3339(observation.first_seen),
        count=observation.count,
        live=live,
        held_open=live and observation.held_open_until > now,
        expires_at=rfc3339(observation.live_until) if live else None,
        source_ip=last.source_ip,
        user_agent=last.user_agent,
        credential_id=last.credential_id,
        audit_id=last.audit_id,
        granted_by=[
            GrantNameView(object_view(named.grant.binding), object_view(named.grant.role))
            for named in observation.named
        ],
        explained=explained,
        signals=[signal.value for signal in signals],
        chains=chains,
    )
    return replace(view, via=last.via, unsaid=list(LOGS.get(last.via, ()))) if last.via else view


def act_view(held: Held, now: float, chains: Iterable[Chain] = ()) -> EvidenceView:
    """What a sensor reported, in the shape of evidence: no verb, no address, no grant. `chains`: lit ones that it lights."""
    act = held.act
    lit = [chain.id for chain in chains if chain.lit and lights(act, chain)]
    return _act_view(act, lit, live=act.live_until > now)


def ended_act_view(ended: EndedAct, _now: float) -> EvidenceView:
    """An act that is not live any more: it lights nothing, also where it had to make room before its time."""
    return _act_view(ended.act, [], live=False)


def _act_view(act: Act, chains: list[str], *, live: bool) -> EvidenceView:
    wire = msgspec.to_builtins(act.behavior)
    return EvidenceView(
        service_account=NameView(act.account.namespace, act.account.name),
        secret=NameView(act.account.namespace if act.secret is not None else None, act.secret),
        behavior=BehaviorView(**wire, summary=act.behavior.summary),
        verb=None,
        attribution=act.attribution.value,
        workloads=[object_view(act.workload)],
        pods=[act.pod],
        observed_at=rfc3339(act.observed_at),
        first_seen=rfc3339(act.first_seen),
        count=act.count,
        live=live,
        held_open=False,
        expires_at=rfc3339(act.live_until),
        source_ip=None,
        user_agent=act.sensor,
        credential_id=None,
        audit_id="",
        granted_by=[],
        explained=None,
        signals=[],
        chains=sorted(chains),
    )


def chain_view(chain: Chain, chains: Chains, now: float, secrets_max: int = SECRETS_SHOWN_MAX) -> ChainView:
    """A chain with everything that lights it, and the first of the Secrets in its scope."""
    light = chain.light
    until = max(light.until if light is not None else 0.0, acted_until(chain))
    newest = light.newest(EVIDENCE_SHOWN_MAX) if light is not None and light.until > now else []
    secrets, total = _secrets(chain, chains, now, secrets_max)
    by = corroborated_by(chain, now)
    return _chain_view(chain, until, is_proven(chain, now), secrets, total, newest, by, now, is_open=chain.open)


def chain_view_of_secret(chain: Chain, secret: SecretName, now: float) -> ChainView:
    """A chain as far as this one Secret goes: what was read of others says nothing."""
    until, proven_until, items = light_of_secret(chain, secret)
    lit = until > now
    newest = sorted(items, key=position_of, reverse=True)
    by = tuple(b for b in corroborated_by(chain, now) if b != "read" or items)
    state = SecretStateView(*secret, corroborated=lit, expires_at=rfc3339(until) if lit else None)
    is_open = acted_until(chain) > now or any(item.expected is None for item in items)
    shown = newest[:EVIDENCE_SHOWN_MAX]
    return _chain_view(chain, until, proven_until > now, [state], 1, shown, by, now, is_open=is_open)


def entry_view(node: WorkloadNode, pods: Iterable[str], usable_token: bool | None) -> EntryView:
    """Where a chain or an escalation starts. `usable_token` None: it starts from no account."""
    workload, exposure = node.workload, node.exposure
    return EntryView(
        workload.kind, workload.namespace, workload.name, exposure.level, exposure.reason, list(pods), usable_token
    )


def _chain_view(
    chain: Chain,
    until: float,
    proven: bool,
    secrets: list[SecretStateView],
    secrets_total: int,
    newest: list[Item],
    by: tuple[str, ...],
    now: float,
    *,
    is_open: bool,
) -> ChainView:
    exposure, entry, grant = chain.node.exposure, chain.entry, chain.grant
    lit = until > now
    account = None if entry is None else NameView(entry.account.account.namespace, entry.account.account.name)
    return ChainView(
        id=chain.id,
        entry=entry_view(chain.node, chain.pods, None if entry is None else entry.tokens > 0),
        service_account=account,
        reach=chain.reach,
        grant=None
        if grant is None
        else GrantView(
            object_view(grant.binding), object_view(grant.role), list(grant.verbs_for(chain.scope)), grant.revoked
        ),
        objective=NameView(chain.scope.namespace, chain.scope.name),
        technique=TECHNIQUE,
        breach_relevant=exposure.rank == 0,
        corroborated=lit,
        corroboration=("proven" if proven else "possible") if lit else None,
        corroborated_by=list(by) if lit else [],
        expires_at=rfc3339(until) if lit else None,
        secrets=secrets,
        secrets_total=secrets_total,
        evidence=_newest_views(chain, newest, now),
        open=lit and is_open,
    )


def _newest_views(chain: Chain, items: list[Item], now: float) -> list[EvidenceView]:
    """The newest of reads and acts together."""
    acts = acts_of(chain, now, EVIDENCE_SHOWN_MAX)
    if not acts:
        return [item_view(item, now) for item in items]
    peers = chain.node.chains()
    rows = [(position_of(item), item_view(item, now)) for item in items]
    rows += [(held.position, act_view(held, now, peers)) for held in acts]
    return [view for _, view in sorted(rows, key=lambda row: row[0], reverse=True)[:EVIDENCE_SHOWN_MAX]]


# --- single Secrets inside a chain -------------------------------------------------------------------------------------


def light_of_secret(chain: Chain, secret: SecretName) -> tuple[float, float, list[Item]]:
    """Until when this Secret is lit inside the chain, until when proven, and by what; 0.0 where it is not."""
    light, entry, acted = chain.light, chain.entry, acted_until(chain)
    if entry is None:
        return acted, acted if "mounted_read" in acted_by(chain, 0.0) else 0.0, []
    if light is None or chain.grant_name is None:
        return acted, 0.0, []
    items = [item for item in entry.account.over(secret) if chain in item.edges]
    until = max((item.until_in(chain) for item in items), default=0.0)
    proven = max((item.proven_in(chain) for item in items), default=0.0)
    return max(until, acted), min(proven, until), items


def _secrets(chain: Chain, chains: Chains, now: float, most: int) -> tuple[list[SecretStateView], int]:
    """The known Secrets of the chain's scope, the lit ones first, at most so many; and how many there are."""
    scope = chain.scope
    if scope.namespace is not None and scope.name is not None:
        until = max(chain.light.until if chain.light is not None else 0.0, acted_until(chain))
        return [_state((scope.namespace, scope.name), until, now)], 1
    lit = _lit_secrets(chain, chains, now, most)
    shown = [_state(secret, lit[secret], now) for secret in sorted(lit)[:most]]
    room = most - len(shown)
    if room:
        dark = (secret for secret in chains.known.within(scope) if secret not in lit)
        shown += [_state(secret, 0.0, now) for secret in islice(dark, room)]
    return shown, chains.known.count(scope)


def _lit_secrets(chain: Chain, chains: Chains, now: float, most: int) -> dict[SecretName, float]:
    """Secrets lit inside a wide chain, and until when; no more than the answer can hold."""
    light = chain.light
    found: dict[SecretName, float] = {}
    if (acted := acted_until(chain)) > now:  # the workload is not as it was meant: all that it reaches is concerned
        found = dict.fromkeys(islice(chains.known.within(chain.scope), most), acted)
    if light is None or light.until <= now:
        return found
    for item in light.items:
        until, secret = item.until_in(chain), item.secret
        if until <= now:
            continue
        if secret is not None:
            found[secret] = max(found.get(secret, 0.0), until)
        elif (region := _common(chain.scope, item.observation.last.scope)) is not None:
            for known in islice(chains.known.within(region), most):
                found[known] = max(found.get(known, 0.0), until)
        if len(found) >= 2 * most:
            break
    return found


def _common(scope: Scope, other: Scope) -> Scope | None:
    """The Secrets that both scopes hold; None where there can be none."""
    if None not in (scope.namespace, other.namespace) and scope.namespace != other.namespace:
        return None
    if None not in (scope.name, other.name) and scope.name != other.name:
        return None
    namespace = scope.namespace if scope.namespace is not None else other.namespace
    return Scope(namespace, scope.name if scope.name is not None else other.name)


def _state(secret: SecretName, until: float, now: float) -> SecretStateView:
    lit = until > now
    return SecretStateView(secret[0], secret[1], lit, rfc3339(until) if lit else None)
