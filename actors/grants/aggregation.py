"""Aggregated ClusterRoles: which roles an aggregationRule selects. Pure; counterpart: index.py.

On a live cluster the controller fills the rules, and they are trusted. In manifests they are empty, and the selectors
are evaluated, transitively (view -> edit -> admin), as pkg/controller/clusterroleaggregation does in the end.
"""

from __future__ import annotations

from actors.cluster.records import LabelRequirement, Role


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
