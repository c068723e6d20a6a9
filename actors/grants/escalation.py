"""Ways to Secrets that are no read of a Secret: what an account may do to come to them, as selectors. Pure; counterpart: powers.py.

Two rules. An escalation is never a read: nothing here lights a chain, and no read proves one. And it stays a selector: *these pods*,
*these accounts*, *every Secret of this namespace*, however many there are. One step is looked at: what somebody could do as
the account that he gets, beyond reading Secrets, is that account's own entry.

Where it takes two rights (bind: and somewhere to put the binding), both have to reach one namespace, and both grants are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Final, Literal

from msgspec import Struct

from actors.grants.grant import Grant
from actors.grants.powers import Power, Right

Through = Literal["secrets", "pods", "accounts", "anyone"]
"""What one gets hold of: every Secret of the scope, its pods (their mounts, their accounts), its accounts, users and groups."""
ESCALATIONS_MAX: Final = 256
"""Escalations of one account; those beyond, in the order of `Edge`, are left out; the engine counts the entries that are at it."""


class Edge(Enum):
    """The kinds of escalation. The value: its name, ATT&CK technique, what one gets hold of, and the rights of which one is enough."""

    CREATE_PODS = ("create_pods", "T1610", "secrets", (Right.CREATE_PODS,))
    """A pod mounts any Secret of its namespace, and runs as any account of it."""
    WORKLOADS = (
        "workloads", "T1610", "secrets",
        (Right.WORKLOADS_CORE, Right.DEPLOYMENTS, Right.STATEFULSETS, Right.DAEMONSETS, Right.REPLICASETS, Right.JOBS, Right.CRONJOBS),
    )  # fmt: skip
    """Whatever makes pods does the same; a named one can be changed to."""
    EXEC = ("exec", "T1609", "pods", (Right.EXEC,))
    EPHEMERAL_CONTAINERS = ("ephemeral_containers", "T1609", "pods", (Right.EPHEMERAL_CONTAINERS,))
    NODES_PROXY = ("nodes_proxy", "T1609", "pods", (Right.NODES_PROXY,))
    """The kubelet's API runs commands in every pod of the node."""
    CREATE_TOKENS = ("create_tokens", "T1528", "accounts", (Right.CREATE_TOKENS,))
    TOKEN_SECRETS = ("token_secrets", "T1528", "accounts", (Right.CREATE_SECRETS,))
    """A Secret of type kubernetes.io/service-account-token is filled with a token of the account it names; a read shows it."""
    IMPERSONATE = ("impersonate", "T1078", "accounts", (Right.IMPERSONATE_ACCOUNTS,))
    IMPERSONATE_USERS = ("impersonate_users", "T1078", "anyone", (Right.IMPERSONATE_USERS,))
    IMPERSONATE_GROUPS = ("impersonate_groups", "T1078", "anyone", (Right.IMPERSONATE_GROUPS,))
    """Groups are impersonated together with a user or an account."""
    BIND = ("bind", "T1098.006", "secrets", (Right.BIND_ROLES, Right.BIND_CLUSTER_ROLES))
    ESCALATE = ("escalate", "T1098.006", "secrets", (Right.ESCALATE_ROLES, Right.ESCALATE_CLUSTER_ROLES))
    """A role that may be changed gets any rule, for whoever holds it. Whether anybody does is for who shows it to ask."""

    def __init__(self, label: str, technique: str, through: Through, rights: tuple[Right, ...]) -> None:
        self.label = label
        self.technique = technique
        self.through: Through = through
        self.rights = rights


EDGES: Final = tuple(edge.label for edge in Edge)
"""Their names, in their order."""


class Escalation(Struct, frozen=True, gc=False):
    """One way of an account to Secrets: by this grant (and the one that it takes besides), in this namespace (None: everywhere)."""

    edge: Edge
    grant: Grant
    besides: Grant | None
    namespace: str | None
    verbs: tuple[str, ...]
    names: tuple[str, ...] | None = None
    """The pods, accounts, roles and so on that it may be used on; None: every one."""


