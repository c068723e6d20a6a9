"""The examples that are shipped: their cluster files are read whole, and their stories are what the code makes of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from actors.cluster.records import Binding, Role
from actors.cluster.source import load_file
from actors.grants import Grants
from actors.parser.core import parse_body
from actors.testing.cast import load_cast
from actors.testing.events import encode_batch
from actors.testing.story import load_story, scene_events

EXAMPLES = sorted(path.parent for path in (Path(__file__).parents[2] / "docs" / "examples").glob("*/story.yaml"))
NOW = 1_764_000_000.0


@pytest.fixture(params=EXAMPLES, ids=lambda folder: folder.name)
def example(request):
    return request.param


def parsed(example, now=NOW):
    """(scene, its items, what the parser makes of them) for every scene."""
    cast = load_cast(example / "cluster.yaml")
    story = load_story(example / "story.yaml", cast)
    chance = random.Random(1)
    for scene in story.scenes:
        items = [event for _, event in scene_events(story, cast, scene, now, chance)]
        yield scene, items, parse_body(encode_batch(items), now + 600)


def test_every_object_of_the_cluster_file_is_understood(example):
    """Nothing in the file is unknown or malformed to the cluster's own reader."""
    snapshot = load_file(example / "cluster.yaml")
    assert (snapshot.unknown, snapshot.malformed) == ({}, 0)


def test_the_cluster_file_is_as_kubectl_writes_it(example):
    """A List, without Secrets, managed fields or the annotation that holds whole objects."""
    text = (example / "cluster.yaml").read_text()
    assert text.startswith("apiVersion: v1\nitems:\n")
    for unwanted in ("managedFields", "last-applied-configuration", "kind: Secret\n"):
        assert unwanted not in text


def test_every_allowed_request_of_an_account_is_a_read(example):
    """What the story says was read is what the parser finds, with the binding it names, and nothing else."""
    for scene, _, batch in parsed(example):
        told = [a for a in scene.requests if a.result == "ok" and a.as_account is None]
        expected = sum(a.times * (1 + (a.open_s is not None)) for a in told if "/" in a.by or a.binding or a.reason)
        reads = [read for read in batch.reads if not (read.borrowed or read.ends_only)]
        assert (len(reads), batch.error) == (expected, None)
        assert [read for read in reads if read.named is None] == []


def test_nothing_of_the_story_is_malformed(example):
    """Every other item is dropped for what it is."""
    dropped = {}
    for _, _, batch in parsed(example):
        for reason, count in batch.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    assert {"malformed", "oversized"} & set(dropped) == set()
    assert {"stage", "not_a_secret", "impersonated", "not_a_service_account", "denied", "not_found"} <= set(dropped)


def test_every_binding_that_is_named_would_allow_the_request(example):
    """A request's binding is one that grants it in the cluster file, and a denied request is granted by none."""
    grants = Grants()
    for record in load_file(example / "cluster.yaml").objects:
        if isinstance(record, Role):
            grants.upsert_role(record)
        elif isinstance(record, Binding):
            grants.upsert_binding(record)
    for scene, _, batch in parsed(example):
        reasons = {ask.reason for ask in scene.requests}
        for read in batch.reads:
            allowed = grants.allowing(read.account, read.verb, read.scope.namespace, read.scope.name)
            named = read.named.binding if read.named else None
            if named in {grant.binding for grant in allowed} or read.borrowed or read.ends_only:
                continue
            assert any(named.name in reason for reason in reasons if reason), f"{read.account} {read.verb} {read.scope}"


def test_the_story_shows_what_it_is_for(example):
    """Lit, dark, expired and unexplained chains, a repeated batch, a lost one, a late read and a watch all occur."""
    cast = load_cast(example / "cluster.yaml")
    scenes = load_story(example / "story.yaml", cast).scenes
    asks = [ask for scene in scenes for ask in scene.requests]
    assert all(
        any(getattr(s.expect, name) for s in scenes) for name in ("lit", "dark", "expired", "unexplained", "duplicates")
    )
    assert {"answer_lost", "not_delivered"} <= {scene.fault for scene in scenes}
    assert {"get", "list", "watch"} == {ask.verb for ask in asks}
    assert any(ask.ago_s for ask in asks)
    assert scenes[-1].at_s < 10


def test_no_name_of_an_example_is_in_the_code(example):
    """The packages know no workload, account or namespace of an example."""
    cast = load_cast(example / "cluster.yaml")
    names = {workload.partition("/")[2] for workload in cast.workloads} | {example.name + ".example"}
    code = "\n".join(
        path.read_text() for root in ("actors", "web") for path in (Path(__file__).parents[2] / root).rglob("*.py")
    )
    assert [name for name in names if name in code] == []


def test_scenes_are_the_same_for_the_same_seed(example):
    """Ids and noise come from the seed, so that a run can be repeated."""
    first, again = ([encode_batch(items) for _, items, _ in parsed(example)] for _ in range(2))
    assert first == again
    assert json.loads(first[0])["kind"] == "EventList"
