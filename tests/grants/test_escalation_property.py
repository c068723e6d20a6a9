"""Escalations against their definition, tried out request by request over random roles and bindings.

PROTECTOR_TEST_EXAMPLES sets how many examples are tried (default 150).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_rbac import naive_can
from test_grants_property import ACCOUNTS, BINDING_NAMES, NAMES, NAMESPACES, ROLE_NAMES, SUBJECTS, some

from actors.cluster.records import Binding, Role, Rule
from actors.evidence import Account, ObjectName
from actors.grants import Grants

EXAMPLES = int(os.environ.get("PROTECTOR_TEST_EXAMPLES", "150"))
RBAC = "rbac.authorization.k8s.io"
OBJECTS: list[str | None] = ["x", "y"]
RULES = st.builds(
    Rule,
    verbs=st.lists(
        st.sampled_from(["create", "get", "update", "patch", "bind", "escalate", "impersonate", "*"]), min_size=1, max_size=3
    ).map(tuple),
    api_groups=some("", "apps", RBAC, "*").map(lambda groups: groups or ("", RBAC)),
    resources=st.lists(
        st.sampled_from(
            ["pods", "pods/exec", "*/exec", "*", "*/*", "pods/ephemeralcontainers", "deployments", "nodes/proxy", "users",
             "serviceaccounts", "serviceaccounts/token", "groups", "secrets", "roles", "clusterroles", "rolebindings",
             "clusterrolebindings"]
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
    resource_names=st.just(()) | some("x", "y", ""),
)  # fmt: skip
ROLES = st.builds(Role, ROLE_NAMES, st.lists(RULES, min_size=1, max_size=3).map(tuple))
BINDINGS = st.builds(
    Binding, BINDING_NAMES, st.sampled_from(["Role", "ClusterRole"]), st.sampled_from([*NAMES, "c"]),
    st.lists(SUBJECTS, min_size=1, max_size=2).map(tuple),
)  # fmt: skip
STEPS = st.lists(st.one_of(ROLES, BINDINGS), max_size=12)


class Tried:
    """What one account can do, found by asking for each request in turn."""

    def __init__(self, roles: list[Role], bindings: list[Binding], account: Account) -> None:
        self._held = (roles, bindings, account)

    def can(self, what: str, verbs: str, where: str | None, names: list[str | None]) -> bool:
        return any(naive_can(*self._held, verb, what, where, name) for verb in verbs.split() for name in names)

    def named(self, what: str, verbs: str, where: str | None) -> bool:
        return self.can(what, verbs, where, OBJECTS)

    def edges(self, where: str | None) -> Iterator[str]:
        """The edges that work in this namespace; None: without one."""
        yield from self._pods(where)
        if self.named(":serviceaccounts/token", "create", where):
            yield "create_tokens"
        if self.named(":serviceaccounts", "impersonate", where):
            yield "impersonate"
        reads = self.can(":secrets", "get list watch", where, [*OBJECTS, None])
        if self.can(":secrets", "create", where, [None]) and reads:
            yield "token_secrets"
        puts = self.can(f"{RBAC}:rolebindings", "create", where, [None]) or self.named(
            f"{RBAC}:rolebindings", "update patch", where
        )
        binds = any(self.named(f"{RBAC}:{kind}", "bind", where) for kind in ("roles", "clusterroles"))
        if puts and binds:
            yield "bind"
        if any(
            self.can(f"{RBAC}:roles", "escalate", where, [n]) and self.can(f"{RBAC}:roles", "update patch", where, [n])
            for n in OBJECTS
        ):
            yield "escalate"
        if where is None:
            yield from self._without_namespace()

    def _pods(self, where: str | None) -> Iterator[str]:
        if self.can(":pods", "create", where, [None]):
            yield "create_pods"
        makes = [("apps:deployments", True), ("batch:jobs", False), (":replicationcontrollers", True)]
        makes += [(f"apps:{kind}", True) for kind in ("statefulsets", "daemonsets", "replicasets")] + [
            ("batch:cronjobs", True)
        ]
        for what, changes in makes:
            if self.can(what, "create", where, [None]) or (changes and self.named(what, "update patch", where)):
                yield "workloads"
        if self.named(":pods/exec", "create get", where):
            yield "exec"
        if self.named(":pods/ephemeralcontainers", "update patch", where):
            yield "ephemeral_containers"

    def _without_namespace(self) -> Iterator[str]:
        if self.named(":nodes/proxy", "get create", None):
            yield "nodes_proxy"
        if self.named(":users", "impersonate", None):
            yield "impersonate_users"
        somebody = self.named(":users", "impersonate", None) or any(
            self.named(":serviceaccounts", "impersonate", where) for where in [*NAMESPACES, None]
        )
        if somebody and self.named(":groups", "impersonate", None):
            yield "impersonate_groups"
        puts = self.can(f"{RBAC}:clusterrolebindings", "create", None, [None]) or self.named(
            f"{RBAC}:clusterrolebindings", "update patch", None
        )
        if puts and self.named(f"{RBAC}:clusterroles", "bind", None):
            yield "bind"
        kind = f"{RBAC}:clusterroles"
        if any(self.can(kind, "escalate", None, [n]) and self.can(kind, "update patch", None, [n]) for n in OBJECTS):
            yield "escalate"


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=EXAMPLES)
@given(STEPS)
def test_escalations_are_what_can_be_done(steps: list[Role | Binding]) -> None:
    """For every account: exactly the edges that asking request by request finds, everywhere and in each namespace."""
    grants = Grants()
    held: dict[ObjectName, Role | Binding] = {}
    for each in steps:
        grants.put(each.name, [each])  # type: ignore[list-item] # of one kind
        held[each.name] = each
    roles = [each for each in held.values() if isinstance(each, Role)]
    bindings = [each for each in held.values() if isinstance(each, Binding)]
    for account in ACCOUNTS:
        tried = Tried(roles, bindings, account)
        everywhere = set(tried.edges(None))
        expected = {(edge, None) for edge in everywhere}
        expected |= {(edge, where) for where in NAMESPACES for edge in tried.edges(where) if edge not in everywhere}
        found = {(each.edge.label, each.namespace) for each in grants.escalations_of(account)}
        wide = {edge for edge, where in found if where is None}
        assert expected == {(edge, where) for edge, where in found if where is None or edge not in wide}
