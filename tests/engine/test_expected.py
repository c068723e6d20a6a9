"""Expected readers: what an entry speaks for, what stays a finding all the same, and what a bad file is told."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from actors.engine.core import Engine
from actors.engine.expected import BUILT_IN, BadExpected, Entry, Expected, entries_of, first_of
from actors.engine.listing import Listing
from actors.evidence import Account, Scope, Signal

READER = "app/reader"


def entry(**changes: Any) -> Entry:
    fields = {"account": READER, "secrets": ("app/a",), "reason": "because"} | changes
    return Entry(**fields)


@pytest.fixture
def expecting(make_world: Any) -> Any:
    """A world whose engine has these entries, with a pod `web-1` as app/reader that may get everything in app."""

    def make(*entries: Entry, **how: Any) -> Any:
        world = make_world()
        world.engine = Engine(expected=Expected(entries), **how)
        world.listing = Listing(world.engine)
        world.apply(world.pod("web-1"), full=True)
        world.grant("g", verbs="get,list,watch")
        return world

    return make


@pytest.mark.parametrize(
    ("pattern", "scope", "is_covered"),
    [
        # one Secret by name
        ("app/a", Scope("app", "a"), True),
        ("app/a", Scope("app", "ab"), False),
        ("app/a*", Scope("app", "ab"), True),
        ("*/a", Scope("other", "a"), True),
        ("*/*", Scope("other", "a"), True),
        ("*", Scope("other", "a"), True),
        ("a*/x", Scope("ab", "x"), True),
        ("ap.p/a", Scope("apxp", "a"), False),
        # a whole namespace must be named as a whole
        ("app/*", Scope("app", None), True),
        ("app/a*", Scope("app", None), False),
        ("*/*", Scope("app", None), True),
        ("other/*", Scope("app", None), False),
        # and so must the cluster
        ("*", Scope(None, None), True),
        ("*/*", Scope(None, None), False),
        ("*/a", Scope(None, "a"), False),
    ],
)
def test_a_pattern_speaks_for_what_it_names_as_a_whole(pattern: str, scope: Scope, is_covered: bool) -> None:
    """A star in a name never stands for the collection, nor one namespace for all."""
    assert is_covered is entry(secrets=(pattern,)).expects(scope, "get", 0.0, ())


def test_an_entry_speaks_for_its_verbs_until_its_last_day_and_for_no_signal_but_its_own() -> None:
    """Each of the four by itself decides."""
    scope = Scope("app", "a")
    limited = entry(verbs=("get",), until=dt.date(2026, 3, 1), signals=(Signal.FIRST_READ,))
    last_moment = dt.datetime(2026, 3, 1, 23, 59, 59, tzinfo=dt.UTC).timestamp()
    assert limited.expects(scope, "get", last_moment, (Signal.FIRST_READ,))
    assert not limited.expects(scope, "list", last_moment, ())
    assert not limited.expects(scope, "get", last_moment + 1.0, ())
    assert not limited.expects(scope, "get", last_moment, (Signal.FIRST_READ, Signal.BURST))
    assert first_of((entry(secrets=("b/b",)), limited), scope, "get", 0.0, ()) == "because"


def test_an_account_is_matched_as_a_whole() -> None:
    """A star stays within its side of the slash; runs of stars are one."""
    assert Expected([entry(account="a*/r**r")]).of(Account("app", "reader"))[:1]
    assert not Expected([entry(account="app/read")]).of(Account("app", "reader"))
    assert not Expected([entry(account="*r")]).of(Account("app", "reader"))


def test_the_control_plane_is_built_in_without_its_gets() -> None:
    """Its informers are expected; a get of one Secret is what whoever has its token would make."""
    collector = Expected().of(Account("kube-system", "generic-garbage-collector"))
    signals = (Signal.PODLESS, Signal.CROSS_NAMESPACE, Signal.COLLECTION_READ)
    assert first_of(collector, Scope(None, None), "watch", 0.0, signals)
    assert None is first_of(collector, Scope("app", "a"), "get", 0.0, (Signal.PODLESS, Signal.CROSS_NAMESPACE))
    assert all(each.built_in for each in BUILT_IN)


def test_expected_evidence_is_shown_and_says_no_flip(expecting: Any) -> None:
    """The chain is corroborated, no finding, behind those that are; the evidence says why it is expected."""
    world = expecting(entry())
    world.apply(world.pod("new-1", "app/other"))
    world.grant("o", "app/other")
    world.read(READER, "get", "app/a", pod="web-1")
    world.read("app/other", "get", "app/b", pod="new-1")
    chains = world.chains(corroborated=True)
    assert [(chain.entry.name, chain.open) for chain in chains] == [("new", True), ("web", False)]
    assert chains[1].evidence[0].expected == "because"
    assert None is chains[0].evidence[0].expected
    assert [chain.entry.name for chain in world.chains(open=True)] == ["new"]
    assert "new" not in [chain.entry.name for chain in world.chains(open=False)]
    assert [(flip.event, flip.workload.name) for flip in world.flips] == [("chain.corroborated", "new")]
    world.wait(301.0)
    assert [(flip.event, flip.workload.name) for flip in world.flips[1:]] == [("chain.expired", "new")]
    assert "because" in [piece.expected for piece in world.evidence()]


def test_a_signal_that_no_entry_names_makes_it_a_finding(expecting: Any) -> None:
    """A read from a foreign address opens the chain that expected reads had lit; when that read ends it is closed."""
    world = expecting(entry())
    world.read(READER, "get", "app/a", pod="web-1", source_ip="10.1.0.1")
    assert world.flips == []
    world.read(READER, "get", "app/a", source_ip="203.0.113.9")
    (flip,) = world.flips
    assert (flip.event, flip.secret) == ("chain.corroborated", "app/*")
    assert flip.attribution.value == "shared"  # what is told is told of the finding, not of what is expected


def test_another_secret_of_an_expected_reader_is_a_finding(expecting: Any) -> None:
    """The entry speaks for one Secret; asked for that one alone the chain is no finding, asked for the other it is."""
    world = expecting(entry())
    world.read(READER, "get", "app/a", pod="web-1")
    world.wait(100.0)
    world.read(READER, "get", "app/b", pod="web-1")
    assert [chain.open for chain in world.chains(corroborated=True)] == [True]
    assert [chain.open for chain in world.chains(secret=("app", "a"))] == [False]
    assert [chain.open for chain in world.chains(secret=("app", "b"))] == [True]
    world.wait(201.0)
    world.read(READER, "get", "app/a", pod="web-1")
    world.wait(100.0)
    assert [(chain.corroborated, chain.open) for chain in world.chains(corroborated=True)] == [(True, False)]
    assert [flip.event for flip in world.flips] == ["chain.corroborated", "chain.expired"]


def test_an_entry_that_ends_while_the_reader_goes_on(expecting: Any) -> None:
    """The reads after its last day are findings; those before stay what they were."""
    world = expecting(entry(until=dt.datetime.fromtimestamp(1_700_000_000, dt.UTC).date()))
    left_s = entry(until=dt.datetime.fromtimestamp(1_700_000_000, dt.UTC).date()).ends_at - world.now  # type: ignore[operator]
    world.wait(left_s - 100.0)
    world.read(READER, "get", "app/a", pod="web-1")
    world.wait(99.0)
    world.read(READER, "get", "app/a", pod="web-1")
    assert world.flips == []
    world.wait(2.0)
    world.read(READER, "get", "app/a", pod="web-1")
    assert [flip.event for flip in world.flips] == ["chain.corroborated"]


def test_a_burst_of_an_expected_reader_is_a_finding(expecting: Any) -> None:
    """The twentieth Secret opens what the nineteen before lit, and each of them says so; the threshold is a setting."""
    world = expecting(entry(secrets=("app/*",)), burst_secrets=3)
    for name in "ab":
        world.read(READER, "get", f"app/{name}", pod="web-1")
    assert world.flips == []
    world.read(READER, "get", "app/c", pod="web-1")
    assert [flip.event for flip in world.flips] == ["chain.corroborated"]
    assert [piece.expected for piece in world.evidence()] == [None] * 3
    world.wait(301.0)
    assert world.flips[-1].event == "chain.expired"


def test_an_unexplained_read_is_reported_unless_an_entry_names_it(expecting: Any) -> None:
    """Authorizers other than RBAC exist; who lives with one says so."""
    for signals, count in (((), 1), ((Signal.UNEXPLAINED, Signal.CROSS_NAMESPACE), 0)):
        world = expecting(entry(secrets=("other/x",), signals=signals))
        world.read(READER, "get", "other/x", pod="web-1")
        world.read(READER, "get", "other/x", pod="web-1", age_s=400.0, borrowed=False)
        world.wait(6.0)
        assert count == [flip.event for flip in world.flips].count("read.unexplained"), signals
        assert count == len([f for f in world.engine.everything(world.now) if f.event == "read.unexplained"])


def test_a_late_read_of_an_expected_reader_says_so(expecting: Any) -> None:
    """What came too late to be live is evidence of the last hour, expected or not."""
    world = expecting(entry())
    world.read(READER, "get", "app/a", pod="web-1", age_s=1000.0)
    assert [piece.expected for piece in world.evidence()] == ["because"]


def test_a_file_of_entries() -> None:
    """As it is written for GitOps."""
    text = """
