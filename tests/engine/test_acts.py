"""What sensors report lights: mounted reads exactly their mount, alerts and interactive execs every chain of their workload."""

from __future__ import annotations

from typing import Any

import pytest

from actors.evidence import (
    Act,
    ActKey,
    Alert,
    Attribution,
    Behavior,
    LibraryLoaded,
    NetworkConnection,
    PrivilegeChange,
    ProcessExec,
    SecretRead,
)
from actors.messages import ActsChanges

MOUNT_DB, MOUNT_TLS = ("web", None, "app/db-creds"), ("web", None, "app/tls")
GRANT, WIDE, OTHER = ("web", "get-db", "app/db-creds"), ("web", "list-all", "app/*"), ("api", None, "app/db-creds")


class Reporter:
    """Reports acts of pods to the engine of a world."""

    def __init__(self, world: Any) -> None:
        self.world = world
        self.version = 0
        world.apply(
            world.pod("web-1", mounts=("db-creds", "tls")), world.pod("api-1", "app/other", mounts=("db-creds",))
        )
        world.grant("get-db", names=("db-creds",))
        world.grant("list-all", verbs="list")

    def act(self, behavior: Behavior, pod: str = "web-1", *, ttl_s: float = 300.0, count: int = 1) -> Act:
        record, now = self.world.pods[f"uid-{pod}"], self.world.now
        key = ActKey(record.uid, behavior.fingerprint_key)
        live_until = now + ttl_s
        return Act(
            key, behavior, pod, record.account, record.workload, Attribution.EXACT, now, now, live_until, count, "s"
        )

    def send(self, *acts: Act, full: bool = False, ended: tuple[ActKey, ...] = (), more: bool = False) -> None:
        self.version += 1
        self.world.engine.apply_acts(ActsChanges(self.version, full, acts, ended, more), self.world.now)
        self.world.flips += self.world.engine.take_flips()

    def report(self, behavior: Behavior, pod: str = "web-1", **more: Any) -> Act:
        act = self.act(behavior, pod, **more)
        self.send(act)
        return act


@pytest.fixture
def reporter(world):
    return Reporter(world)


def test_a_mounted_read_lights_exactly_its_mount(world, reporter):
    """Not the other mount of the pod, not the grant over the same Secret, not the other workload that mounts it."""
    reporter.report(SecretRead("app/db-creds"))
    assert {MOUNT_DB} == world.lit()
    chain = next(c for c in world.chains() if c.corroborated)
    assert (chain.corroborated_by, chain.corroboration) == (["mounted_read"], "proven")
    (piece,) = chain.evidence
    assert (
        piece.behavior.kind, piece.behavior.secret, piece.behavior.source, piece.verb,
    ) == ("secret_read", "app/db-creds", None, None)  # fmt: skip
    assert [chain.id] == piece.chains


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [
        (Alert("Shell"), "alert"), (ProcessExec("/bin/bash"), "exec"), (ProcessExec("/usr/bin/apt-get"), "exec"),
        # context, which lights nothing
        (ProcessExec("/usr/bin/python3"), None), (NetworkConnection("203.0.113.1:443", internet=True), None),
        (LibraryLoaded("libssl.so"), None), (PrivilegeChange(1000, 0), None),
    ],
)  # fmt: skip
def test_alerts_and_interactive_execs_light_every_chain_of_their_workload(world, reporter, behavior, reason):
    """And of no other; every Secret of a wide chain is concerned. All other behaviors are shown and light nothing."""
    world.read("app/other", "get", "app/known")  # so that the wide chain has a Secret to list
    reporter.report(behavior)
    expected = {MOUNT_DB, MOUNT_TLS, GRANT, WIDE} if reason else set()
    assert expected == world.lit()
    for chain in world.chains(corroborated=True):
        assert ([reason], "possible") == (chain.corroborated_by, chain.corroboration)
        assert all(secret.corroborated for secret in chain.secrets)
        assert [behavior.summary] == [piece.behavior.summary for piece in chain.evidence]
    assert behavior.summary in [piece.behavior.summary for piece in world.evidence()]


