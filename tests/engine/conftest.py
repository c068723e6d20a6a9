"""A small cluster, its reads and the engine, in builder functions: what the tests of the engine are written in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.attribution import attribute
from actors.cluster.records import Binding, MountedSecret, Pod, Role, Route, Rule, Service, Subject
from actors.engine import EndedRing, Engine, Listing
from actors.engine.queries import ChainsQuery, EvidenceQuery
from actors.evidence import (
    Account,
    GrantName,
    NamedGrant,
    ObjectName,
    Observation,
    PodClaim,
    Read,
    Scope,
    Workload,
    observation_key,
)
from actors.messages import AccountPods, EvidenceChanged, Flip

START_AT = 1_700_000_000.0
TTL_S = 300.0


class World:
    """One engine with a clock that the test moves. Names: `ns/name` for accounts and Secrets, all else plain."""

    def __init__(self, ended: EndedRing | None = None) -> None:
        self.now = START_AT
        self.engine = Engine(ended)
        self.listing = Listing(self.engine)
        self.pods: dict[str, Pod] = {}
        self.observations: dict[Account, dict[Any, Observation]] = {}
        self.versions: dict[Account, int] = {}
        self.flips: list[Flip] = []

    # --- the cluster ---

    def apply(self, *records: Any, forgotten: tuple[Any, ...] = (), **how: Any) -> None:
        for record in records:
            if isinstance(record, Pod):
                self.pods[record.uid] = record
        for key in forgotten:
            self.pods.pop(key, None)
        self.engine.apply_records(records, forgotten, now=self.now, **how)
        self.flips += self.engine.take_flips()

    def pod(self, name: str, account: str = "app/reader", workload: str | None = None, **more: Any) -> Pod:
        """A pod of the Deployment `workload` (default: the pod's name up to the last dash); its uid is `uid-<name>`."""
        namespace, account_name = account.split("/")
        owner = Workload("Deployment", namespace, workload or name.rpartition("-")[0] or name)
        mounts = tuple(MountedSecret(secret, "volume") for secret in more.pop("mounts", ()))
        fields = {"uid": f"uid-{name}", "ips": ("10.1.0.1",), "host_ips": ("10.0.0.9",), "mounts": mounts} | more
        return Pod(account=Account(namespace, account_name), name=name, workload=owner, **fields)

    def service(self, name: str, type_: str = "ClusterIP", **more: Any) -> Service:
        fields = {"namespace": "app", "selector": (("app", name),)} | more
        return Service(name=name, type=type_, **fields)

    def route(self, name: str, to: str, addresses: tuple[str, ...] = ("203.0.113.7",), **more: Any) -> Route:
        return Route("Ingress", "app", name, (("app", to),), addresses, **more)

    def role(
        self, name: str, verbs: str = "get", names: tuple[str, ...] = (), ns: str | None = "app", **more: Any
    ) -> Role:
        rules = (Rule(tuple(verbs.split(",")), ("",), ("secrets",), names),)
        kind = "ClusterRole" if ns is None else "Role"
        return Role(name=ObjectName(kind, ns, name), rules=more.pop("rules", rules), **more)

    def binding(self, name: str, to: str, role: str | None = None, ns: str | None = "app", **more: Any) -> Binding:
        """Binds the account `ns/name`, or a group, to the role of the same name."""
        if to.startswith("system:"):
            subject = Subject("Group", to)
        else:
            namespace, account = to.split("/")
            subject = Subject("ServiceAccount", account, namespace)
        kind = "ClusterRoleBinding" if ns is None else "RoleBinding"
        role_kind = more.pop("role_kind", "ClusterRole" if ns is None else "Role")
        return Binding(ObjectName(kind, ns, name), role_kind, role or name, (subject,), **more)

    def grant(
        self, name: str, to: str = "app/reader", verbs: str = "get", names: tuple[str, ...] = (), ns: str | None = "app"
    ) -> None:
        """A role and its binding, both called `name`."""
        self.apply(self.role(name, verbs, names, ns), self.binding(name, to, ns=ns))

    # --- reads ---

    def observe(self, account: str, verb: str, secret: str, **more: Any) -> Observation:
        """One more read. `secret`: "ns/name", "ns/*" or "*"; `pod`: a pod's name to claim, or a PodClaim."""
        namespace, name = account.split("/")
        scope_ns, _, scope_name = secret.partition("/")
        scope = Scope(None if scope_ns == "*" else scope_ns, None if scope_name in ("", "*") else scope_name)
        pod = more.pop("pod", None)
        claim = PodClaim(pod, f"uid-{pod}") if isinstance(pod, str) else pod
        at = self.now - more.pop("age_s", 0.0)
        named = more.pop("named", None)
        open_s, held, until = more.pop("open_s", 0.0), more.pop("held_open_until", 0.0), more.pop("live_until", None)
        first_read = more.pop("first_read", False)
        read = Read(Account(namespace, name), scope, verb, at, at, claim=claim, open_s=open_s, named=named, **more)
        key = observation_key(read)
        known = self.observations.setdefault(read.account, {}).get(key)
        live_until = until or max(at + TTL_S, held + TTL_S if held else 0.0)
        grants = {} if known is None else {each.grant: each for each in known.proofs}
        if named is not None:
            grants = {named: NamedGrant(named, live_until)} | {g: n for g, n in grants.items() if g != named}
        proofs = tuple(grants.values())[:8]
        if known is not None and verb != "watch" and known.named and known.named[0].grant == named:
            proofs = known.named  # as the window has it: `Observation.proofs` works it out
        observation = Observation(
            key, read, at if known is None else known.first_seen, self.now, 1 if known is None else known.count + 1,
            live_until, held, proofs, 0, first_read,
        )  # fmt: skip
        self.observations[read.account][key] = observation
        return observation

    def read(self, account: str, verb: str, secret: str, **more: Any) -> None:
        """One more read, attributed, and told to the engine; everything of the account where the engine asks for it."""
        observation = self.observe(account, verb, secret, **more)
        if not self.send(observation.account, [observation]):
            live = [o for o in self.observations[observation.account].values() if o.live_until > self.now]
            assert self.send(observation.account, live, full=True)

    def send(
        self,
        account: Account,
        observations: list[Observation],
        ended: tuple[Any, ...] = (),
        *,
        full: bool = False,
        more: bool = False,
    ) -> bool:
        pods = AccountPods(account, tuple(pod for pod in self.pods.values() if pod.account == account))
        evidence = tuple(attribute(each, pods, self.now) for each in observations)
        base = self.versions.get(account, 0)
        self.versions[account] = base + 1
        first = full or base == 0
        message = EvidenceChanged(account, (1, base), (1, base + 1), first, evidence, ended, more)
        applied = self.engine.apply_evidence(message, self.now)
        self.flips += self.engine.take_flips()
        return applied

    def reattribute(self) -> None:
        """Every account's actor sends everything again, as after a change of pods."""
        for account, observations in self.observations.items():
            live = [each for each in observations.values() if each.live_until > self.now]
            self.send(account, live, full=True)

    def named(self, name: str, ns: str | None = "app") -> GrantName:
        """What the API server's reason says when the binding and role of that name allowed it."""
        return GrantName(
            ObjectName("ClusterRoleBinding" if ns is None else "RoleBinding", ns, name),
            ObjectName("ClusterRole" if ns is None else "Role", ns, name),
        )

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.engine.tick(self.now)
        self.flips += self.engine.take_flips()

    # --- answers ---

    def chains(self, **query: Any) -> list[Any]:
        page = self.listing.chains(ChainsQuery(limit=1000, **query), self.now)
        return page.chains

    def evidence(self, **query: Any) -> list[Any]:
        return self.listing.evidence(EvidenceQuery(limit=1000, **query), self.now).evidence

    def lit(self, **query: Any) -> set[tuple[str, str | None, str]]:
        """(workload, binding, objective) of the chains that are lit."""
        return {
            (
                c.entry.name,
                c.grant and c.grant.binding.name,
                f"{c.objective.namespace or '*'}/{c.objective.name or '*'}",
            )
            for c in self.chains(**query)
            if c.corroborated
        }

    def answer(self) -> bytes:
        """All that /api/chains answers, but for the revision."""
        page = self.listing.chains(ChainsQuery(limit=1000), self.now)
        return msgspec.json.encode((page.chains, page.total))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(scope="session")
def make_world() -> type[World]:
    return World
