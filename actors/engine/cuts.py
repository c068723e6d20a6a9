"""What to cut so that a chain ends, in words. Pure; counterparts: listing.py asks; web/rights.py makes roles of what is used.

The first line ends this chain. What follows says what else would be left: other bindings that give the same account the same Secrets,
and whom else the cut concerns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from actors.engine.graph import Graph
from actors.engine.nodes import Chain
from actors.evidence import Scope
from actors.grants import Concerned, Grant

OTHERS_NAMED_MAX: Final = 8
"""Other bindings that are named; of more only the number is."""


def cut_of(graph: Graph, chain: Chain) -> list[str]:
    """Sentences for a person; at least one."""
    entry, grant = chain.entry, chain.grant
    workload = chain.node.workload
    if entry is None or grant is None:
        return [f"Take the mount of Secret {chain.scope} out of {workload}."]
    account = entry.account.account
    if grant.revoked:
        return [
            f"{grant.binding} is gone or was changed: nothing is left to cut here. Rotate what was read if it was not meant."
        ]
    found = [f"Delete {grant.binding}, or take ServiceAccount {account} out of its subjects."]
    found += _concerned(graph.grants.concerned_by(grant.binding), account.namespace)
    if chain.scope.name is None:
        found.append(
            f"Or narrow {grant.role} with resourceNames to what is used: `protector access --narrowest --account {account}`."
        )
    others = sorted({str(each.binding) for each in _same(entry.account.grants, chain)})
    if others:
        named = ", ".join(others[:OTHERS_NAMED_MAX])
        more = f" and {len(others) - OTHERS_NAMED_MAX} more" if len(others) > OTHERS_NAMED_MAX else ""
        found.append(f"That alone does not end the access: {named}{more} let this account read Secrets there too.")
    if len(entry.account.entries) > 1:
        found.append(f"{len(entry.account.entries)} workloads run as {account}: the cut concerns all of them.")
    return found


def _concerned(concerned: Concerned, namespace: str) -> Iterator[str]:
    if concerned.everyone:
        yield "Its subject is a group of every ServiceAccount: deleting it concerns them all, and no single one can be taken out."
    elif namespace in concerned.namespaces:
        yield f"Its subject is the group of every ServiceAccount of {namespace}: the cut concerns all of them."
    elif len(concerned.accounts) > 1:
        yield f"It names {len(concerned.accounts)} accounts: deleting it concerns all of them."


def _same(grants: tuple[Grant, ...], chain: Chain) -> Iterator[Grant]:
    """Other bindings of the account through which Secrets of the chain's scope can be read."""
    for grant in grants:
        if grant.revoked or chain.grant is None or grant.binding == chain.grant.binding:
            continue
        if any(_meet(scope, chain.scope) for scope in grant.scopes()):
            yield grant


def _meet(one: Scope, other: Scope) -> bool:
    return (None in (one.namespace, other.namespace) or one.namespace == other.namespace) and (
        None in (one.name, other.name) or one.name == other.name
    )
