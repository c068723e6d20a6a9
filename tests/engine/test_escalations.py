"""Escalations as the engine answers them: which, in what order, what they lead to, in pages; and that no read ever lights one."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.cluster.records import Rule
from actors.engine import escalations
from actors.engine.escalations import escalations_page
from actors.engine.queries import BadCursor, EscalationsQuery
from actors.evidence import ObjectName
from actors.grants import ESCALATIONS_MAX


def can(verbs, resource, *names):
    return Rule(tuple(verbs.split()), ("",), (resource,), names)


def power(world, name, *rules, to="app/reader", ns="app"):
    """A role with these rules and its binding, both called `name`."""
    world.apply(world.role(name, ns=ns, rules=rules), world.binding(name, to, ns=ns))


def page(world, **query):
    return escalations_page(world.engine, EscalationsQuery(**query), world.now)


def edges(world, **query):
    return [(e.entry.name, e.edge, e.namespace) for e in page(world, **query).escalations]


def test_an_escalation_names_its_technique_and_what_to_cut(world):
    """Entry, account, both grants, what one gets hold of, and the Secrets behind it as a selector."""
    world.apply(world.pod("web-1"))
    power(world, "make", can("create", "pods"))
    (found,) = page(world).escalations
    assert (found.reach, found.edge, found.technique, found.verbs) == ("escalation", "create_pods", "T1610", ["create"])
    assert ([each.binding.name for each in found.grants], found.through) == (["make"], "secrets")
    assert (found.objective.namespace, found.objective.name, found.entry.pods) == ("app", None, ["web-1"])
    assert page(world).total == 1


def test_a_read_never_lights_one_and_one_is_never_among_the_chains(world):
    """Who may create pods and reads a Secret by a grant: the grant's chain is lit, the escalation stays what it was."""
    world.apply(world.pod("web-1"))
    power(world, "make", can("create", "pods"))
    world.grant("all")
    before = msgspec.json.encode(page(world))
    world.read("app/reader", "get", "app/db", pod="web-1", named=world.named("make"))
    assert {("web", "all", "app/*")} == world.lit()
    assert [c.reach for c in world.chains()] == ["rbac-granted"]
    assert before == msgspec.json.encode(page(world))


def test_the_revision_of_the_chains_does_not_move(world):
    """What only changes escalations changes nothing that /api/chains answers."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    revision = world.engine.revision
    power(world, "make", can("create", "pods"))
    world.apply(forgotten=(ObjectName("RoleBinding", "app", "make"),))
    assert (revision, []) == (world.engine.revision, page(world).escalations)


def test_a_read_that_only_an_escalation_would_explain_is_unexplained(world):
    """A right to create Secrets and pods explains no read."""
    world.apply(world.pod("web-1"))
    power(world, "make", can("create", "pods"), can("create", "secrets"))
    world.read("app/reader", "get", "app/db", pod="web-1")
    world.wait(6)
    assert [e.explained for e in world.evidence()] == [False]


@pytest.mark.parametrize("state", [{"finished": True}, {"gone_at": 1.0}, {"bound_token": False}])
def test_pods_that_cannot_ask_the_api_server_escalate_nothing(world, state):
    """Finished, gone, or without a token."""
    world.apply(world.pod("web-1", **state))
    power(world, "make", can("create", "pods"))
    assert (page(world).escalations, page(world).total) == ([], 0)


def test_the_exposed_come_first_and_move_when_their_exposure_does(world):
    """The order is of the entries, the most exposed first, then by name."""
    world.apply(world.pod("b-1", labels=(("app", "b"),)), world.pod("a-1"), world.pod("c-1", labels=(("app", "c"),)))
    power(world, "make", can("create", "pods"))
    world.apply(world.service("c", "LoadBalancer"))
    assert [name for name, _, _ in edges(world)] == ["c", "a", "b"]
    assert [e.breach_relevant for e in page(world).escalations] == [True, False, False]
    world.apply(world.service("c"), world.service("b"))
    assert [name for name, _, _ in edges(world)] == ["b", "c", "a"]
    assert page(world).total == 3


def test_tokens_of_accounts_lead_to_what_those_may_read(world):
    """The accounts that may read, with what; its own is no gain; without any it is latent."""
    world.apply(world.pod("web-1"))
    power(world, "mint", can("create", "serviceaccounts/token"))
    world.grant("own")
    (found,) = page(world).escalations
    assert (found.latent, found.objective, found.accounts) == (True, None, [])
    world.grant("all", to="app/backup", verbs="list")
    world.grant("far", to="other/backup", verbs="list", ns="other")
    (found,) = page(world).escalations
    assert (found.latent, [(a.service_account.name, a.scopes[0].namespace) for a in found.accounts]) == (
        False,
        [("backup", "app")],
    )


def test_the_token_of_one_account_leads_to_that_one(world):
    """resourceNames count: a create of a token carries the account's name."""
    world.apply(world.pod("web-1"))
    power(world, "mint", can("create", "serviceaccounts/token", "idle"))
    world.grant("all", to="app/backup")
    (found,) = page(world).escalations
    assert (found.names, found.latent) == (["idle"], True)
    power(world, "mint", can("create", "serviceaccounts/token", "backup"))
    assert [a.service_account.name for a in page(world).escalations[0].accounts] == ["backup"]


