"""The parts that the engine is made of: maxima, due moments, known Secrets, the ring of what ended."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.engine.ended import Ended, EndedRing
from actors.engine.latest import Due, Latest
from actors.engine.secrets import KnownSecrets
from actors.evidence import Attribution, Evidence, Scope


class Key:
    def __init__(self, number):
        self.number = number


KEYS = [Key(n) for n in range(6)]
changes = st.lists(st.tuples(st.sampled_from(range(6)), st.one_of(st.none(), st.integers(1, 50))), max_size=120)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(changes=changes)
def test_latest_is_the_maximum(changes):
    """Whatever is set and dropped: the same as looking at everything."""
    latest, plain = Latest(), {}
    for number, value in changes:
        if value is None:
            latest.drop(KEYS[number])
            plain.pop(number, None)
        else:
            latest.set(KEYS[number], float(value))
            plain[number] = float(value)
        assert max(plain.values(), default=0.0) == latest.top()
        assert len(plain) == len(latest)


def test_latest_does_not_grow_with_repetition():
    """A thousand changes of three keys leave a small heap behind."""
    latest = Latest()
    for n in range(1000):
        latest.set(KEYS[n % 3], float(n % 7))
    assert len(latest._heap) < 30


@settings(max_examples=200, deadline=None, derandomize=True)
@given(changes=changes)
def test_due_gives_each_key_no_later_than_its_moment(changes):
    """An earlier moment counts at once; a later one is taken over by who looks."""
    due, earliest = Due(), {}
    for number, moment in changes:
        if moment is None:
            due.drop(KEYS[number])
            earliest.pop(number, None)
        else:
            due.at(KEYS[number], float(moment))
            earliest[number] = min(moment, earliest.get(number, moment))
        assert min(earliest.values(), default=None) == due.next_at()
    found = []
    while (key := due.pop(25.0)) is not None:
        found.append(key.number)
    assert {n for n, at in earliest.items() if at <= 25} == set(found)
    assert sorted(found, key=lambda n: earliest[n]) == found or len(set(earliest.values())) < len(earliest)


def test_known_secrets_are_counted_by_source():
    """Known with the first source, forgotten with the last; in order; by scope."""
    known = KnownSecrets()
    assert [known.add(s) for s in (("b", "x"), ("b", "x"), ("a", "x"), ("a", "y"))] == [True, False, True, True]
    assert known.first(Scope(None, None), 9) == [("a", "x"), ("a", "y"), ("b", "x")]
    assert known.first(Scope(None, "x"), 9) == [("a", "x"), ("b", "x")]
    assert (
        known.first(Scope("a", None), 1), known.first(Scope("a", "y"), 9), known.first(Scope("c", None), 9),
    ) == ([("a", "x")], [("a", "y")], [])  # fmt: skip
    assert tuple(
        known.count(scope)
        for scope in (Scope(None, None), Scope("a", None), Scope(None, "x"), Scope("b", "x"), Scope("c", None))
    ) == (3, 2, 2, 1, 0)
    assert [known.drop(("b", "x")), known.drop(("b", "x"))] == [False, True]
    assert ("b", "x") not in known
    assert ("a", "x") in known
    assert len(known) == 2


@pytest.fixture
def ended(make_world):
    world = make_world()

    def make(name, at):
        observation = world.observe("app/reader", "get", f"app/{name}")
        return Ended(1, Evidence(observation, Attribution.PODLESS, (), (), ()), True, (), (), at)

    return make


def test_the_ring_is_bounded_and_counts_what_went(ended):
    """Over its capacity the oldest goes."""
    ring = EndedRing(capacity=2)
    gone = [ring.put(ended(name, n)) for n, name in enumerate("abc")]
    assert [len(each) for each in gone] == [0, 0, 1]
    assert (ring.statistics().held, ring.statistics().capacity, ring.statistics().overflowed) == (2, 2, 1)


def test_the_ring_holds_one_piece_of_each_observation(ended):
    """A later end of the same observation takes the place of the earlier."""
    ring = EndedRing()
    ring.put(ended("a", 1.0))
    assert ring.put(ended("a", 2.0))[0].ended_at == 1.0
    assert [each.ended_at for each in ring] == [2.0]


def test_the_ring_forgets_after_an_hour(ended):
    """And says when it must be looked at next."""
    ring = EndedRing()
    assert None is ring.next_at()
    ring.put(ended("a", 100.0))
    assert ring.next_at() == 3700.0
    assert ring.forget(3699.9) == []
    assert len(ring.forget(3700.0)) == 1


def test_a_new_engine_takes_up_where_the_ring_is(make_world):
    """After a restart what ended is still told, its Secrets are known, and the revision goes on."""
    world = make_world()
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod="web-1")
    world.wait(300)
    revision = world.engine.revision
    after = make_world(world.engine.ended)
    after.now = world.now
    after.apply(after.pod("web-1"))
    after.grant("all")
    assert [s.name for c in after.chains() for s in c.secrets] == ["db"]
    assert [e.live for e in after.evidence()] == [False]
    assert revision < after.engine.revision
    after.wait(3600)
    assert [s for c in after.chains() for s in c.secrets] == []


def test_evidence_that_goes_on_is_taken_out_of_the_ring(make_world):
    """Expired here, then refreshed by a late read: one piece, live."""
    world = make_world()
    world.grant("all")
    world.read("app/reader", "get", "app/db")
    world.wait(301)
    world.read("app/reader", "get", "app/db", age_s=100)
    assert [e.live for e in world.evidence()] == [True]


def test_infinite_ends_replay_a_whole_log(make_world):
    """With evidence that never ends a chain is lit if it was at any time; views still encode."""
    world = make_world()
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod="web-1", live_until=float("inf"))
    world.wait(10**7)
    assert [(c.expires_at, c.corroborated) for c in world.chains()] == [("9999-12-31T23:59:59.000000Z", True)]
