"""What one account is granted, and what of that allows a request. Pure; counterpart: nodes.py (the account's node is one of these)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from actors.evidence import GrantName, ObjectName, Read, Scope, Workload
from actors.grants import Escalation, Grant, escalations_of

if TYPE_CHECKING:
    from actors.engine.nodes import Chain

ChainKey = tuple[ObjectName, ObjectName, Scope]
"""(binding, role, scope): what tells the chains of one entry apart."""
EdgesOf: TypeAlias = "dict[Chain, float | None]"
"""The chains that something lights, and until when (epoch seconds); None: as long as it lives."""


class GrantRow(msgspec.Struct, frozen=True, gc=False):
    """A grant of an account, with what its chains are found by."""

    grant: Grant
    name: GrantName
    keys: tuple[ChainKey, ...]
    """One for each of its scopes."""


WAYS_MAX: Final = 4096
"""Kinds of requests of one account that are remembered with what allows them; when full, all are forgotten."""
_OTHER_NAME: Final = "*"
"""Stands for every name that no rule of the account mentions: they are all allowed alike. No object can have this name."""


class Ways(msgspec.Struct, frozen=True):
    """What allows one kind of request of an account, whenever it stood."""

    rows: tuple[GrantRow, ...]
    """The grants, each of which allows it by itself."""
    keys: tuple[tuple[ChainKey, ...], ...]
    """For each of them the chains that the request lights: those of the scopes that it used."""
    lasting: dict[tuple[Workload, ...], EdgesOf] = msgspec.field(default_factory=dict)
    """By workloads: the edges of such a request while every grant of the account stands; made when first needed, shared, never
    changed. Where a chain of them was removed since they are made anew."""


class Granted:
    """The grants of an account, and the kinds of requests that were held against them."""

    __slots__ = (
        "_mentioned", "_rows", "_ways", "current", "escalations", "fickle_before", "grants", "has_tombstones", "held", "known_grants",
    )  # fmt: skip

    def __init__(self) -> None:
        self.held: tuple[Grant, ...] = ()
        """Its grants of Secrets and of what leads to them."""
        self.escalations: tuple[Escalation, ...] = ()
        self.grants: tuple[Grant, ...] = ()
        """Its grants of Secrets."""
        self.current: dict[ChainKey, Grant] = {}
        self.known_grants: dict[ChainKey, Grant] = {}
        """The current ones and those that are remembered."""
        self._rows: dict[str | None, list[GrantRow]] = {}
        """Its grants by their namespace."""
        self._mentioned: frozenset[str] = frozenset()
        """Names of Secrets that its grants' rules mention."""
        self._ways: dict[tuple[str, str | None, str | None], Ways] = {}
        self.has_tombstones = False
        self.fickle_before = 0.0
        """Reads before this moment may have been made under fewer grants than there are now."""

    def take(self, held: tuple[Grant, ...]) -> bool:
        """It has these grants now. Whether those of Secrets are others than before."""
        self.held = held
        self.escalations = escalations_of(held)
        grants = tuple([grant for grant in held if grant.rules])
        if grants == self.grants:
            return False
        self.grants = grants
        self.current, self.known_grants, self._rows = {}, {}, {}
        for grant in grants:
            keys = tuple((grant.binding, grant.role, scope) for scope in grant.scopes())
            row = GrantRow(grant, GrantName(grant.binding, grant.role), keys)
            self._rows.setdefault(grant.namespace, []).append(row)
            for key in keys:
                other = self.known_grants.get(key)
                if other is None or other.revoked:
                    self.known_grants[key] = grant
                if not grant.revoked:
                    self.current[key] = grant
        self._ways = {}
        rules = [rule for grant in grants for rule in grant.rules if rule.names is not None]
        self._mentioned = frozenset(name for rule in rules for name in rule.names or ())
        self.has_tombstones = any(grant.revoked for grant in grants)
        self.fickle_before = max((grant.valid_from for grant in grants), default=0.0)
        return True

    def ways(self, read: Read) -> Ways:
        """What allows this request: grants, remembered ones too, and the chains of those."""
        scope = read.scope
        name = scope.name
        if name is not None and name not in self._mentioned:
            name = _OTHER_NAME
        key = (read.verb, scope.namespace, name)
        ways = self._ways.get(key)
        if ways is None:
            if len(self._ways) >= WAYS_MAX:
                self._ways.clear()
            ways = self._ways[key] = self._find_ways(read.verb, scope.namespace, scope.name)
        return ways

    def _find_ways(self, verb: str, namespace: str | None, name: str | None) -> Ways:
        rows = [row for row in self._rows.get(None, ()) if row.grant.allows(verb, namespace, name)]
        if namespace is not None:
            rows += [row for row in self._rows.get(namespace, ()) if row.grant.allows(verb, namespace, name)]
        keys = [tuple(k for k in row.keys if row.grant.scope_allows(k[2], verb, namespace, name)) for row in rows]
        return Ways(tuple(rows), tuple(keys))
