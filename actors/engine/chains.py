"""All chains with their indexes, and the Secrets that are known by name. Pure; counterpart: graph.py says which there are.

A chain is either lit or dark; the dark ones are kept in the order of the answer, the lit ones are ordered when asked for.
"""

from __future__ import annotations

from typing import TypeVar

from sortedcontainers import SortedKeyList

from actors.engine.changes import Changes
from actors.engine.nodes import Chain, Entry, WorkloadNode
from actors.engine.secrets import KnownSecrets, SecretName
from actors.evidence import Scope
from actors.grants import Grant

K = TypeVar("K")


class Chains:
    """Chains by id, by scope and by namespace; whatever here changes what /api/chains answers says so in `Changes`."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._made = 0
        self.by_id: dict[str, Chain] = {}
        self.by_scope: dict[Scope, dict[Chain, None]] = {}
        self.by_namespace: dict[str, dict[Chain, None]] = {}
        """By the namespace of the workload."""
        self.dark: SortedKeyList[Chain, tuple[int, str]] = SortedKeyList(key=_dark_key)
        self.lit: dict[Chain, None] = {}
        self.open = 0
        """How many of the lit ones are lit by evidence that is not expected."""
        self.known = KnownSecrets()

    def make(self, node: WorkloadNode, entry: Entry | None, grant: Grant | None, scope: Scope) -> Chain:
        """A new chain, dark."""
        self._made += 1
        chain = Chain(self._made, node, entry, grant, scope)
        self.by_id[chain.id] = chain
        self.by_namespace.setdefault(node.workload.namespace, {})[chain] = None
        peers = self.by_scope.setdefault(scope, {})
        if not peers and scope.namespace is not None and scope.name is not None:
            self.know((scope.namespace, scope.name))
        peers[chain] = None
        self.dark.add(chain)
        if node.acts is not None:
            self._changes.unsettled[chain] = None  # what is live of its workload may light it at once
        self._changes.answers = True
        self._changes.touched += 1
        return chain

    def remove(self, chain: Chain) -> None:
        """Takes out a chain that is neither lit nor listed. Its entry and workload are the graph's matter."""
        self._changes.touched += 1
        self._changes.answers = True
        chain.removed = True
        self.dark.remove(chain)
        del self.by_id[chain.id]
        _take_out(self.by_namespace, chain.node.workload.namespace, chain)
        scope = chain.scope
        if _take_out(self.by_scope, scope, chain) and scope.namespace is not None and scope.name is not None:
            self.unknow((scope.namespace, scope.name))

    def turn(self, chain: Chain, *, lit: bool) -> None:
        """From dark to lit, or back."""
        self._changes.answers = True
        chain.lit = lit
        if lit:
            self.dark.remove(chain)
            self.lit[chain] = None
        else:
            del self.lit[chain]
            self.dark.add(chain)

    def mark_open(self, chain: Chain, *, is_open: bool) -> None:
        """From here on it is a finding, or none any more."""
        self._changes.answers = True
        self.open += is_open - chain.open
        chain.open = is_open

    def over(self, secret: SecretName) -> list[Chain]:
        """The chains whose scope holds this Secret."""
        return [chain for scope in scopes_over(secret) for chain in self.by_scope.get(scope, ())]

    def know(self, secret: SecretName) -> None:
        """One more source names this Secret."""
        if self.known.add(secret) and not self._changes.answers and self._is_listed(secret):
            self._changes.answers = True

    def unknow(self, secret: SecretName) -> None:
        """One source less."""
        if self.known.drop(secret) and not self._changes.answers and self._is_listed(secret):
            self._changes.answers = True

    def _is_listed(self, secret: SecretName) -> bool:
        """Whether a chain lists it because it is known. A chain over this one Secret shows it anyhow."""
        return any(scope in self.by_scope for scope in scopes_over(secret)[1:])


def scopes_over(secret: SecretName) -> tuple[Scope, Scope, Scope, Scope]:
    """The scopes that hold this one Secret, the Secret itself first."""
    namespace, name = secret
    return (Scope(namespace, name), Scope(namespace, None), Scope(None, name), Scope(None, None))


def _dark_key(chain: Chain) -> tuple[int, str]:
    return chain.dark_key


def _take_out(index: dict[K, dict[Chain, None]], key: K, chain: Chain) -> bool:
    """Takes the chain out of the index. Whether it was the last under this key."""
    chains = index[key]
    del chains[chain]
    if not chains:
        del index[key]
    return not chains
