"""The engine: what one read and one change of the cluster cost and touch, in a large cluster and in one of a hundredth of it.

All seconds here are CPU time of this thread: nothing of the engine waits, and a wall clock would measure the neighbours.
"""

from __future__ import annotations

import resource
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from actors.attribution import Roster, attribute
from actors.cluster.records import Binding, KnownSecret, Pod, Record, Role, Rule, Subject
from actors.engine.core import Engine
from actors.engine.escalations import escalations_page
from actors.engine.queries import BadCursor, EscalationsQuery
from actors.evidence import (
    Account,
    GrantName,
    NamedGrant,
    ObjectName,
    Observation,
    ObservationKey,
    PodClaim,
    Read,
    Scope,
    Workload,
    observation_key,
)
from actors.messages import AccountPods, EvidenceChanged
from tests.bench.measure import Measure
from web.app import settle_memory

NOW: Final = 1_800_000_000.0
LARGE: Final = (25_000, 5_000, 10_000, 50_000)
"""Pods, accounts, bindings, named Secrets."""
SMALL: Final = (250, 50, 100, 500)
OPERATORS: Final = 30
READS: Final = 2_000
PART: Final = 125
"""Reads of one account in one message."""
WINDOW: Final = 100_000
"""Observations that the window holds where nothing else is set: more than so many reads are never held at once."""


class Generated:
    """A cluster of a given size: five pods an account; one binding of a Secret, one of the namespace."""

    def __init__(self, pods: int, accounts: int, bindings: int, secrets: int) -> None:
        self.accounts = [Account(f"ns-{i % max(1, accounts // 25)}", f"sa-{i}") for i in range(accounts)]
        self.pods = [self._pod(i, self.accounts[i % accounts]) for i in range(pods)]
        self.roles: list[Role] = []
        self.bindings: list[Binding] = []
        for i in range(bindings):
            account = self.accounts[i % accounts]
            role = ObjectName("Role", account.namespace, f"r-{i}")
            names = () if i >= accounts else (f"secret-{i % accounts % 100}",)
            self.roles.append(Role(role, (Rule(("get", "list"), ("",), ("secrets",), names),)))
            subject = Subject("ServiceAccount", account.name, account.namespace)
            self.bindings.append(
                Binding(ObjectName("RoleBinding", account.namespace, f"b-{i}"), "Role", role.name, (subject,))
            )
        for i in range(min(OPERATORS, accounts)):
            account, role = self.accounts[i], ObjectName("ClusterRole", None, f"operator-{i}")
            reads = Rule(("get", "list", "watch"), ("",), ("secrets",))
            makes = Rule(("create",), ("",), ("pods", "pods/exec", "serviceaccounts/token", "secrets"))
            self.roles.append(Role(role, (reads, makes)))
            subject = Subject("ServiceAccount", account.name, account.namespace)
            self.bindings.append(
                Binding(ObjectName("ClusterRoleBinding", None, f"operator-{i}"), "ClusterRole", role.name, (subject,))
            )
        namespaces = sorted({account.namespace for account in self.accounts})
        self.secrets = [KnownSecret(namespaces[i % len(namespaces)], f"secret-{i}") for i in range(secrets)]

    @staticmethod
    def _pod(i: int, account: Account) -> Pod:
        workload = Workload("Deployment", account.namespace, account.name)
        return Pod(
            f"uid-{i}", account, f"{account.name}-{i}", workload, labels=(("app", account.name),), ips=("10.0.0.1",)
        )

    def records(self) -> list[Record]:
        """All of it, in the order of a file."""
        return [*self.pods, *self.roles, *self.bindings, *self.secrets]