def test_what_lit_it_is_told_apart(world, reporter):
    """A read, a mounted read, an alert and an exec are named in this order, and each ends by itself."""
    world.read("app/reader", "get", "app/db-creds", pod="web-1", named=world.named("get-db"))
    reporter.report(SecretRead("app/db-creds"), ttl_s=100)
    reporter.report(Alert("a"), ttl_s=200)
    reporter.report(ProcessExec("/bin/sh"), ttl_s=50)

    def by() -> dict[Any, tuple[Any, list[str]]]:
        return {(c.reach, c.objective.name): (c.corroboration, c.corroborated_by) for c in world.chains(corroborated=True)
                if c.entry.name == "web"}  # fmt: skip

    assert by() == {
        ("rbac-granted", "db-creds"): ("proven", ["read", "alert", "exec"]),
        ("rbac-granted", None): ("possible", ["alert", "exec"]),
        ("mounted", "db-creds"): ("proven", ["mounted_read", "alert", "exec"]),
        ("mounted", "tls"): ("possible", ["alert", "exec"]),
    }
    world.wait(60)
    assert by()["mounted", "db-creds"] == ("proven", ["mounted_read", "alert"])
    world.wait(60)
    assert by()["mounted", "db-creds"] == ("possible", ["alert"])
    world.wait(100)
    assert by() == {("rbac-granted", "db-creds"): ("proven", ["read"])}


def test_a_read_through_the_api_says_nothing_of_the_mount(world, reporter):
    """The two ways of reading the same Secret stay apart."""
    world.read("app/reader", "get", "app/db-creds", pod="web-1")
    assert {GRANT} == world.lit()


def test_expiry_alone_flips_it_back(world, reporter):
    """Both flips are told, of a mounted chain without an account; nothing is left of the act but that it was."""
    reporter.report(SecretRead("app/db-creds"))
    revision = world.engine.revision
    world.wait(301)
    assert [(flip.event, str(flip.workload), flip.service_account) for flip in world.flips] == [
        ("chain.corroborated", "Deployment/app/web", None),
        ("chain.expired", "Deployment/app/web", None),
    ]
    assert set() == world.lit()
    assert revision < world.engine.revision
    assert (len(world.engine.acts), world.engine.graph.acts, world.evidence(live=True)) == (0, {}, [])
    (piece,) = world.evidence(live=False)
    assert (piece.live, piece.behavior.secret, piece.chains) == (False, "app/db-creds", [])


def test_an_act_that_ended_is_shown_for_an_hour(world, reporter):
    """As reads are, under the same filters; reported again it is live and in one place only."""
    reporter.report(SecretRead("app/db-creds"))
    reporter.report(Alert("a"), "api-1")
    world.wait(301)
    assert [len(world.evidence(**query)) for query in ({}, {"live": False}, {"live": True})] == [2, 2, 0]
    assert [piece.pods for piece in world.evidence(account=("app", "other"))] == [["api-1"]]
    assert world.evidence(secret=("app", "tls")) == []
    reporter.report(Alert("a"), "api-1")
    assert [(piece.pods, piece.live) for piece in world.evidence()] == [(["api-1"], True), (["web-1"], False)]
    world.wait(3600)
    assert [piece.pods for piece in world.evidence()] == [["api-1"]]
    world.wait(600)
    assert (world.evidence(), len(world.engine.ended.acts), world.engine.next_at()) == ([], 0, None)


def test_what_had_to_make_room_is_shown_as_ended(world, reporter):
    """It is not live, though its time is not over."""
    act = reporter.report(Alert("a"))
    reporter.send(ended=(act.key,))
    assert [(piece.live, piece.behavior.summary) for piece in world.evidence()] == [(False, act.behavior.summary)]


def test_acts_that_ended_are_bounded(world, reporter):
    """The oldest goes, counted."""
    world.engine.acts.ended._capacity = 3
    reporter.send(*(reporter.act(Alert(str(number)), ttl_s=100 + number) for number in range(5)))
    world.wait(301)
    assert [piece.behavior.rule for piece in world.evidence()] == ["4", "3", "2"]
    counts = world.engine.ended.statistics()
    assert (counts.acts_held, counts.acts_overflowed, counts.held) == (3, 2, 0)


def test_an_act_that_ended_while_the_engine_started_again_is_not_lost(world, make_world, reporter):
    """Two incarnations later: what ended meanwhile is shown as ended, what is live is there once."""
    reporter.report(Alert("over"), ttl_s=50)
    lives = reporter.report(Alert("lives"))
    make_world(world.engine.ended)  # which fails before it hears of anything
    later = make_world(world.engine.ended)
    later.now = world.now + 100
    Reporter(later).send(lives, full=True)
    assert [(piece.behavior.rule, piece.live) for piece in later.evidence()] == [("lives", True), ("over", False)]


