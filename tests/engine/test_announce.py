"""The flip log: each flip once, over restarts too, as lines that no outsider can forge."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from actors.engine import Announcements
from actors.engine.announce import READS_REMEMBERED_MAX
from actors.evidence import Signal
from actors.messages import Announce


def lit_flips(world):
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod="web-1")
    flips = tuple(world.flips)
    world.flips.clear()
    return flips


class Store:
    """Keeps what the announcer says, as the store does."""

    def __init__(self):
        self.keys = set()

    def keep(self, announced):
        self.keys |= set(announced.lit)
        self.keys -= set(announced.dark)

    def announcer(self):
        found = Announcements("prod")
        found.remember(frozenset(self.keys))
        return found


def say(announcer, store, *flips, everything=False, at=0.0):
    said, announced = announcer.take(Announce(flips, everything), at)
    store.keep(announced)
    return [flip.event for flip in said]


def test_a_line_has_every_field_of_the_contract(world):
    """at, event, cluster, chain, workload, account, secret, attribution, corroboration, exposure, signals."""
    (flip,) = lit_flips(world)
    line = json.loads(Announcements("prod").line(flip))
    assert {
        "at": "2023-11-14T22:13:20.000000Z", "event": "chain.corroborated", "cluster": "prod", "chain": flip.chain,
        "workload": "Deployment/app/web", "service_account": "app/reader", "secret": "app/*", "attribution": "exact",
        "corroboration": "possible", "exposure": "internal", "signals": [],
    } == {name: line[name] for name in list(line)[:11]}  # fmt: skip


def test_a_line_is_one_line_of_ascii_whatever_is_in_it(world):
    """Control characters, line ends and other letters are escaped."""
    (flip,) = lit_flips(world)
    line = Announcements("pr\u00f6d\n").line(replace(flip, secret="app/\x1b[31m\nforged\x7f\u2028"))
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["secret"] == "app/\x1b[31m\nforged\x7f\u2028"


def test_only_real_transitions_are_said(world):
    """The same flip twice is said once, an end without a beginning not at all."""
    (flip,) = lit_flips(world)
    dark = replace(flip, event="chain.expired")
    store = Store()
    mine = store.announcer()
    assert say(mine, store, flip, flip) == ["chain.corroborated"]
    assert say(mine, store, dark, dark) == ["chain.expired"]
    assert set() == store.keys
    assert (mine.statistics().written, mine.statistics().repeated, mine.statistics().lit) == (2, 2, 0)


def test_a_restart_is_no_flip(world):
    """What was announced and still is lit gets no second line."""
    (flip,) = lit_flips(world)
    store = Store()
    say(store.announcer(), store, flip)
    assert say(store.announcer(), store, flip, everything=True) == []
    assert len(store.keys) == 1


def test_what_went_dark_while_nobody_looked_is_said_after_the_restart(world):
    """The end names the workload, the account and the Secret, though the engine may know the chain no longer."""
    (flip,) = lit_flips(world)
    store = Store()
    say(store.announcer(), store, flip)
    after = store.announcer()
    said, announced = after.take(Announce((), everything=True), 99.0)
    assert [replace(flip, event="chain.expired", at=99.0)] == said
    store.keep(announced)
    assert set() == store.keys


def test_what_became_lit_while_nobody_looked_is_said_after_the_restart(world):
    """Everything is told; what was not announced is news."""
    (flip,) = lit_flips(world)
    store = Store()
    assert say(store.announcer(), store, flip, everything=True) == ["chain.corroborated"]


def test_lit_and_dark_in_one_announcement_leaves_nothing_behind(world):
    """Both lines, and nothing to remember."""
    (flip,) = lit_flips(world)
    store = Store()
    assert len(say(store.announcer(), store, flip, replace(flip, event="chain.expired"))) == 2
    assert set() == store.keys


def test_an_unexplained_read_is_said_once_over_restarts(world):
    """Its observation and its beginning are what tells it apart; when it is gone it is forgotten without a line."""
    world.apply()
    world.read("app/reader", "get", "app/db")
    world.wait(5)
    (flip,) = world.flips
    store = Store()
    assert say(store.announcer(), store, flip) == ["read.unexplained"]
    again = world.engine.everything(world.now)
    assert [flip.key] == [each.key for each in again]
    assert say(store.announcer(), store, *again, everything=True) == []
    assert say(store.announcer(), store, everything=True) == []
    assert set() == store.keys


def test_remembered_reads_are_bounded(world):
    """Over the bound the oldest is forgotten, here and in the store, and counted."""
    world.apply()
    world.read("app/reader", "get", "app/db")
    world.wait(5)
    (flip,) = world.flips
    store = Store()
    mine = store.announcer()
    flips = [replace(flip, key=f"read:{n}") for n in range(READS_REMEMBERED_MAX + 1)]
    say(mine, store, *flips)
    assert (mine.statistics().reads_remembered, mine.statistics().reads_forgotten) == (READS_REMEMBERED_MAX, 1)
    assert len(store.keys) == READS_REMEMBERED_MAX


def test_what_cannot_be_read_is_forgotten(world):
    """Kept by another version: dropped from the store with the next announcement."""
    store = Store()
    store.keys.add("of another version")
    say(store.announcer(), store)
    assert set() == store.keys


def test_a_line_is_an_ocsf_detection_finding(world):
    """What OCSF 1.3.0 requires of class 2004, beside the line's own fields; the end closes what the beginning opened."""
    (flip,) = lit_flips(world)
    opened = json.loads(Announcements("prod").line(flip))
    closed = json.loads(Announcements("prod").line(replace(flip, event="chain.expired")))
    required = {
        "activity_id",
        "category_uid",
        "class_uid",
        "finding_info",
        "metadata",
        "severity_id",
        "time",
        "type_uid",
    }
    assert required <= set(opened)
    assert (opened["class_uid"], opened["category_uid"]) == (2004, 2)
    assert [(line["activity_id"], line["type_uid"], line["status_id"]) for line in (opened, closed)] == [
        (1, 200401, 1),
        (3, 200403, 4),
    ]
    assert opened["finding_info"]["uid"] == closed["finding_info"]["uid"] == opened["chain"]
    assert {"name", "vendor_name"} <= set(opened["metadata"]["product"])
    assert opened["evidences"][0]["actor"]["user"]["name"].startswith("system:serviceaccount:")


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({"exposure": "internet", "corroboration": "possible", "signals": ()}, 4),
        ({"event": "read.unexplained", "exposure": None, "corroboration": None}, 4),
        ({"exposure": "cluster", "corroboration": "proven", "signals": ()}, 3),
        ({"exposure": "cluster", "corroboration": "possible", "signals": (Signal.BURST,)}, 3),
        ({"exposure": "internal", "corroboration": "possible", "signals": ()}, 2),
    ],
)
def test_how_severe_a_flip_is(world, changes, severity):
    """Exposure first, then proof and signals."""
    (flip,) = lit_flips(world)
    assert severity == json.loads(Announcements("prod").line(replace(flip, **changes)))["severity_id"]