def escalations_of(grants: Sequence[Grant]) -> tuple[Escalation, ...]:
    """The escalations of an account that holds these grants, at most ESCALATIONS_MAX. What is revoked does not count."""
    held = [grant for grant in grants if not grant.revoked]
    if not any(grant.powers for grant in held):
        return ()
    found: list[Escalation] = []
    for edge in Edge:
        for grant in held:
            powers = [power for power in grant.powers if power.right in edge.rights and _counts(power.right, grant)]
            if powers:
                found += _of_edge(edge, grant, powers, held)
                if len(found) >= ESCALATIONS_MAX:
                    return tuple(found[:ESCALATIONS_MAX])
    return tuple(found)


def _counts(right: Right, grant: Grant) -> bool:
    """What has no namespace is allowed by ClusterRoleBindings only."""
    return right.namespaced or grant.namespace is None


def _of_edge(edge: Edge, grant: Grant, powers: list[Power], held: list[Grant]) -> Iterator[Escalation]:
    verbs = tuple(dict.fromkeys(verb for power in powers for verb in power.verbs))
    limited = [power.names for power in powers if power.names is not None]
    names = None if len(limited) < len(powers) else tuple(sorted({name for each in limited for name in each}))
    for namespace, besides in _where(edge, grant, powers, held):
        yield Escalation(edge, grant, besides, namespace, verbs, names)


def _where(edge: Edge, grant: Grant, powers: list[Power], held: list[Grant]) -> list[tuple[str | None, Grant | None]]:
    """The namespaces in which it works, each with the grant that it takes besides."""
    match edge:
        case Edge.TOKEN_SECRETS:
            return _meeting(grant, (other for other in held if other.rules))
        case Edge.IMPERSONATE_GROUPS:
            first = next(_with(held, (Right.IMPERSONATE_USERS, Right.IMPERSONATE_ACCOUNTS)), None)
            return [] if first is None else [(None, first)]
        case Edge.BIND:
            return _binding(grant, powers, held)
        case Edge.ESCALATE:
            return _escalating(grant, powers, held)
        case _:
            return [(grant.namespace, None)]


def _with(held: list[Grant], rights: tuple[Right, ...]) -> Iterator[Grant]:
    """The grants that give one of these rights."""
    for grant in held:
        if any(power.right in rights and _counts(power.right, grant) for power in grant.powers):
            yield grant


def _meeting(grant: Grant, others: Iterable[Grant]) -> list[tuple[str | None, Grant | None]]:
    """Where the grant and one of the others both hold: the widest alone, if there is one; the first of equals."""
    found: dict[str | None, Grant | None] = {}
    for other in others:
        if grant.namespace is None or other.namespace is None or grant.namespace == other.namespace:
            found.setdefault(grant.namespace if other.namespace is None else other.namespace, other)
    if None in found:
        return [(None, found[None])]
    return list(found.items())


def _binding(grant: Grant, powers: list[Power], held: list[Grant]) -> list[tuple[str | None, Grant | None]]:
    if grant.namespace is None and any(power.right is Right.BIND_CLUSTER_ROLES for power in powers):
        first = next(_with(held, (Right.EDIT_CLUSTER_ROLE_BINDINGS,)), None)
        if first is not None:
            return [(None, first)]
    return _meeting(grant, _with(held, (Right.EDIT_ROLE_BINDINGS,)))


def _escalating(grant: Grant, powers: list[Power], held: list[Grant]) -> list[tuple[str | None, Grant | None]]:
    """Where a role can be given any rule: one that may be changed, and by whose name it may be widened."""
    found: dict[str | None, Grant | None] = {}
    for power in powers:
        right = Right.EDIT_ROLES if power.right is Right.ESCALATE_ROLES else Right.EDIT_CLUSTER_ROLES
        editing = (
            other
            for other in _with(held, (right,))
            if any(each.right is right and _share(power.names, each.names) for each in other.powers)
        )
        for namespace, besides in _meeting(grant, editing):
            found.setdefault(namespace, besides)
    if None in found:
        return [(None, found[None])]
    return list(found.items())


def _share(names: tuple[str, ...] | None, others: tuple[str, ...] | None) -> bool:
    """Whether one object is meant by both."""
    return names is None or others is None or not set(names).isdisjoint(others)
