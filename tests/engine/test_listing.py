"""Pages of chains and evidence: filters, order, cursors; one Secret's readers."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.cluster.records import KnownSecret
from actors.engine import secret_view, status_view
from actors.engine.queries import BadCursor, ChainQuery, ChainsQuery, EvidenceQuery, SecretQuery


@pytest.fixture
def shop(world):
    """Three workloads: a lit and proven internal one, a lit and possible exposed one, a dark one."""
    world.apply(
        world.pod("proven-1", "app/proven"),
        world.pod("possible-1", "app/possible", labels=(("app", "possible"),)),
        world.pod("dark-1", "shop/dark"),
        world.service("possible", "LoadBalancer"),
    )
    world.grant("p", to="app/proven")
    world.grant("q", to="app/possible")
    world.grant("d", to="shop/dark", ns="shop")
    world.read("app/proven", "get", "app/a", pod="proven-1", named=world.named("p"))
    world.wait(1)
    world.read("app/possible", "get", "app/b", pod="possible-1", source_ip="198.51.100.7")
    return world


def names(chains):
    return [c.entry.name for c in chains]


def test_the_order_is_corroborated_exposed_signals_newest(shop):
    """Proven before possible before dark, whatever else."""
    assert names(shop.chains()) == ["proven", "possible", "dark"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"corroborated": True}, ["proven", "possible"]),
        ({"corroborated": False}, ["dark"]),
        ({"namespace": "shop"}, ["dark"]),
        ({"exposure": "internet"}, ["possible"]),
        ({"exposure": "internal"}, ["proven", "dark"]),
        ({"exposure": "nonsense"}, []),
        ({"account": ("app", "proven")}, ["proven"]),
        ({"account": ("app", "nobody")}, []),
        ({"signal": "foreign_source_ip"}, ["possible"]),
        ({"signal": "burst"}, []),
        ({"secret": ("app", "a")}, ["proven", "possible"]),
        ({"secret": ("app", "a"), "corroborated": True}, ["proven"]),
        ({"secret": ("app", "a"), "corroborated": False}, ["possible"]),
        ({"secret": ("app", "a"), "account": ("app", "possible")}, ["possible"]),
        ({"namespace": "app", "exposure": "internal"}, ["proven"]),
        ({"corroborated": False, "exposure": "internal"}, ["dark"]),
    ],
)
def test_filters_of_chains(shop, query, expected):
    """Each filter alone and together; the total counts what they let through."""
    page = shop.listing.chains(ChainsQuery(**query), shop.now)
    assert (expected, len(expected)) == (names(page.chains), page.total)


def test_with_a_secret_everything_is_of_that_secret_alone(shop):
    """The proven chain read A: asked about B it is dark, without evidence, and lists B alone."""
    chain = next(c for c in shop.chains(secret=("app", "b")) if c.entry.name == "proven")
    assert (
        chain.corroborated, chain.corroboration, chain.expires_at, chain.evidence, [(s.name, s.corroborated) for s in chain.secrets],
    ) == (False, None, None, [], [("b", False)])  # fmt: skip
    lit = next(c for c in shop.chains(secret=("app", "a")) if c.entry.name == "proven")
    assert (lit.corroborated, lit.corroboration, len(lit.evidence), len(lit.secrets)) == (True, "proven", 1, 1)


def test_with_a_secret_the_signals_are_of_that_secret_alone(shop):
    """B was read from a foreign address, A by the same account from its own: only under B is the chain found by the signal."""
    shop.read("app/possible", "get", "app/a", pod="possible-1")
    query = {"signal": "foreign_source_ip"}
    assert shop.chains(secret=("app", "a"), **query) == []
    assert shop.chains(secret=("app", "c"), **query) == []
    assert names(shop.chains(secret=("app", "b"), **query)) == ["possible"]
    assert shop.chains(secret=("app", "b"), corroborated=False, **query) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["b", "a"]),
        ({"account": ("app", "proven")}, ["a"]),
        ({"secret": ("app", "a")}, ["a"]),
        ({"namespace": "shop"}, []),
        ({"signal": "foreign_source_ip"}, ["b"]),
        ({"live": True}, ["b", "a"]),
        ({"live": False}, []),
    ],
)
def test_filters_of_evidence(shop, query, expected):
    """Newest first; the same while live and after."""
    assert expected == [e.secret.name for e in shop.evidence(**query)]


def test_ended_evidence_is_merged_in_its_place(shop):
    """What ended stands behind what is live where it is older, and passes the same filters."""
    shop.wait(299)
    shop.read("app/proven", "get", "app/c", pod="proven-1")
    assert [(e.secret.name, e.live) for e in shop.evidence()] == [("c", True), ("b", True), ("a", False)]
    assert [e.secret.name for e in shop.evidence(live=False, secret=("app", "a"))] == ["a"]
    assert shop.evidence(live=False, account=("app", "possible")) == []


def test_a_collection_read_covers_each_secret_of_its_scope(shop):
    """Evidence of a list is found under any Secret of the namespace."""
    shop.read("app/proven", "list", "app/*", pod="proven-1")
    assert {None, "a"} == {e.secret.name for e in shop.evidence(secret=("app", "a"))}


def test_a_chain_by_its_id(shop):
    """The same view as in the list, and what to cut; None for an unknown id."""
    first = shop.chains()[0]
    alone = shop.listing.chain(ChainQuery(first.id), shop.now)
    assert alone.cut
    assert first == msgspec.structs.replace(alone, cut=None)
    assert None is shop.listing.chain(ChainQuery("nothing"), shop.now)


@pytest.mark.parametrize(
    "cursor", ["", "nonsense", "e30=", base64.urlsafe_b64encode(b"[1,2,3]").decode(), "A" * 5000, "\u00e9"]
)
def test_a_cursor_that_is_none_is_told_so(shop, cursor):
    """Neither an exception nor a page."""
    assert BadCursor() == shop.listing.chains(ChainsQuery(cursor=cursor), shop.now)
    assert BadCursor() == shop.listing.evidence(EvidenceQuery(cursor=cursor), shop.now)


def pages(ask):
    found, cursor = [], None
    while True:
        items, cursor = ask(cursor)
        found += items
        if cursor is None:
            return found


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    limit=st.integers(1, 7),
    lit=st.lists(st.integers(0, 11), max_size=12),
    exposed=st.sets(st.integers(0, 11)),
    filters=st.sampled_from(
        [{}, {"exposure": "cluster"}, {"namespace": "app"}, {"corroborated": False}, {"secret": ("app", "s3")}]
    ),
)
def test_following_the_cursor_gives_everything_once_in_order(make_world, limit, lit, exposed, filters):
    """Chains and evidence, lit and dark, with and without filters."""
    world = make_world()
    world.apply(*(world.pod(f"w{n}-1", f"app/sa{n}", labels=(("app", f"w{n}"),)) for n in range(12)))
    world.apply(*(world.service(f"w{n}") for n in sorted(exposed)))
    world.grant("all", to="system:serviceaccounts:app")
    for n in lit:
        world.read(f"app/sa{n}", "get", f"app/s{n}", pod=f"w{n}-1")

    def chains(cursor):
        page = world.listing.chains(ChainsQuery(limit=limit, cursor=cursor, **filters), world.now)
        return page.chains, page.next_cursor

    def evidence(cursor):
        page = world.listing.evidence(EvidenceQuery(limit=limit, cursor=cursor), world.now)
        return page.evidence, page.next_cursor

    assert [c.id for c in world.chains(**filters)] == [c.id for c in pages(chains)]
    assert [e.secret.name for e in world.evidence()] == [e.secret.name for e in pages(evidence)]
    assert len(set(lit)) == len(world.evidence())


def test_a_limit_beyond_the_bound_is_the_bound(shop):
    """0 is 1, and nobody gets more than 1,000."""
    assert len(shop.listing.chains(ChainsQuery(limit=0), shop.now).chains) == 1
    assert len(shop.listing.chains(ChainsQuery(limit=10**9), shop.now).chains) == 3


def test_a_wide_chain_shows_a_thousand_secrets_and_counts_them_all(world):
    """The lit ones first."""
    world.apply(world.pod("web-1"), world.pod("job-1", "app/other"))
    world.grant("all", verbs="get,list")
    world.grant("others", to="app/other")
    for n in range(1005):
        world.read("app/other", "get", f"app/s{n:04}", pod="job-1")
    world.read("app/reader", "get", "app/s1004", pod="web-1")
    chain = world.chains(account=("app", "reader"))[0]
    assert (
        len(chain.secrets), chain.secrets_total, chain.secrets[0].name, chain.secrets[0].corroborated,
    ) == (1000, 1005, "s1004", True)  # fmt: skip
    assert sum(s.corroborated for s in chain.secrets) == 1
    world.read("app/reader", "list", "app/*", pod="web-1")
    assert sum(s.corroborated for s in world.chains(account=("app", "reader"))[0].secrets) == 1000


def test_all_chains_of_a_page_share_a_bound_of_secrets(world):
    """In front 1,000 each, and at least 20 in any case; the totals stay true, and one chain by its id shows its 1,000."""
    world.apply(*(world.pod(f"w{n:02}-1", f"app/sa{n}") for n in range(12)))
    world.grant("all", to="system:serviceaccounts:app")
    world.apply(*(KnownSecret("app", f"s{n}") for n in range(1200)))
    views = world.chains()
    assert [len(c.secrets) for c in views] == [1000] * 10 + [20] * 2
    assert {1200} == {c.secrets_total for c in views}
    assert len(world.listing.chain(ChainQuery(views[-1].id), world.now).secrets) == 1000


def test_the_evidence_inside_a_chain_is_its_newest_twenty(world):
    """By event time, not by arrival."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    for age_s in range(30):
        world.read("app/reader", "get", f"app/s{age_s}", pod="web-1", age_s=age_s)
    assert [f"s{n}" for n in range(20)] == [e.secret.name for e in world.chains()[0].evidence]