def test_commands_in_pods_lead_to_their_mounts_and_accounts(world):
    """Of the pods that run there, and where names limit it of those pods alone."""
    world.apply(
        world.pod("web-1"),
        world.pod("db-1", account="app/db", mounts=("tls",)),
        world.pod("far-1", account="far/x", mounts=("tls",)),
    )
    world.grant("all", to="app/db")
    world.grant("idle", to="app/idle")
    power(world, "run", can("create", "pods/exec"))
    (found,) = page(world).escalations
    assert [(m.namespace, m.name) for m in found.mounted] == [("app", "tls")]
    assert [a.service_account.name for a in found.accounts] == ["db"]
    power(world, "run", can("create", "pods/exec", "web-1"))
    (found,) = page(world).escalations
    assert (found.mounted, found.accounts, found.latent) == ([], [], True)


def test_a_group_behind_a_selector_stays_a_group(world):
    """Where every account may read, every account is named as one."""
    world.apply(world.pod("web-1"))
    world.grant("all", to="system:serviceaccounts:app")
    power(world, "imp", can("impersonate", "serviceaccounts"))
    names = [(a.service_account.namespace, a.service_account.name) for e in page(world).escalations for a in e.accounts]
    assert names == [("app", None)]


def test_what_it_has_already_is_nothing_gained(world):
    """The account's own grants, and the workload's own mounts, are not what an escalation leads to."""
    world.apply(world.pod("web-1", mounts=("tls",)))
    world.grant("own")
    power(world, "mint", can("create", "serviceaccounts/token"))
    power(world, "run", can("create", "pods/exec"))
    assert [(each.latent, each.mounted, each.accounts) for each in page(world).escalations] == [(True, [], [])] * 2
    assert edges(world, secret=("app", "tls")) == edges(world, secret=("app", "db")) == []
    world.apply(world.pod("db-1", "app/db", mounts=("tls", "key")))
    world.grant("other", to="app/db", names=("db",))
    assert [each.latent for each in page(world).escalations] == [False, False]
    assert edges(world, secret=("app", "tls"), edge="exec") == [("web", "exec", "app")]
    assert edges(world, secret=("app", "db"), edge="create_tokens") == [("web", "create_tokens", "app")]


def test_a_role_that_nobody_holds_is_widened_for_nobody(world):
    """Asked where the grant names the roles; who may widen every role is not asked."""
    world.apply(world.pod("web-1"))

    def widening(*names):
        rbac = ("rbac.authorization.k8s.io",)
        power(world, "wide", Rule(("escalate", "update"), rbac, ("roles",), names))
        (found,) = page(world).escalations
        assert found.latent is (edges(world, secret=("app", "db")) == [])
        return found.latent

    assert [widening("idle"), widening("idle", "wide"), widening()] == [True, False, False]
    world.apply(world.binding("b", "app/db", "idle"))
    assert not widening("idle")
    world.apply(world.binding("b", "app/db", "idle", gone_at=world.now))
    assert widening("idle")


def test_filters(world):
    """By the workload's namespace and exposure, the account, the edge, and the Secret that it leads to."""
    world.apply(
        world.pod("web-1"), world.pod("ops-1", account="ops/admin"), world.pod("db-1", "app/db", mounts=("tls",))
    )
    power(world, "make", can("create", "pods"))
    power(world, "run", can("get", "pods/exec"), to="ops/admin")
    power(world, "mint", can("create", "serviceaccounts/token"), to="ops/admin", ns=None)
    world.grant("far", to="far/reader", names=("key",), ns="far")
    make, run, mint = ("web", "create_pods", "app"), ("ops", "exec", "app"), ("ops", "create_tokens", None)
    assert edges(world) == [make, run, mint]
    assert edges(world, namespace="ops") == [run, mint]
    assert edges(world, account=("app", "reader")) == [make]
    assert edges(world, account=("no", "body")) == edges(world, exposure="internet") == []
    assert edges(world, edge="create_tokens") == [mint]
    assert edges(world, secret=("app", "tls")) == [make, run]
    assert edges(world, secret=("app", "other")) == [make]
    assert edges(world, secret=("far", "key")) == [mint]
    assert edges(world, secret=("far", "other")) == []
    assert page(world, edge="exec").total is None


