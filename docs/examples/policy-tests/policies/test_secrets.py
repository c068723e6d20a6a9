"""What must stay true of the team's manifests, and of what its accounts do."""

from pathlib import Path

import pytest
from actors.testing import schedules

from web import GREETING

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def shop(cluster):
    return cluster.load(PROJECT / "manifests")


def test_the_web_tier_may_read_its_configuration_and_nothing_else(protector, shop):
    protector.access("app/reader-sa").may_read_only("app/web-config")
    protector.chain("app/web", "app/db-creds").does_not_exist()


def test_a_read_is_seen_and_forgotten_after_its_time(protector, shop, audit, clock):
    protector.post(audit.get("app/web-config").by("app/reader-sa").from_pod("web-1"))
    protector.chain("app/web", "app/web-config").is_lit()
    clock.advance("301s")
    protector.chain("app/web", "app/web-config").is_dark()
    protector.assert_nothing_lost()


async def test_a_denied_request_is_no_read(protector, shop, audit):
    await protector.post(audit.get("app/db-creds").by("app/reader-sa").denied())
    await protector.access("app/reader-sa").has_not_read("app/db-creds")


def test_last_night_nobody_read_more_than_the_configuration(protector, shop):
    protector.replay(PROJECT / "last-night.jsonl")
    protector.access("app/reader-sa").has_read_only("app/web-config")
    protector.access("app/reader-sa").has_read("app/web-config")


@schedules(5)
def test_in_whatever_order_things_happen(protector, shop, audit):
    protector.post(audit.get("app/web-config").by("app/reader-sa").batch(50))
    protector.chain("app/web", "app/web-config").is_lit()


def test_the_team_has_a_web_of_its_own():
    assert GREETING == "hello"
