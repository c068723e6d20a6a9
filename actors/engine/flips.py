"""What the flip log is told: chains that are lit or dark now, reads that no grant covers. Pure; counterpart: announce.py."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, Literal

import msgspec

from actors.engine.acts import acted_by, acts_of
from actors.engine.ended import Ended
from actors.engine.nodes import Chain, Item, Told
from actors.evidence import Attribution, Signal
from actors.messages import Flip

STRENGTHS: Final = tuple(Attribution)
"""Attributions, strongest first."""
TOLD_ITEMS_MAX: Final = 20
"""So many of a chain's newest pieces of evidence decide about the attribution that a flip names."""
READ_KEY: Final = "read:"
"""What the keys of unexplained reads begin with; those of chains are their ids."""


def signals_of(chain: Chain) -> tuple[Signal, ...]:
    """The signals of all live evidence of the chain, each once, in a fixed order."""
    if chain.light is None or chain.entry is None:
        return ()
    counted = chain.light.signals
    burst = chain.entry.account.burst
    if not counted and not burst:
        return ()
    return tuple(signal for signal in Signal if signal in counted or (burst and signal is Signal.BURST))


def tell(chain: Chain, now: float) -> Told:
    """What to say of the evidence that lights the chain: its strongest attribution, and all its signals."""
    light = chain.light
    attributions = {held.act.attribution for held in acts_of(chain, now, TOLD_ITEMS_MAX)}
    if light is not None:
        newest = light.newest(TOLD_ITEMS_MAX)
        telling = [item for item in newest if item.expected is None] or newest
        attributions |= {item.evidence.attribution for item in telling}
    if not attributions:
        raise ValueError("a dark chain has nothing to tell")
    strongest = next(attribution for attribution in STRENGTHS if attribution in attributions)
    return Told(
        strongest, "proven" if is_proven(chain, now) else "possible", signals_of(chain), corroborated_by(chain, now)
    )


def is_proven(chain: Chain, now: float) -> bool:
    """Whether the API server named its binding in a live read; or, of a mount, its very file was seen being read."""
    return (chain.light is not None and chain.light.proven_until > now) or "mounted_read" in acted_by(chain, now)


def corroborated_by(chain: Chain, now: float) -> tuple[str, ...]:
    """Why the chain is lit."""
    by_read = chain.light is not None and chain.light.until > now
    return (*(("read",) if by_read else ()), *acted_by(chain, now))


def chain_flip(chain: Chain, event: Literal["chain.corroborated", "chain.expired"], at: float) -> Flip:
    """The flip of this chain; its end repeats what its beginning said."""
    told, entry = chain.told, chain.entry
    if told is None:
        raise ValueError("only a chain that was lit flips")
    return Flip(
        at=at,
        event=event,
        chain=chain.id,
        workload=chain.node.workload,
        service_account=None if entry is None else entry.account.account,
        secret=str(chain.scope),
        attribution=told.attribution,
        corroboration=told.corroboration,
        exposure=chain.node.exposure.level,
        signals=told.signals,
        key=chain.id,
        corroborated_by=told.corroborated_by,
    )


def unexplained_flip(item: Item | Ended, exposure: str | None, at: float) -> Flip:
    """The report of a read that no grant covers; of several workloads the first is named."""
    evidence, last = item.evidence, item.observation.last
    return Flip(
        at=at,
        event="read.unexplained",
        chain=None,
        workload=evidence.workloads[0] if evidence.workloads else None,
        service_account=last.account,
        secret=str(last.scope),
        attribution=evidence.attribution,
        corroboration=None,
        exposure=exposure,
        signals=item.all_signals(),
        key=unexplained_key(item),
    )


def unexplained_key(item: Item | Ended) -> str:
    """What tells this report apart, also after a restart: the observation, and since when it is in the window."""
    observation = item.observation
    parts = (observation.last.account, observation.key, observation.first_seen)
    return READ_KEY + blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()
