"""Hypothesis strategies: clusters, and requests by those who are in them. Needs `hypothesis`, which kube-protector does not bring.

    @given(worlds())
    def test_no_request_is_lost(drawn):
        with open_protector() as world:
            drawn.build(world.cluster)
            world.protector.post(*drawn.sentences)
            world.protector.assert_nothing_lost()

Names are few on purpose, so that what is drawn meets. Everything shrinks towards one workload, one rule, one `get`.
Counterparts: objects.py, sentences.py.
"""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st
from msgspec import Struct

from actors.testing.objects import Cluster
from actors.testing.sentences import Sentence

__all__ = ["Drawn", "Grant", "Workload", "grants", "sentences", "workloads", "worlds"]

NAMESPACES: Final = ("app", "ops")
NAMES: Final = ("web", "jobs", "audit")
SECRETS: Final = ("db-creds", "smtp", "tls")
VERBS: Final = ("get", "list", "watch")
REQUESTS_MAX: Final = 30


class Workload(Struct, frozen=True):
    """A Deployment; its account is called as it is."""

    name: str
    exposed: bool
    replicas: int
    mounts: tuple[str, ...]


class Grant(Struct, frozen=True):
    """A role and its binding. `namespace` empty: cluster-wide."""

    name: str
    namespace: str
    rule: str
    to: str


class Drawn(Struct, frozen=True):
    """A cluster, and what is asked in it."""

    workloads: tuple[Workload, ...]
    grants: tuple[Grant, ...]
    sentences: tuple[Sentence, ...]

    def build(self, cluster: Cluster) -> Cluster:
        """Say it all of this cluster."""
        for each in self.workloads:
            own = each.name.partition("/")[2]
            cluster.deployment(each.name, account=own, exposed=each.exposed, replicas=each.replicas, mounts=each.mounts)
        for grant in self.grants:
            role = f"{grant.namespace}/{grant.name}" if grant.namespace else grant.name
            cluster.role(role, grant.rule).bind(role, to=grant.to)
        return cluster


def workloads() -> st.SearchStrategy[Workload]:
    """One Deployment."""
    return st.builds(
        Workload,
        st.builds("{}/{}".format, st.sampled_from(NAMESPACES), st.sampled_from(NAMES)),
        st.booleans(),
        st.integers(1, 3),
        st.lists(st.sampled_from(SECRETS), max_size=2, unique=True).map(tuple),
    )


def grants(accounts: tuple[str, ...]) -> st.SearchStrategy[Grant]:
    """A role about Secrets, bound to one of these accounts (`namespace/name`)."""
    names = st.lists(st.sampled_from(SECRETS), min_size=1, max_size=2, unique=True).map(",".join)
    verbs = st.lists(st.sampled_from(VERBS), min_size=1, unique=True).map(",".join)
    rules = st.builds("{} {}".format, verbs, names | st.just("*"))
    return st.builds(
        Grant,
        st.sampled_from(("reader", "lister", "other")),
        st.sampled_from((*NAMESPACES, "")),
        rules,
        st.sampled_from(accounts),
    )


def sentences(accounts: tuple[str, ...]) -> st.SearchStrategy[Sentence]:
    """One request by one of these accounts, or by a person."""
    one = st.builds("{}/{}".format, st.sampled_from(NAMESPACES), st.sampled_from(SECRETS))
    many = st.sampled_from(("app/*", "ops/*", "*"))
    who = st.sampled_from((*accounts, "alice"))
    common = {
        "account": who,
        "code": st.sampled_from((200, 200, 403, 404, 500)),
        "after_s": st.integers(-400, 5).map(float),
        "pod": st.sampled_from((None, "")),
        "received": st.booleans(),
    }
    gets = st.builds(Sentence, st.just("get"), one, **common)
    lists = st.builds(Sentence, st.just("list"), one | many, **common)
    watches = st.builds(
        Sentence,
        st.just("watch"),
        one | many,
        **common,
        open_s=st.none() | st.integers(1, 300).map(float),
        timeout_s=st.none() | st.integers(60, 600),
    )
    return gets | lists | watches


@st.composite
def worlds(draw: st.DrawFn) -> Drawn:
    """Some workloads, roles bound to their accounts, and requests."""
    found = draw(st.lists(workloads(), min_size=1, max_size=4, unique_by=lambda each: each.name))
    accounts = tuple(each.name for each in found)
    granted = draw(st.lists(grants(accounts), max_size=4, unique_by=lambda each: (each.namespace, each.name)))
    asked = draw(st.lists(sentences(accounts), min_size=1, max_size=REQUESTS_MAX))
    return Drawn(tuple(found), tuple(granted), tuple(asked))