def test_what_was_reported_again_lasts_longer(world, reporter):
    """The same act with a later end replaces the earlier; no second flip."""
    reporter.report(Alert("a"))
    world.wait(200)
    reporter.report(Alert("a"), count=2)
    world.wait(200)
    assert {MOUNT_DB, MOUNT_TLS, GRANT, WIDE} == world.lit()
    assert [flip.event for flip in world.flips] == ["chain.corroborated"] * 4


def test_what_had_to_make_room_lights_nothing_and_others_go_on(world, reporter):
    """Of two acts that light a chain one goes: the other still does, to its own end."""
    first = reporter.report(Alert("a"))
    second = reporter.report(Alert("b"), ttl_s=100)
    reporter.send(ended=(first.key,))
    assert {world.now + 100} == {world.engine.graph.acts[second.workload].whole["alert"][0]}
    reporter.send(ended=(second.key,))
    assert set() == world.lit()


def test_everything_anew_ends_what_it_does_not_name(world, reporter):
    """After a restart of the behaviors' actor: all parts together are what there is."""
    reporter.report(Alert("old"), "api-1")
    reporter.send(reporter.act(SecretRead("app/db-creds")), full=True, more=True)
    assert {OTHER, MOUNT_DB} == world.lit()
    reporter.send(reporter.act(SecretRead("app/tls")))
    assert {MOUNT_DB, MOUNT_TLS} == world.lit()


def test_an_act_may_come_before_its_workload_and_its_chains(world, make_world):
    """What is made later is lit at once by what is live; a pod that went keeps its lit mount until the act ends."""
    reporter = Reporter(world)
    late = world.pod("late-1", "app/late", mounts=("tls",))
    world.pods[late.uid] = late
    act = Act(
        ActKey(late.uid, "alert:x"), Alert("x"), "late-1", late.account, late.workload, Attribution.NAMED,
        world.now, world.now, world.now + 300,
    )  # fmt: skip
    reporter.send(act)
    assert set() == world.lit()
    world.apply(late)
    assert {("late", None, "app/tls")} == world.lit()
    world.grant("late-get", to="app/late")
    assert {("late", None, "app/tls"), ("late", "late-get", "app/*")} == world.lit()
    world.apply(forgotten=(late.uid,))
    assert {("late", None, "app/tls"), ("late", "late-get", "app/*")} == world.lit()
    world.wait(301)
    assert (set(), None) == (world.lit(), world.engine.graph.workloads.get(late.workload))


def test_filters_find_acts_as_they_find_reads(world, reporter):
    """By Secret, account, namespace, liveness and signal; `secret=` of a chain is lit by its mounted read or the alert."""
    reporter.report(SecretRead("app/db-creds"))
    reporter.report(Alert("a"), "api-1")
    found = {
        name: len(world.evidence(**query))
        for name, query in {
            "all": {}, "secret": {"secret": ("app", "db-creds")}, "other": {"secret": ("app", "tls")}, "signal": {"signal": "burst"},
            "account": {"account": ("app", "reader")}, "ns": {"namespace": "app"}, "nowhere": {"namespace": "ops"},
            "live": {"live": True}, "ended": {"live": False},
        }.items()
    }  # fmt: skip
    assert found == {
        "all": 2, "secret": 1, "other": 0, "signal": 0, "account": 1, "ns": 2, "nowhere": 0, "live": 2, "ended": 0,
    }  # fmt: skip
    of_secret = {(c.entry.name, c.reach): c.corroborated_by for c in world.chains(secret=("app", "db-creds"))}
    assert of_secret == {
        ("web", "mounted"): ["mounted_read"], ("api", "mounted"): ["alert"], ("web", "rbac-granted"): [],
    }  # fmt: skip


def test_an_alert_costs_its_workloads_chains_and_no_more(world, reporter):
    """Whatever else is in the cluster."""
    reporter.report(Alert("warm"))
    before = world.engine.touched
    reporter.report(Alert("a"))
    small = world.engine.touched - before
    for n in range(200):
        world.apply(world.pod(f"more{n}-1", f"app/acc{n}", mounts=("db-creds",)))
    before = world.engine.touched
    reporter.report(Alert("b"))
    assert small == world.engine.touched - before
