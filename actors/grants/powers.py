"""Rules of roles, reduced to the rights that lead to Secrets without being a read of one. Pure; counterpart: escalation.py.

Matching is Kubernetes' own (ResourceMatches in pkg/apis/rbac/v1/evaluation_helpers.go): "*" is every resource and subresource,
"*/exec" that subresource of every resource, all else literal. A request that carries no name (a create of a resource of
its own, unlike one of a subresource) is never allowed by a rule with resourceNames, but for the empty name.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from msgspec import Struct

from actors.cluster.records import Rule


class Right(Enum):
    """What is allowed. The value: API group, resource, verbs any of which is enough, and whether the objects have a namespace."""

    CREATE_PODS = ("", "pods", ("create",), True)
    WORKLOADS_CORE = ("", "replicationcontrollers", ("create", "update", "patch"), True)
    DEPLOYMENTS = ("apps", "deployments", ("create", "update", "patch"), True)
    STATEFULSETS = ("apps", "statefulsets", ("create", "update", "patch"), True)
    DAEMONSETS = ("apps", "daemonsets", ("create", "update", "patch"), True)
    REPLICASETS = ("apps", "replicasets", ("create", "update", "patch"), True)
    JOBS = ("batch", "jobs", ("create",), True)
    CRONJOBS = ("batch", "cronjobs", ("create", "update", "patch"), True)
    EXEC = ("", "pods/exec", ("create", "get"), True)
    EPHEMERAL_CONTAINERS = ("", "pods/ephemeralcontainers", ("update", "patch"), True)
    CREATE_TOKENS = ("", "serviceaccounts/token", ("create",), True)
    IMPERSONATE_ACCOUNTS = ("", "serviceaccounts", ("impersonate",), True)
    IMPERSONATE_USERS = ("", "users", ("impersonate",), False)
    IMPERSONATE_GROUPS = ("", "groups", ("impersonate",), False)
    BIND_ROLES = ("rbac.authorization.k8s.io", "roles", ("bind",), True)
    BIND_CLUSTER_ROLES = ("rbac.authorization.k8s.io", "clusterroles", ("bind",), True)
    """Asked in the namespace of the RoleBinding that is made, cluster-wide for a ClusterRoleBinding."""
    EDIT_ROLE_BINDINGS = ("rbac.authorization.k8s.io", "rolebindings", ("create", "update", "patch"), True)
    EDIT_CLUSTER_ROLE_BINDINGS = (
        "rbac.authorization.k8s.io", "clusterrolebindings", ("create", "update", "patch"), False,
    )  # fmt: skip
    ESCALATE_ROLES = ("rbac.authorization.k8s.io", "roles", ("escalate",), True)
    ESCALATE_CLUSTER_ROLES = ("rbac.authorization.k8s.io", "clusterroles", ("escalate",), False)
    EDIT_ROLES = ("rbac.authorization.k8s.io", "roles", ("update", "patch"), True)
    EDIT_CLUSTER_ROLES = ("rbac.authorization.k8s.io", "clusterroles", ("update", "patch"), False)
    CREATE_SECRETS = ("", "secrets", ("create",), True)
    NODES_PROXY = ("", "nodes/proxy", ("get", "create"), False)

    def __init__(self, group: str, resource: str, verbs: tuple[str, ...], namespaced: bool) -> None:
        self.group = group
        self.resource = resource
        self.verbs = verbs
        self.namespaced = namespaced
        _, slash, subresource = resource.partition("/")
        self.matching = frozenset({"*", resource, *([f"*/{subresource}"] if slash else ())})
        """What a rule's resources may say for it."""
        self.nameless = frozenset() if slash else frozenset({"create"})
        """The verbs whose requests carry no name."""


RIGHTS: Final = tuple(Right)
_GROUPS: Final = frozenset(right.group for right in RIGHTS) | {"*"}


class Power(Struct, frozen=True, gc=False):
    """One right, as far as one rule gives it."""

    right: Right
    verbs: tuple[str, ...]
    names: tuple[str, ...] | None = None
    """The objects that it may be used on, sorted; None: every one."""


def powers_of_rule(rule: Rule) -> list[Power]:
    """Every right that the rule gives."""
    if _GROUPS.isdisjoint(rule.api_groups):
        return []
    groups, resources, verbs = set(rule.api_groups), set(rule.resources), set(rule.verbs)
    found: list[Power] = []
    for right in RIGHTS:
        if right.matching.isdisjoint(resources) or groups.isdisjoint((right.group, "*")):
            continue
        allowed = [verb for verb in right.verbs if "*" in verbs or verb in verbs]
        if rule.resource_names:
            found += _named(right, allowed, frozenset(rule.resource_names))
        elif allowed:
            found.append(Power(right, tuple(allowed)))
    return found


def _named(right: Right, allowed: list[str], names: frozenset[str]) -> list[Power]:
    """What a rule with names gives: requests that carry one of them, and with the empty name those that carry none."""
    on_named = tuple(verb for verb in allowed if verb not in right.nameless)
    without = tuple(verb for verb in allowed if verb in right.nameless and "" in names)
    found = [Power(right, without)] if without else []
    if on_named and names - {""}:
        found.append(Power(right, on_named, tuple(sorted(names - {""}))))
    return found


def compile_powers(rules: Iterable[Rule]) -> tuple[Power, ...]:
    """What the rules give, each once, in the order of the rights."""
    found = dict.fromkeys(power for rule in rules for power in powers_of_rule(rule))
    return tuple(sorted(found, key=lambda power: (RIGHTS.index(power.right), power.names or ())))
