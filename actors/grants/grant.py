"""A grant: one binding and its role, judged by themselves. Pure; counterpart: index.py."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.evidence import ObjectName, Scope
from actors.grants.powers import Power
from actors.grants.rules import READ_VERBS, SecretRule

TOLERANCE_S: Final = 5.0
"""How far an event may lie outside the time of a grant: clocks differ, and authorizers learn of a change later than the store."""


class Grant(Struct, frozen=True, gc=False):
    """What one binding gives through its role: these rules, in this namespace (None: in all, and cluster-wide requests)."""

    binding: ObjectName
    role: ObjectName
    namespace: str | None
    rules: tuple[SecretRule, ...]
    """What it lets be read; a grant of powers alone has none."""
    valid_from: float = 0.0
    gone_at: float | None = None
    """When it ended: the binding or role went or was replaced. math.inf: only an earlier snapshot has it, no one knows since when."""
    powers: tuple[Power, ...] = ()
    """What else it allows that leads to Secrets: no read, and judged apart (escalation.py)."""

    @property
    def revoked(self) -> bool:
        """Whether it is remembered only."""
        return self.gone_at is not None

    def in_force(self, at: float) -> bool:
        """Whether it stood at that time, within TOLERANCE_S."""
        return self.valid_from - TOLERANCE_S <= at and (self.gone_at is None or at <= self.gone_at + TOLERANCE_S)

    def reaches(self, namespace: str | None) -> bool:
        """Whether a request for this namespace (None: cluster-wide) looks at it: only ClusterRoleBindings do for all."""
        return self.namespace is None or self.namespace == namespace

    def allows(self, verb: str, namespace: str | None, name: str | None) -> bool:
        """Whether it by itself allows this request: verb, namespace or None for all, name or None for a collection."""
        return self.reaches(namespace or None) and any(rule.allows(verb, name) for rule in self.rules)

    def scopes(self) -> tuple[Scope, ...]:
        """What can be read by it: every Secret of its namespace or everywhere, and those that rules name, sorted by name.

        A named Secret is there also where another rule already gives all of them: its verbs may be more.
        """
        names = {name for rule in self.rules if rule.names is not None for name in rule.names if name}
        whole = [Scope(self.namespace, None)] if any(rule.collection_verbs for rule in self.rules) else []
        return (*whole, *(Scope(self.namespace, name) for name in sorted(names)))

    def rules_for(self, scope: Scope) -> tuple[SecretRule, ...]:
        """The rules that give this one of its scopes: those that name the Secret, or those about the whole collection."""
        if scope.name is None:
            return tuple(rule for rule in self.rules if rule.collection_verbs)
        return tuple(rule for rule in self.rules if rule.names is not None and scope.name in rule.names)

    def verbs_for(self, scope: Scope) -> tuple[str, ...]:
        """The verbs that this one of its scopes can be read by, in the order of READ_VERBS."""
        whole = scope.name is None
        found = {verb for rule in self.rules_for(scope) for verb in (rule.collection_verbs if whole else rule.verbs)}
        return tuple(verb for verb in READ_VERBS if verb in found)

    def scope_allows(self, scope: Scope, verb: str, namespace: str | None, name: str | None) -> bool:
        """Whether the rules behind this one of its scopes allow the request, and the request stays within the scope."""
        if not self.reaches(namespace or None) or (scope.name is not None and scope.name != name):
            return False
        if scope.name is None and name:  # a rule of names is in this scope only for what it allows without a name
            return any(rule.names is None and verb in rule.verbs for rule in self.rules)
        return any(rule.allows(verb, name) for rule in self.rules_for(scope))

    def verbs_on(self, namespace: str, name: str) -> tuple[str, ...]:
        """The verbs by which this Secret can be read through it, by name or within a collection."""
        if not self.reaches(namespace):
            return ()
        found: set[str] = set()
        for rule in self.rules:
            found |= rule.verbs if rule.names is None or name in rule.names else rule.collection_verbs
        return tuple(verb for verb in READ_VERBS if verb in found)