class Loaded:
    """An engine with a generated cluster in it."""

    def __init__(self, *size: int) -> None:
        self.cluster = Generated(*size)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.thread_time()
        self.engine = Engine()
        records = self.cluster.records()
        for begin in range(0, len(records), 1000):
            more = begin + 1000 < len(records)
            self.engine.apply_records(records[begin : begin + 1000], full=begin == 0, more=more, now=NOW)
        self.load_s = time.thread_time() - start
        self.mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        self._versions: dict[Account, int] = {}
        self._held: dict[Account, deque[ObservationKey]] = {}

    def _tell(
        self, account: Account, observations: list[Observation], roster: Roster, ended: tuple[ObservationKey, ...] = ()
    ) -> EvidenceChanged:
        version = self._versions.get(account, 0)
        self._versions[account] = version + 1
        evidence = tuple(attribute(observation, roster, NOW) for observation in observations)
        return EvidenceChanged(account, (1, version), (1, version + 1), version == 0, evidence, ended)

    def reads(self, at: float, *, wide: bool) -> tuple[float, float]:
        """(seconds, touched) a read: one read of each of some accounts' own Secrets, or many by one operator."""
        messages = []
        some = self.cluster.accounts[OPERATORS : OPERATORS + 20] if not wide else self.cluster.accounts[:1]
        for account in some:
            pods = tuple(pod for pod in self.cluster.pods if pod.account == account)
            roster = Roster(AccountPods(account, pods))
            each = READS // len(some)
            observations = [self._observed(account, pods[0], f"secret-{n}", at) for n in range(each)]
            messages.append(self._tell(account, observations, roster))
        touched, start = self.engine.touched, time.thread_time()
        for message in messages:
            if not self.engine.apply_evidence(message, at + 1.0):
                raise RuntimeError("the engine saw a gap")
        spent = time.thread_time() - start
        count = sum(len(message.evidence) for message in messages)
        return spent / count, (self.engine.touched - touched) / count

    def operators_read(self, at: float, begin: int, end: int, *, full: bool = False) -> tuple[float, float, float]:
        """(seconds, objects touched, KiB) an event: every operator gets these Secrets of all namespaces but its own, one by one.

        (In its own namespace a second grant allows it: two chains, and twice in the small cluster of two namespaces.)
        `full`: the window is, so for each read the operator's oldest is evicted: two events.
        """
        before, touched, spent, count = resident_kib(), self.engine.touched, 0.0, 0
        for account in self.cluster.accounts[:OPERATORS]:
            pods = tuple(pod for pod in self.cluster.pods if pod.account == account)
            roster = Roster(AccountPods(account, pods))
            held = self._held.setdefault(account, deque())
            secrets = [each for each in self.cluster.secrets if each.namespace != account.namespace][begin:end]
            for first in range(0, len(secrets), PART):
                part = secrets[first : first + PART]
                observations = [self._observed(account, pods[0], each.name, at, each.namespace) for each in part]
                ended = tuple(held.popleft() for _ in part) if full else ()
                held.extend(observation.key for observation in observations)
                message = self._tell(account, observations, roster, ended)
                start = time.thread_time()
                if not self.engine.apply_evidence(message, at + 1.0):
                    raise RuntimeError("the engine saw a gap")
                spent += time.thread_time() - start
                count += len(part) + len(ended)
        return spent / count, (self.engine.touched - touched) / count, (resident_kib() - before) / count

    def operators_list(self, at: float) -> tuple[float, float]:
        """(seconds, objects touched) a read: every operator lists every Secret there is."""
        messages = []
        for account in self.cluster.accounts[:OPERATORS]:
            pods = tuple(pod for pod in self.cluster.pods if pod.account == account)
            roster = Roster(AccountPods(account, pods))
            read = Read(account, Scope(None, None), "list", at, at, claim=PodClaim(pods[0].name, pods[0].uid))
            observation = Observation(observation_key(read), read, at, at, 1, at + 300.0, 0.0, (), 1)
            messages.append(self._tell(account, [observation], roster))
        touched, start = self.engine.touched, time.thread_time()
        for message in messages:
            if not self.engine.apply_evidence(message, at + 1.0):
                raise RuntimeError("the engine saw a gap")
        spent = time.thread_time() - start
        return spent / len(messages), (self.engine.touched - touched) / len(messages)

    @staticmethod
    def _observed(account: Account, pod: Pod, secret: str, at: float, namespace: str | None = None) -> Observation:
        read = Read(
            account,
            Scope(namespace or account.namespace, secret),
            "get",
            at,
            at,
            claim=PodClaim(pod.name, pod.uid),
            source_ip="10.0.0.1",
        )
        name = GrantName(ObjectName("RoleBinding", account.namespace, "b"), ObjectName("Role", account.namespace, "r"))
        return Observation(observation_key(read), read, at, at, 1, at + 300.0, 0.0, (NamedGrant(name, at + 300.0),), 1)

    def change(self, record: Record, rounds: int = 50) -> tuple[float, float]:
        """(seconds, touched) of one change of this object and back."""
        changed: Record = (
            replace(record, labels=(("app", "other"),)) if isinstance(record, Pod) else replace(record, subjects=())
        )  # type: ignore[arg-type,type-var]  # only pods and bindings come
        touched, start = self.engine.touched, time.thread_time()
        for _ in range(rounds):
            self.engine.apply_records([changed], now=NOW)
            self.engine.apply_records([record], now=NOW)
        return (time.thread_time() - start) / (2 * rounds), (self.engine.touched - touched) / (2 * rounds)


