"""Reads that came too late, or ended before they could be judged: they are judged and reported all the same."""

from __future__ import annotations

import copy

import pytest

from actors.engine import EndedRing, status_view
from actors.engine import afterwards as afterwards_module
from actors.evidence import PodClaim


def events(world, event="read.unexplained"):
    return [flip for flip in world.flips if flip.event == event]


def judged(world):
    return [(e.live, e.explained, e.signals) for e in world.evidence()]


def restarted(make_world, world):
    """A new engine over the same ring, that has heard of nothing yet."""
    after = make_world(copy.deepcopy(world.engine.ended))
    after.now, after.observations = world.now, world.observations
    return after


def test_a_late_read_is_unexplained_after_five_seconds(world):
    """Null until then; then false with the signal, found by it, and reported once."""
    world.apply(world.pod("web-1"))
    world.read("app/reader", "get", "app/db", pod="web-1", age_s=400)
    world.wait(4.999)
    assert judged(world) == [(False, None, [])]
    assert world.engine.next_at() == pytest.approx(world.now + 0.001)
    world.wait(0.001)
    assert judged(world) == [(False, False, ["unexplained"])]
    assert len(world.evidence(signal="unexplained")) == 1
    world.wait(60)
    assert [(f.secret, [s.value for s in f.signals]) for f in events(world)] == [("app/db", ["unexplained"])]


def test_a_late_read_is_explained_by_what_the_cluster_tells_within_five_seconds(world):
    """The binding's news comes after the read, and it stood when the read was made."""
    world.apply(world.pod("web-1"))
    world.read("app/reader", "get", "app/db", pod="web-1", age_s=400)
    world.wait(3)
    world.grant("all")
    world.wait(2)
    assert judged(world) == [(False, True, [])]
    assert events(world) == []


def test_a_late_read_is_not_judged_before_the_cluster_is_in_sync(world):
    """Then at once, if the cluster remembers what went since; if not, never."""
    world.apply(world.pod("web-1"), synced=False)
    world.read("app/reader", "get", "app/db", pod="web-1", age_s=400)
    world.read("app/reader", "get", "app/old", pod="web-1", age_s=580)
    world.wait(60)
    assert [e.explained for e in world.evidence()] == [None, None]
    world.apply(synced=True)
    world.wait(0)
    assert [(e.secret.name, e.explained) for e in world.evidence()] == [("db", False), ("old", None)]


def test_a_late_read_from_before_the_clusters_memory_is_not_judged(world):
    """What went in the meantime is forgotten: nobody can say that no grant covered it."""
    world.read("app/reader", "get", "app/db", age_s=601)
    world.wait(60)
    assert judged(world) == [(False, None, ["podless"])]
    assert events(world) == []


def test_a_late_read_repeated_is_neither_put_off_nor_told_twice(world):
    """The same observation again, four seconds later and after its report."""
    world.apply(world.pod("web-1"))
    first = world.observe("app/reader", "get", "app/db", pod="web-1", age_s=400)
    world.send(first.account, [first])
    world.wait(4)
    world.send(first.account, [world.observe("app/reader", "get", "app/db", pod="web-1", age_s=400)])
    world.wait(1)
    assert judged(world) == [(False, False, ["unexplained"])]
    world.send(first.account, [world.observe("app/reader", "get", "app/db", pod="web-1", age_s=400)])
    assert judged(world) == [(False, False, ["unexplained"])]
    world.wait(10)
    assert len(events(world)) == 1


def test_a_late_borrowed_read_is_not_judged(world):
    """The rights were another's."""
    world.read("app/reader", "get", "app/db", age_s=400, borrowed=True, named=world.named("unknown"))
    world.wait(60)
    assert [e.explained for e in world.evidence()] == [None]
    assert (events(world), world.engine.judge.disagreements) == ([], 0)


def test_a_read_that_ends_before_it_is_due_is_judged_when_it_is(world):
    """Two seconds of life left on arrival: it ends as null, and is reported three seconds later."""
    world.apply(world.pod("web-1"))
    world.read("app/reader", "get", "app/db", pod="web-1", age_s=298)
    world.wait(3)
    assert judged(world) == [(False, None, [])]
    world.wait(2)
    assert judged(world) == [(False, False, ["unexplained"])]
    assert len(events(world)) == 1
    assert world.engine.judge.unexplained == 0


def test_a_read_that_ends_and_is_due_in_one_look_at_the_clock_is_judged(world):
    """However long nobody looked."""
    world.apply(world.pod("web-1"))
    world.read("app/reader", "get", "app/db", pod="web-1", age_s=298)
    world.wait(2000)
    assert judged(world) == [(False, False, ["unexplained"])]


def test_what_goes_on_is_judged_once(world):
    """It ended unjudged and is live again: one judgement, one report."""
    world.apply(world.pod("web-1"))
    world.read("app/reader", "get", "app/db", pod="web-1", age_s=298)
    world.wait(3)
    world.read("app/reader", "get", "app/db", pod="web-1")
    world.wait(30)
    assert judged(world) == [(True, False, ["unexplained"])]
    assert len(events(world)) == 1


