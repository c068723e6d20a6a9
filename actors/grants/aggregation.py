"""Aggregated ClusterRoles: which roles an aggregationRule selects. Pure; counterpart: index.py.

On a live cluster the controller fills the rules, and they are trusted. In manifests they are empty, and the selectors
are evaluated, transitively (view -> edit -> admin), as pkg/controller/clusterroleaggregation does in the end.
"""

from __future__ import annotations

import math

from actors.cluster.records import LabelRequirement, Role, Rule
from actors.evidence import ObjectName


class Aggregates:
    """The ClusterRoles that nobody filled, with what they select, kept in step one role at a time.

    `roles`: every role that is held, with its versions; it is the index's, and only looked at here.
    """

    def __init__(self, roles: dict[ObjectName, tuple[Role, ...]]) -> None:
        self._roles = roles
        self._selected: dict[ObjectName, dict[ObjectName, None]] = {}
        """The aggregates -> the roles that they select."""
        self._selecting: dict[ObjectName, Role] = {}
        """The same aggregates -> the version whose selectors count."""

    def __len__(self) -> int:
        return len(self._selected)

    def changed(self, key: ObjectName) -> dict[ObjectName, None]:
        """Bring the aggregates up to date with this role, and return those whose rules may have changed by it."""
        if key.kind != "ClusterRole":
            return {}
        upward = self._ancestors(key)
        self._selected.pop(key, None)
        versions = self._roles.get(key, ())
        role, unfilled = _current(versions), _unfilled(versions)
        for name, selected in self._selected.items():
            selected.pop(key, None)
            if role is not None and selects(self._selecting[name], role):
                selected[key] = None
        if unfilled is None:
            self._selecting.pop(key, None)
        else:
            others = (_current(each) for each in self._roles.values())
            self._selecting[key] = unfilled
            self._selected[key] = {
                other.name: None for other in others if other is not None and selects(unfilled, other)
            }
        return upward | self._ancestors(key)

    def _ancestors(self, key: ObjectName) -> dict[ObjectName, None]:
        """The aggregates that select the role, directly or through others."""
        found: dict[ObjectName, None] = {}
        pending = [key]
        while pending:
            current = pending.pop()
            for name, selected in self._selected.items():
                if current in selected and name not in found:
                    found[name] = None
                    pending.append(name)
        return found

    def contributors(self, role: ObjectName) -> tuple[ObjectName, ...]:
        """The roles whose own rules an unfilled aggregate has, by name; the role itself where it is none."""
        seen, pending = {role: None}, [role]
        while pending:
            for selected in self._selected.get(pending.pop(), ()):
                if selected not in seen:
                    seen[selected] = None
                    pending.append(selected)
        return tuple(sorted(name for name in seen if name not in self._selected))

    def rules_of(self, role: Role) -> tuple[Rule, ...]:
        """What the role allows: its own rules, or where nobody filled it those of what it selects."""
        if role.rules is not None:
            return role.rules
        parts = (_current(self._roles[name]) for name in self.contributors(role.name) if name in self._roles)
        return tuple(rule for part in parts if part is not None for rule in part.rules or ())


def selects(aggregated: Role, role: Role) -> bool:
    """Whether one of the selectors matches the role's labels. A role never selects itself."""
    if role.name == aggregated.name or role.name.kind != "ClusterRole":
        return False
    labels = dict(role.labels)
    return any(all(_met(each, labels) for each in requirements) for requirements in aggregated.aggregation)


def _met(requirement: LabelRequirement, labels: dict[str, str]) -> bool:
    """Requirement.Matches of k8s.io/apimachinery pkg/labels: NotIn is also met where the label is absent."""
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False


def _current(versions: tuple[Role, ...]) -> Role | None:
    """The version that counts inside an aggregate: the live one, or one of an earlier snapshot."""
    return next((each for each in reversed(versions) if each.gone_at is None or each.gone_at == math.inf), None)


def _unfilled(versions: tuple[Role, ...]) -> Role | None:
    """The version whose selectors count, if the role is an aggregate that nobody filled; it may be gone by now."""
    role = _current(versions) or (versions[-1] if versions else None)
    return role if role is not None and role.rules is None else None
