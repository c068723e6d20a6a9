"""Reads that no grant covers, and the API server's word against the model's."""

from __future__ import annotations

from actors.evidence import PodClaim


def events(world, event="read.unexplained"):
    return [flip for flip in world.flips if flip.event == event]


def test_a_covered_read_is_explained_at_once(world):
    """True without waiting, also where nobody knows the workload."""
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod=PodClaim(None, "unknown"))
    assert [(e.explained, e.attribution) for e in world.evidence()] == [(True, "gone")]


def test_an_uncovered_read_is_unexplained_after_five_seconds(world):
    """Null until then, then false, with the signal, and one flip that names the account and the Secret."""
    world.apply(world.pod("web-1"))
    world.read("app/reader", "get", "app/db", pod="web-1")
    world.wait(4.999)
    assert [(e.explained, e.signals) for e in world.evidence()] == [(None, [])]
    world.wait(0.001)
    assert [(e.explained, e.signals) for e in world.evidence()] == [(False, ["unexplained"])]
    assert [(str(f.service_account), f.secret, str(f.workload)) for f in events(world)] == [
        ("app/reader", "app/db", "Deployment/app/web")
    ]
    assert world.engine.judge.unexplained == 1


def test_it_is_told_once_however_often_it_is_repeated(world):
    """Repetition neither puts the judgement off nor repeats the flip."""
    world.apply(world.pod("web-1"))
    for _ in range(12):
        world.read("app/reader", "get", "app/db", pod="web-1")
        world.wait(1)
    assert len(events(world)) == 1
    world.wait(300)
    world.read("app/reader", "get", "app/db", pod="web-1")
    world.observations.clear()


def test_nothing_is_claimed_before_the_cluster_is_in_sync(world):
    """However long it takes; then at once what has waited long enough."""
    world.apply(world.pod("web-1"), synced=False)
    world.read("app/reader", "get", "app/db", pod="web-1")
    world.wait(60)
    assert [e.explained for e in world.evidence()] == [None]
    world.apply(synced=True)
    world.wait(0)
    assert [e.explained for e in world.evidence()] == [False]


def test_it_is_judged_again_when_rbac_changes(world):
    """The binding's news comes late: the read is explained after all, and lights its chain."""
    world.apply(world.pod("web-1"))
    world.read("app/reader", "get", "app/db", pod="web-1")
    world.wait(6)
    world.grant("late")
    assert [(e.explained, e.signals) for e in world.evidence()] == [(True, [])]
    assert {("web", "late", "app/*")} == world.lit()
    assert world.engine.judge.unexplained == 0


def test_a_grant_that_begins_later_explains_nothing(world):
    """As of the event: a binding made a minute after the read is none of it."""
    world.apply(world.pod("web-1"))
    world.read("app/reader", "get", "app/db", pod="web-1")
    world.wait(60)
    world.apply(world.role("late"), world.binding("late", "app/reader", valid_from=world.now))
    assert [e.explained for e in world.evidence()] == [False]
    assert set() == world.lit()


def test_what_was_explained_stays_so_when_its_grant_is_forgotten(world):
    """A watch is held open longer than a gone binding is remembered: no false alarm."""
    world.apply(world.pod("web-1"))
    world.grant("brief", verbs="watch")
    world.read("app/reader", "watch", "app/*", pod="web-1", held_open_until=world.now + 3000)
    world.apply(world.binding("brief", "app/reader", gone_at=world.now + 1))
    world.wait(700)
    world.apply(forgotten=(world.binding("brief", "app/reader").name,))
    world.wait(10)
    assert [e.explained for e in world.evidence()] == [True]
    assert events(world) == []


def test_borrowed_reads_are_not_judged(world):
    """The rights were another's."""
    world.read("app/reader", "get", "app/db", borrowed=True)
    world.wait(60)
    assert [e.explained for e in world.evidence()] == [None]
    assert world.engine.judge.disagreements == 0


def test_a_named_grant_that_the_model_lacks_is_a_disagreement(world):
    """Counted once for each observation, after the same five seconds; one that the model has is none."""
    world.apply(world.pod("web-1"))
    world.grant("mine")
    world.read("app/reader", "get", "app/db", pod="web-1", named=world.named("mine"))
    world.read("app/reader", "get", "app/other", pod="web-1", named=world.named("unknown"))
    world.wait(4)
    assert world.engine.judge.disagreements == 0
    world.wait(1)
    assert world.engine.judge.disagreements == 1
    world.read("app/reader", "get", "app/other", pod="web-1", named=world.named("unknown"))
    world.wait(10)
    assert world.engine.judge.disagreements == 1


def test_a_named_grant_that_would_not_allow_it_is_a_disagreement(world):
    """The model has it, but for another name."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.grant("other", names=("other",))
    world.read("app/reader", "get", "app/db", pod="web-1", named=world.named("other"))
    world.wait(5)
    assert world.engine.judge.disagreements == 1