def test_a_new_engine_judges_what_waited_in_the_ring(make_world, world):
    """It came late, the engine crashed before five seconds had passed: the next one judges it, and tells it with everything."""
    world.apply(world.pod("web-1"))
    world.read("app/reader", "get", "app/db", pod="web-1", age_s=400)
    after = restarted(make_world, world)
    after.apply(after.pod("web-1"))
    after.wait(5)
    assert judged(after) == [(False, False, ["unexplained"])]
    assert events(after) == [flip for flip in after.engine.everything(after.now) if flip.event == "read.unexplained"]


def test_the_servers_word_is_checked_on_late_reads_too(world):
    """A grant that the model lacks is a disagreement, also where another one explains the read; once, after five seconds."""
    world.apply(world.pod("web-1"))
    world.grant("mine")
    world.read("app/reader", "get", "app/db", pod="web-1", age_s=400, named=world.named("mine"))
    world.read("app/reader", "get", "app/other", pod="web-1", age_s=400, named=world.named("unknown"))
    world.wait(4)
    assert world.engine.judge.disagreements == 0
    world.wait(1)
    assert world.engine.judge.disagreements == 1
    again = world.observe("app/reader", "get", "app/other", pod="web-1", age_s=400, named=world.named("unknown"))
    world.send(again.account, [again])
    world.wait(10)
    assert world.engine.judge.disagreements == 1


def test_what_waits_is_bounded(world, monkeypatch):
    """Over the bound the oldest stays unjudged, counted."""
    monkeypatch.setattr(afterwards_module, "WAITING_MAX", 2)
    world.apply(world.pod("web-1"))
    for name in "abc":
        world.read("app/reader", "get", f"app/{name}", pod="web-1", age_s=400)
        world.now += 0.1
    world.wait(10)
    assert [(e.secret.name, e.explained) for e in world.evidence()] == [("c", False), ("b", False), ("a", None)]
    assert world.engine.afterwards.unjudged == 1


# --- watches older than the cluster's memory ---


def hold_open(world, *, grants=()):
    """A watch that was started 700 s ago and may be open for 3,000 s yet, as a new engine is told of it."""
    world.apply(world.pod("web-1"), *grants)
    world.read("app/reader", "watch", "app/*", pod="web-1", age_s=700, held_open_until=world.now + 3000)
    world.wait(5)


def test_a_watch_older_than_the_memory_is_unexplained_where_no_grant_stands(world):
    """It is live: it is judged, also by an engine that was restarted."""
    hold_open(world)
    assert judged(world) == [(True, False, ["unexplained", "collection_read"])]
    assert len(events(world)) == 1


def test_a_restart_leaves_an_unexplained_watch_unexplained(make_world, world):
    """Reported while it was young, restarted when it is old: false before and after."""
    world.apply(world.pod("web-1"))
    world.read("app/reader", "watch", "app/*", pod="web-1", held_open_until=world.now + 3000)
    world.wait(700)
    after = restarted(make_world, world)
    after.apply(after.pod("web-1"))
    after.reattribute()
    after.wait(0)
    assert judged(after) == judged(world) == [(True, False, ["unexplained", "collection_read"])]


def test_a_watch_older_than_the_memory_is_explained_by_what_stands_now(world):
    """What stood at its start may be forgotten: the binding that was made since is taken for it, and lights nothing."""
    role = world.role("all", "watch")
    hold_open(world, grants=(role, world.binding("all", "app/reader", valid_from=world.now - 100)))
    assert judged(world) == [(True, True, ["collection_read"])]
    assert (events(world), world.lit()) == ([], set())


def test_a_revoked_binding_made_since_explains_no_old_watch(world):
    """It neither stood at the start nor stands now."""
    gone = world.binding("all", "app/reader", valid_from=world.now - 100, gone_at=world.now - 50)
    hold_open(world, grants=(world.role("all", "watch"), gone))
    assert [e.explained for e in world.evidence()] == [False]


# --- what the engine counts ---


def gone(world):
    return status_view(world.engine, world.now, ready=True).gone


def test_evidence_whose_pod_is_unknown_is_counted(world):
    """While it is live, and until its pod is known."""
    world.apply(world.pod("web-1"))
    for name in ("a", "b"):
        world.read("app/reader", "get", f"app/{name}", pod="late-1")
        world.read("app/reader", "get", f"app/{name}", pod=PodClaim(None, "never"))
        world.read("app/reader", "get", f"app/{name}", pod="web-1")
    assert gone(world) == 4
    world.apply(world.pod("late-1"))
    world.reattribute()
    assert gone(world) == 2
    world.wait(300)
    assert gone(world) == 0


def test_the_revision_begins_where_the_ring_is_told(make_world):
    """So that a number of an earlier run never stands for other content."""
    world = make_world(EndedRing(revision=1_700_000_000_000))
    assert world.engine.revision == 1_700_000_000_000
    world.apply(world.pod("web-1"))
    world.grant("all")
    assert world.engine.revision > 1_700_000_000_000