def resident_kib() -> float:
    """What this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024


def operators(small: Loaded, large: Loaded) -> Iterator[Measure]:
    """A read of every Secret by every operator: what a read costs must not depend on how many there were.

    50,000 by 30 would be 1,500,000 observations: the window is full long before, and then each evicts one.
    """
    each = WINDOW // OPERATORS // PART * PART
    few, step = small.operators_read(NOW + 20, 0, SMALL[3]), each // 4 // PART * PART
    steps = [large.operators_read(NOW + 20, begin, begin + step) for begin in range(0, 4 * step, step)]
    steps.append(large.operators_read(NOW + 21, 4 * step, 5 * step, full=True))
    names = ("1st quarter", "2nd quarter", "3rd quarter", "4th quarter", "full")
    held = (
        f"{OPERATORS} operators get {4 * step:,} Secrets each one by one, {4 * step * OPERATORS:,} observations in all"
    )
    for number, (name, (spent, touched, kib)) in enumerate(zip(names, steps, strict=True)):
        against, first = ("the small cluster", few) if not number else ("the 1st quarter", steps[0])
        ratio = spent / first[0]
        how = f"{held}; {name}"
        how += f", {step:,} more each, and for each the first one is evicted" if name == "full" else ""
        how += f"; objects touched: {touched:g} against {first[1]:g}; memory: {kib:.3g} KiB each"
        yield Measure(
            f"engine.operators_read_{name.replace(' ', '_')}", spent * 1e6, "us",
            how, against, ratio, "<= 2, no more touched", ratio <= 2 and touched <= first[1],
        )  # fmt: skip
    worst = max(kib for _, _, kib in steps)
    yield Measure(
        "engine.operators_read_memory",
        worst,
        "KiB",
        f"a read, the dearest quarter; {held}",
        must="<= 10",
        ok=worst <= 10,
    )
    turns = [[side.operators_list(NOW + 30 + turn) for side in (small, large)] for turn in range(5)]
    lists = [min(column) for column in zip(*turns, strict=True)]
    ratio = lists[1][0] / lists[0][0]
    how = f"{OPERATORS} operators list every Secret, {LARGE[3]:,} against {SMALL[3]:,}, again and again; "
    how += f"objects touched: {lists[1][1]:g} against {lists[0][1]:g}"
    yield Measure(
        "engine.operators_list", lists[1][0] * 1e6, "us", how, "the small cluster", ratio, "<= 2, touched equal",
        ratio <= 2 and lists[0][1] == lists[1][1],
    )  # fmt: skip
    large.engine.tick(NOW + 40)
    start = time.thread_time()
    page = escalations_page(large.engine, EscalationsQuery(), NOW + 40)
    spent = time.thread_time() - start
    if isinstance(page, BadCursor):
        raise TypeError("no page")
    yield Measure("engine.escalations_page", spent * 1000, "ms", f"the first 100 of {page.total} escalations")


def measures() -> Iterator[Measure]:
    """Load, memory, and what one event costs and touches at both sizes."""
    small = Loaded(*SMALL)
    large = Loaded(*LARGE)
    size = f"{LARGE[0]:,} pods, {LARGE[1]:,} accounts, {LARGE[2]:,} bindings, {LARGE[3]:,} named Secrets, {OPERATORS} operators"
    yield Measure("engine.load", large.load_s, "s", f"{size}, from records in parts of 1,000; CPU")
    yield Measure(
        "engine.memory",
        large.mib,
        "MiB",
        f"growth of the resident set by the engine, records apart; {size}",
        must="<= 1024",
        ok=large.mib <= 1024,
    )
    sides = (small, large)
    settle_memory()
    rows: list[tuple[str, list[tuple[float, float]]]] = []
    for name, wide in (("read_new", False), ("read_new_wide", True)):
        rows.append((name, [side.reads(NOW, wide=wide) for side in sides]))
    for name, wide in (("read_repeat", False), ("read_repeat_wide", True)):
        best = [[side.reads(NOW + 1 + turn, wide=wide) for side in sides] for turn in range(5)]
        rows.append((name, [min(column) for column in zip(*best, strict=True)]))
    for name, pick in (("pod_change", "pods"), ("binding_change", "bindings")):
        best = [[side.change(getattr(side.cluster, pick)[40]) for side in sides] for _ in range(5)]
        rows.append((name, [min(column) for column in zip(*best, strict=True)]))
    for name, ((small_s, small_n), (large_s, large_n)) in rows:
        ratio = large_s / small_s
        how = f"{size} against 1/100 of it; objects touched: {large_n:g} against {small_n:g}"
        yield Measure(
            f"engine.{name}",
            large_s * 1e6,
            "us",
            how,
            "the small cluster",
            ratio,
            "<= 2, touched equal",
            ratio <= 2 and large_n == small_n,
        )
    yield from operators(small, large)
