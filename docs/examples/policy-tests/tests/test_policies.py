from pathlib import Path

import pytest

import web
from actors.testing import PolicyViolated, schedules

HERE = Path(__file__).parent


@pytest.fixture
def shop(cluster):
    return cluster.load(HERE.parent / "manifests", namespace="shop")


def test_the_web_tier_reads_its_own_secrets_only(protector, shop):
    protector.access("shop/shop-web").may_read_only(*(f"shop/{name}" for name in web.SECRETS))
    protector.secret("shop/db-creds").is_readable_only_by("shop/shop-web")
    protector.secret("shop/smtp").is_mounted_only_by("shop/report")


def test_last_night_against_the_rbac_of_tomorrow(protector, shop):
    assert protector.replay(HERE / "last-night.jsonl") == 3
    protector.access("shop/shop-web").has_read_only("shop/db-creds")
    protector.chain("shop/web", "shop/db-creds").is_exposed()


def test_a_new_role_that_lets_somebody_in_is_noticed(protector, shop, audit, clock):
    shop.role("shop/debug", "get,list *").bind("shop/debug", to="shop/default")
    with pytest.raises(PolicyViolated, match="also by shop/default"):
        protector.secret("shop/db-creds").is_readable_only_by("shop/shop-web")
    protector.post(audit.list("shop/*").by("shop/default"))
    protector.chain("shop/report", "shop/db-creds").is_lit()
    clock.advance("5m")
    protector.chain("shop/report", "shop/db-creds").is_dark()


@schedules(5)
async def test_it_holds_whatever_the_order(protector, cluster, audit):
    cluster.load(HERE.parent / "manifests", namespace="shop")
    await protector.post(audit.get("shop/db-creds").by("shop/shop-web"))
    await protector.chain("shop/web", "shop/db-creds").is_proven()
    await protector.assert_nothing_lost()