expected:
  - account: app/reader
    secrets: [app/a, "other/*"]
    reason: it is its job
  - {account: "*/x", secrets: ["*"], verbs: [list], until: 2027-01-31, signals: [collection_read], reason: "yes"}
"""
    first, second = entries_of(text)
    assert (first.secrets, first.verbs, first.until) == (("app/a", "other/*"), ("get", "list", "watch"), None)
    assert (dt.date(2027, 1, 31), (Signal.COLLECTION_READ,)) == (second.until, second.signals)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("expected: [", "no YAML at line"),
        ("- a", "one list called"),
        ("expected: {}", "one list called"),
        ("expected: []\nother: 1", "one list called"),
        ("expected: [" * 3000, "no YAML"),
        ("expected: [{until: 2026-02-31}]", "no YAML that can be read"),
        ("expected: [{account: a/b, secrets: [a/b]}]", "entry 1: Object missing required field `reason`"),
        ("expected: [{account: a/b, secrets: [a/b], reason: r, verb: get}]", "entry 1: Object contains unknown field `verb`"),
        ("expected: [{account: a/b, secrets: [a/b], reason: r, verbs: [delete]}]", "entry 1: Invalid enum value 'delete'"),
        ("expected: [{account: a/b, secrets: [a/b], reason: r, signals: [x]}]", "entry 1: Invalid enum value 'x'"),
        ("expected: [{account: a, secrets: [a/b], reason: r}]", "'a' is not namespace/name"),
        ("expected: [{account: a/b, secrets: [], reason: r}]", "between 1 and 100"),
        ("expected: [{account: a/b, secrets: [b], reason: r}]", "'b' is neither namespace/name nor *"),
        ("expected: [{account: a/b, secrets: [a/b], reason: ' '}]", "reason: one line"),
        ("expected: [{account: a/b, secrets: [a/b], reason: r, verbs: []}]", "verbs: at least one"),
        ("expected: [{account: a/b, secrets: [a/b], reason: r, until: soon}]", "entry 1: Invalid RFC3339"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_line_that_names_the_entry(text: str, said: str) -> None:
    """Which entry, and what is wrong with it."""
    with pytest.raises(BadExpected) as raised:
        entries_of(text)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