def test_one_secrets_readers(shop):
    """Who may read it, with and without workloads; who mounts it; the evidence that covered it."""
    shop.apply(shop.pod("mounter-1", "app/plain", mounts=("a",)))
    shop.grant("ghost", to="app/ghost", verbs="watch")
    view = secret_view(shop.engine, shop.listing, SecretQuery("app", "a"), shop.now)
    found = {r.service_account.name: ([w.name for w in r.workloads], r.verbs, len(r.chains)) for r in view.readers}
    assert found == {
        "proven": (["proven"], ["get"], 1),
        "possible": (["possible"], ["get"], 1),
        "ghost": ([], ["watch"], 0),
    }
    assert ([w.name for w in view.mounted_by], [e.secret.name for e in view.evidence]) == (["mounter"], ["a"])
    assert secret_view(shop.engine, shop.listing, SecretQuery("no", "thing"), shop.now).readers == []


def test_the_status_counts(shop):
    """What metrics and pages read."""
    found = status_view(shop.engine, shop.now, ready=True)
    assert (found.chains, found.corroborated, found.evidence_live, found.evidence_ended) == (3, 2, 2, 0)


def test_every_view_is_json_in_the_shape_of_the_contract(shop):
    """The names of the fields that the contract fixes, and nothing that JSON cannot hold."""
    page = msgspec.to_builtins(shop.listing.chains(ChainsQuery(), shop.now))
    chain = page["chains"][0]
    assert set(chain) >= {
        "id", "entry", "service_account", "reach", "grant", "objective", "technique", "breach_relevant", "corroborated",
        "corroboration", "corroborated_by", "expires_at", "secrets", "evidence",
    }  # fmt: skip
    assert set(chain["entry"]) >= {"kind", "namespace", "name", "exposure", "pods"}
    assert set(chain["grant"]) == {"binding", "role", "verbs", "revoked"}
    assert set(chain["evidence"][0]) >= {
        "service_account", "secret", "behavior", "verb", "attribution", "workloads", "pods", "observed_at", "first_seen", "count",
        "live", "held_open", "source_ip", "user_agent", "credential_id", "audit_id", "granted_by", "explained", "signals", "chains",
    }  # fmt: skip
    assert chain["evidence"][0]["granted_by"] == [
        {
            "binding": {"kind": "RoleBinding", "namespace": "app", "name": "p"},
            "role": {"kind": "Role", "namespace": "app", "name": "p"},
        }
    ]
    assert msgspec.json.decode(msgspec.json.encode(page)) == page
