"""Rules of roles, reduced to what they say about reading Secrets. Pure; counterpart: index.py.

Every comparison is literal and case-sensitive, "*" is the only wildcard, and all parts must match in one rule
(kubernetes pkg/apis/rbac/v1/evaluation_helpers.go; RuleAllows in plugin/pkg/auth/authorizer/rbac/rbac.go).
`*/*` does not match Secrets: an entry with a slash is about subresources.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from actors.cluster.records import Rule

READ_VERBS: Final = ("get", "list", "watch")
"""Each of the three shows values; they are three separate rights."""

_ALL: Final = frozenset(READ_VERBS)
_COLLECTION: Final = frozenset({"list", "watch"})


class SecretRule(Struct, frozen=True, gc=False):
    """One rule as far as it allows Secrets to be read."""

    verbs: frozenset[str]
    """Out of READ_VERBS; never empty."""
    names: frozenset[str] | None = None
    """None: every name and the collection. "" in it allows the requests without a name, and those alone."""

    def allows(self, verb: str, name: str | None) -> bool:
        """Whether a request with this verb and name (None: none, a collection) is allowed."""
        return verb in self.verbs and (self.names is None or (name or "") in self.names)

    @property
    def collection_verbs(self) -> frozenset[str]:
        """The verbs by which it lets the whole collection be read. A get without a name is no request."""
        if self.names is None:
            return self.verbs
        return self.verbs & _COLLECTION if "" in self.names else frozenset()


def compile_rule(rule: Rule) -> SecretRule | None:
    """What the rule allows of Secrets, or None."""
    if "" not in rule.api_groups and "*" not in rule.api_groups:
        return None
    if "secrets" not in rule.resources and "*" not in rule.resources:
        return None
    verbs = _ALL if "*" in rule.verbs else _ALL.intersection(rule.verbs)
    if not verbs:
        return None
    return SecretRule(verbs, frozenset(rule.resource_names) if rule.resource_names else None)


def compile_rules(rules: Iterable[Rule]) -> tuple[SecretRule, ...]:
    """What the rules allow of Secrets, each once, in their order."""
    return tuple(dict.fromkeys(compiled for rule in rules if (compiled := compile_rule(rule)) is not None))