def test_pages_give_each_once(world):
    """Following the cursor, also within one entry; a cursor that nobody gave out is none."""
    world.apply(*(world.pod(f"w{n}-1") for n in range(4)))
    power(world, "make", can("create", "pods"), can("create", "pods/exec"), can("create", "serviceaccounts/token"))
    whole, found, cursor = edges(world), [], None
    while True:
        part = page(world, limit=5, cursor=cursor)
        found += [(e.entry.name, e.edge, e.namespace) for e in part.escalations]
        cursor = part.next_cursor
        if cursor is None:
            break
    assert (found, len(whole), part.total) == (whole, 12, 12)
    assert isinstance(page(world, cursor="x"), BadCursor)
    assert isinstance(page(world, cursor="x" * 5000), BadCursor)


def test_one_question_looks_at_so_many(world, monkeypatch):
    """Where filters let little through, the page is short and its cursor goes on."""
    monkeypatch.setattr(escalations, "LOOKED_MAX", 3)
    world.apply(*(world.pod(f"w{n}-1") for n in range(4)), world.pod("z-1"))
    power(world, "make", can("create", "pods"))
    world.apply(world.service("z", "ClusterIP"))
    first = page(world, exposure="internet")
    assert (first.escalations, first.next_cursor is not None) == ([], True)
    assert page(world, exposure="internet", cursor=first.next_cursor).next_cursor is None


def test_what_is_shown_of_many_is_bounded(world):
    """Accounts and mounts up to a bound, and that there are more."""
    world.apply(world.pod("web-1"), *(world.pod(f"m{n}-1", f"app/m{n}", mounts=(f"s{n}",)) for n in range(30)))
    for n in range(30):
        world.grant(f"g{n}", to=f"app/m{n}")
    power(world, "run", can("create", "pods/exec"))
    (found,) = page(world).escalations
    assert (len(found.accounts), found.accounts_more, len(found.mounted), found.mounted_more) == (20, True, 20, True)


def test_a_change_of_one_binding_touches_only_its_accounts(make_world):
    """The same number of objects in a small and in a large cluster."""

    def cost(size):
        world = make_world()
        world.apply(*(world.pod(f"w{n}-1", f"app/a{n}") for n in range(size)))
        for n in range(size):
            power(world, f"make{n}", can("create", "pods"), to=f"app/a{n}")
        before = world.engine.touched
        power(world, "run", can("create", "pods/exec"), to="app/a1")
        assert page(world).total == size + 1
        return world.engine.touched - before

    assert cost(3) == cost(200)


def test_an_account_at_the_bound_is_counted(world):
    """So many of one account and no more; the count says that there may be others, and falls with them."""
    world.apply(world.pod("web-1"), world.role("wide", ns=None, rules=(can("create", "pods"),)))
    bindings = [
        world.binding(f"b{n}", "app/reader", "wide", ns=f"ns-{n}", role_kind="ClusterRole")
        for n in range(ESCALATIONS_MAX + 1)
    ]
    world.apply(*bindings)
    escalating = world.engine.graph.escalating
    assert (escalating.total, escalating.at_bound) == (ESCALATIONS_MAX, 1)
    world.apply(forgotten=tuple(each.key for each in bindings[:2]))
    assert (escalating.total, escalating.at_bound) == (ESCALATIONS_MAX - 1, 0)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("pod"), st.integers(0, 3), st.sampled_from(["app/a", "app/b"]), st.booleans()),
        st.tuples(st.just("unpod"), st.integers(0, 3)),
        st.tuples(st.just("bind"), st.integers(0, 2), st.sampled_from(["app/a", "app/b", "system:authenticated"])),
        st.tuples(
            st.just("role"), st.integers(0, 2), st.sampled_from(["pods", "pods/exec", "secrets", "*", "configmaps"])
        ),
        st.tuples(st.just("unbind"), st.integers(0, 2)),
        st.tuples(st.just("service"), st.sampled_from(["ClusterIP", "LoadBalancer"])),
    ),
    max_size=12,
)


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=150)
@given(steps)
def test_after_any_changes_it_is_what_a_fresh_engine_says(make_world, steps):
    """Step by step, and told the present at once: the same page, and the same total."""
    world, present = make_world(), {}
    for kind, *how in steps:
        if kind == "unpod":
            key = f"uid-w{how[0]}-1"
            present.pop(key, None)
            world.apply(forgotten=(key,))
            continue
        if kind == "unbind":
            key = ObjectName("RoleBinding", "app", f"r{how[0]}")
            present.pop(key, None)
            world.apply(forgotten=(key,))
            continue
        if kind == "pod":
            record = world.pod(f"w{how[0]}-1", how[1], bound_token=how[2], labels=(("app", f"w{how[0]}"),))
        elif kind == "bind":
            record = world.binding(f"r{how[0]}", how[1])
        elif kind == "role":
            record = world.role(f"r{how[0]}", rules=(can("create get", how[1]),))
        else:
            record = world.service("w1", how[0])
        present[record.key] = record
        world.apply(record)
    fresh = make_world()
    fresh.apply(*present.values())
    assert page(fresh) == page(world)
    assert page(world).total == len(page(world, limit=1000).escalations)
