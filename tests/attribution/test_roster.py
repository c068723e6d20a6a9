"""A roster that was changed pod by pod says what one made at once says; and what it says agrees with a look at all pods."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.attribution import PODS_SHOWN_MAX, AccountEvidence, Roster, attribute
from actors.cluster.records import Pod
from actors.messages import AccountPods

uids = st.sampled_from([f"u{n}" for n in range(6)])
pods = st.tuples(
    uids, st.sampled_from("pqr"), st.sampled_from("vw"), st.sampled_from([None, None, 1.0, 2.0, 3.0]), st.booleans(),
    st.booleans(),
)  # fmt: skip
deltas = st.tuples(st.booleans(), st.lists(pods, max_size=5), st.lists(uids, max_size=2))


def pod_of(a: Any, row: tuple[Any, ...]) -> Pod:
    uid, name, workload, gone_at, finished, bound = row
    return a.pod(name, workload, uid, gone_at=gone_at, finished=finished, bound_token=bound)


def answer(a: Any, held: dict[str, Pod], delta: tuple[Any, ...], number: int) -> AccountPods:
    """The cluster's answer; `held` is what it has after that."""
    full, rows, lost = delta
    news = {pod.uid: pod for pod in (pod_of(a, row) for row in rows)}
    forgotten = tuple(uid for uid in lost if uid not in news)
    if full:
        held.clear()
    for uid in forgotten:
        held.pop(uid, None)
    held.update(news)
    return AccountPods(a.account, tuple(news.values()), 1, number, full, () if full else forgotten)


def ran(held: dict[str, Pod], at: float) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """The rule, over all pods: those that had not finished, and had not gone before."""
    there = [p for p in held.values() if not p.finished and (p.gone_at is None or p.gone_at >= at)]
    return tuple(sorted({p.workload for p in there})), tuple(sorted({p.name for p in there})[:PODS_SHOWN_MAX])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(steps=st.lists(deltas, min_size=1, max_size=8), asked=st.booleans())
def test_a_changed_roster_says_what_a_new_one_says(a: Any, steps: list[Any], asked: bool) -> None:
    """At every moment, of every name and uid; also where it was asked in between."""
    held: dict[str, Pod] = {}
    roster = Roster(AccountPods(a.account, ()))
    for number, step in enumerate(steps, 1):
        roster.change(answer(a, held, step, number))
        for at in (0.0, 1.0, 1.5, 2.0, 3.0, 4.0) if asked or number == len(steps) else ():
            assert roster.running_at(at) == ran(held, at)
            for name in "pqr":
                named = [p for p in held.values() if p.name == name]
                there = [p for p in named if p.gone_at is None or p.gone_at >= at]
                assert {p.uid for p in roster.with_name(name, at)} == {p.uid for p in there or named}
        assert {f"u{n}": roster.with_uid(f"u{n}") for n in range(6) if f"u{n}" in held} == held
        assert roster.steady == all(p.gone_at is None for p in held.values())
        running = [p for p in held.values() if p.gone_at is None and not p.finished]
        assert roster.has_bound_tokens == any(p.bound_token for p in running)
    assert (len(roster), roster.version) == (len(held), len(steps))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(steps=st.lists(deltas, min_size=1, max_size=8), most=st.integers(1, 4))
def test_evidence_attributed_step_by_step_is_that_of_the_pods_in_the_end(a: Any, steps: list[Any], most: int) -> None:
    """However few pieces each call may look at: when nothing waits any more, all is as if attributed anew."""
    claims = [None, *(a.claim(None, f"u{n}") for n in range(6)), *(a.claim(name, None) for name in "pqr")]
    reads = [
        a.observation(name=f"s-{n}-{at}", claim=claim, at=at) for n, claim in enumerate(claims) for at in (1.0, 2.5)
    ]
    mine, held = AccountEvidence(a.account, 1), dict[str, Pod]()
    told = {}
    mine.update(a.changes(*reads, full=True), AccountPods(a.account, ()), 5.0)
    for number, step in enumerate(steps, 1):
        news = mine.update(
            a.changes(version=number), answer(a, held, step, number), 5.0, claimed=most, unclaimed=number % 2
        )
        told.update({e.observation.key: e for each in news for e in each.evidence})
    calls = 0
    while mine.due or mine.waiting:
        for each in mine.update(a.changes(version=99), None, 5.0, claimed=most, unclaimed=most):
            told.update({e.observation.key: e for e in each.evidence})
        calls += 1
        assert calls <= 2 * len(reads)
    fresh = {r.key: attribute(r, AccountPods(a.account, tuple(held.values())), 5.0) for r in reads}
    nobody = {r.key: attribute(r, AccountPods(a.account, ()), 5.0) for r in reads}
    assert {key: told.get(key, nobody[key]) for key in fresh} == fresh


def test_a_pods_change_looks_at_the_evidence_that_claims_it_and_no_other(a: Any) -> None:
    """A thousand pods with a read each; one changes, one read is looked at."""
    many = [a.pod(f"web-{n}") for n in range(1000)]
    reads = [a.observation(claim=a.claim(f"web-{n}")) for n in range(1000)]
    mine = AccountEvidence(a.account, 1)
    mine.update(a.changes(*reads, full=True), a.pods(*many), a.now)
    before = mine.statistics().attributed
    gone = a.pod("web-7", gone_at=a.now - 1)
    (news,) = mine.update(a.changes(version=2), AccountPods(a.account, (gone,), 1, 2, False), a.now)
    assert (mine.statistics().attributed - before, [e.pods for e in news.evidence]) == (1, [("web-7",)])
