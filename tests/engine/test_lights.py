"""Corroboration is exact: what a read lights, and what it does not (design 3)."""

from __future__ import annotations

import pytest

from actors.evidence import PodClaim


def test_a_read_lights_the_chain_of_the_grant_that_allows_it(world):
    """One get by the pod of a workload lights that workload's chain over that grant, as possible without a reason."""
    world.apply(world.pod("web-1"))
    world.grant("named", names=("db",))
    world.read("app/reader", "get", "app/db", pod="web-1")
    assert {("web", "named", "app/db")} == world.lit()
    assert [chain.corroboration for chain in world.chains(corroborated=True)] == ["possible"]


def test_secret_a_never_lights_secret_b_in_a_wildcard_chain(world):
    """Inside one chain over every Secret, a read of A leaves B dark, though B is known."""
    world.apply(world.pod("web-1"), world.pod("job-1", "app/other"))
    world.grant("all")
    world.grant("others", to="app/other")
    world.read("app/reader", "get", "app/a", pod="web-1")
    world.read("app/other", "get", "app/b", pod="job-1")
    states = {s.name: s.corroborated for c in world.chains(account=("app", "reader")) for s in c.secrets}
    assert states == {"a": True, "b": False}


def test_an_api_read_never_lights_a_mount_chain(world):
    """The workload mounts the Secret that it reads through the API: only the granted chain is lit."""
    world.apply(world.pod("web-1", mounts=("db",)))
    world.grant("named", names=("db",))
    world.read("app/reader", "get", "app/db", pod="web-1")
    assert {c.reach: c.corroborated for c in world.chains()} == {"rbac-granted": True, "mounted": False}


def test_an_event_naming_pod_1_never_lights_pod_2(world):
    """Two workloads of one account: the read that names a pod of the first lights only the first."""
    world.apply(world.pod("left-1"), world.pod("right-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod="left-1")
    assert {("left", "all", "app/*")} == world.lit()


def test_a_namespace_list_never_lights_a_resource_names_grant(world):
    """A list without a name used the grant of the whole collection, not the one of a single name."""
    world.apply(world.pod("web-1"))
    world.grant("one", verbs="get,list", names=("db",))
    world.grant("whole", verbs="list")
    world.read("app/reader", "list", "app/*", pod="web-1")
    assert {("web", "whole", "app/*")} == world.lit()


def test_a_list_never_lights_a_get_only_grant(world):
    """A grant of get alone does not allow a list."""
    world.apply(world.pod("web-1"))
    world.grant("gets", verbs="get")
    world.read("app/reader", "list", "app/*", pod="web-1")
    assert set() == world.lit()


def test_a_cluster_wide_list_never_lights_a_role_binding(world):
    """Only ClusterRoleBindings are asked about a request for every namespace."""
    world.apply(world.pod("web-1"))
    world.grant("local", verbs="list")
    world.grant("wide", verbs="list", ns=None)
    world.read("app/reader", "list", "*", pod="web-1")
    assert {("web", "wide", "*/*")} == world.lit()


def test_a_get_in_another_namespace_never_lights_a_role_binding(world):
    """A RoleBinding gives its namespace only."""
    world.apply(world.pod("web-1"))
    world.grant("local")
    world.read("app/reader", "get", "other/db", pod="web-1")
    assert set() == world.lit()


def test_a_list_narrowed_to_one_name_lights_both_grants_that_allow_it(world):
    """With a field selector the request has a name: the grant of that name and the grant of all allow it, each by itself."""
    world.apply(world.pod("web-1"))
    world.grant("one", verbs="get,list", names=("b", "c"))
    world.grant("whole", verbs="list")
    world.read("app/reader", "list", "app/b", pod="web-1")
    assert {("web", "one", "app/b"), ("web", "whole", "app/*")} == world.lit()


def test_of_a_grant_of_two_names_only_the_name_that_was_read_is_lit(world):
    """resourceNames a and b are two chains; a get of a lights one."""
    world.apply(world.pod("web-1"))
    world.grant("two", names=("a", "b"))
    world.read("app/reader", "get", "app/a", pod="web-1")
    assert {("web", "two", "app/a")} == world.lit()


def test_a_read_without_a_claim_lights_every_workload_of_the_account(world):
    """Nobody knows which pod it was: all workloads are lit, as shared."""
    world.apply(world.pod("left-1"), world.pod("right-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db")
    assert {("left", "all", "app/*"), ("right", "all", "app/*")} == world.lit()


def test_a_claim_of_an_unknown_pod_lights_nothing(world):
    """Neither an unknown uid, with a real pod's name, nor an unknown name is attached to anything."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/a", pod=PodClaim("web-1", "no-such-uid"))
    world.read("app/reader", "get", "app/b", pod=PodClaim("web-9", None))
    assert set() == world.lit()


def test_a_borrowed_read_lights_nothing(world):
    """A read made as somebody else used that one's rights; it is shown, and that is all."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod="web-1", borrowed=True)
    assert set() == world.lit()
    assert [e.signals for e in world.evidence()] == [["impersonated"]]


def test_a_chain_is_proven_if_and_only_if_its_binding_was_named(world):
    """Of two grants that allow the same, the one that the API server named is proven, the other possible."""
    world.apply(world.pod("web-1"))
    world.grant("first")
    world.grant("second")
    world.read("app/reader", "get", "app/db", pod="web-1", named=world.named("second"))
    found = {c.grant.binding.name: c.corroboration for c in world.chains()}
    assert found == {"first": "possible", "second": "proven"}


def test_proven_ends_with_the_read_that_named_the_binding(world):
    """A later read that names another binding keeps the chain lit, but its proof ends with the read that gave it."""
    world.apply(world.pod("web-1"))
    world.grant("first")
    world.grant("second")
    world.read("app/reader", "get", "app/db", pod="web-1", named=world.named("first"))
    world.wait(200)
    world.read("app/reader", "get", "app/db", pod="web-1", named=world.named("second"))
    before = world.engine.revision
    world.wait(100)
    found = {c.grant.binding.name: c.corroboration for c in world.chains()}
    assert found == {"first": "possible", "second": "proven"}
    assert before < world.engine.revision


def test_a_proof_that_is_renewed_ends_again(world):
    """Named, then no longer, then named again by a repeated read: the second end is noticed by the clock as the first was."""
    world.apply(world.pod("web-1"))
    world.grant("first")
    world.grant("second")
    for name in ("first", "second", "first"):
        world.read("app/reader", "get", "app/db", pod="web-1", named=world.named(name))
        world.wait(200)
    world.read("app/reader", "get", "app/db", pod="web-1", named=world.named("second"))
    before = world.engine.revision
    world.wait(100)
    assert before + 1 == world.engine.revision
    assert {c.grant.binding.name: c.corroboration for c in world.chains()} == {"first": "possible", "second": "proven"}


def test_proof_is_remembered_for_the_eight_grants_named_last(make_world, world):
    """Twelve equal bindings, each named once: eight are proven, here as in a new engine; nothing ends twice later."""
    world.apply(world.pod("web-1"))
    names = [f"g{number}" for number in range(12)]
    for name in names:
        world.grant(name)
    for name in names:
        world.read("app/reader", "get", "app/db", pod="web-1", named=world.named(name))
        world.wait(1)
    proven = {c.grant.binding.name for c in world.chains() if c.corroboration == "proven"}
    assert set(names[4:]) == proven
    after = make_world()
    after.now, after.observations = world.now, world.observations
    after.apply(after.pod("web-1"))
    for name in names:
        after.grant(name)
    after.reattribute()
    assert after.chains() == world.chains()
    before, revision = world.answer(), world.engine.revision
    world.wait(290)
    assert (before, revision) == (world.answer(), world.engine.revision)


def test_what_is_named_elsewhere_stays_proven(world):
    """The ninth grant named for one Secret takes the proof of the first away, but not what it has from another Secret."""
    world.apply(world.pod("web-1"))
    for number in range(9):
        world.grant(f"g{number}")
    world.read("app/reader", "get", "app/a", pod="web-1", named=world.named("g0"))
    for number in range(9):
        world.read("app/reader", "get", "app/b", pod="web-1", named=world.named(f"g{number}"))
    assert {c.corroboration for c in world.chains()} == {"proven"}


def test_bind_read_unbind_leaves_the_chain_lit_and_marked_revoked(world):
    """A binding that went after the read still explains it; the chain goes when its light does."""
    world.apply(world.pod("web-1"))
    world.grant("brief")
    world.read("app/reader", "get", "app/db", pod="web-1")
    world.apply(world.binding("brief", "app/reader", gone_at=world.now + 10))
    assert [(c.corroborated, c.grant.revoked) for c in world.chains()] == [(True, True)]
    world.wait(300)
    assert world.chains() == []


def test_a_read_after_the_binding_went_lights_nothing(world):
    """The grant is judged as of the event: 20 s after the end it allows nothing."""
    world.apply(world.pod("web-1"))
    world.apply(world.role("brief"), world.binding("brief", "app/reader", gone_at=world.now - 20))
    world.read("app/reader", "get", "app/db", pod="web-1")
    assert set() == world.lit()


def test_a_late_read_from_before_the_end_of_the_binding_lights_it(world):
    """The same read, but made while the binding stood, and delivered late."""
    world.apply(world.pod("web-1"))
    world.apply(world.role("brief"), world.binding("brief", "app/reader", gone_at=world.now - 20))
    world.read("app/reader", "get", "app/db", pod="web-1", age_s=30)
    assert {("web", "brief", "app/*")} == world.lit()


def test_a_grant_named_in_a_live_read_stays_lit_after_a_newer_read_by_another(world):
    """Bind A, read, unbind A, read by B: the first read is still live, and the server named A in it."""
    world.apply(world.pod("web-1"))
    world.grant("a")
    world.grant("b")
    world.read("app/reader", "get", "app/db", pod="web-1", named=world.named("a"))
    world.apply(world.binding("a", "app/reader", gone_at=world.now + 10))
    world.wait(100)
    world.read("app/reader", "get", "app/db", pod="web-1", named=world.named("b"))
    assert {("web", "a", "app/*"), ("web", "b", "app/*")} == world.lit()
    world.wait(200)
    assert {("web", "b", "app/*")} == world.lit()


def test_a_gone_pods_read_is_exact_and_keeps_its_chain_visible(world):
    """A CronJob's pod that finished and went is no entry any more; while its read is live the chain is there."""
    world.apply(world.pod("job-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod="job-1")
    world.apply(world.pod("job-1", gone_at=world.now + 1, finished=True))
    world.reattribute()
    assert {("job", "all", "app/*")} == world.lit()
    assert [e.attribution for e in world.evidence()] == ["exact"]
    world.wait(300)
    assert world.chains() == []


@pytest.mark.parametrize("verb", ["list", "watch"])
def test_a_collection_read_lights_every_known_secret_of_its_scope(world, verb):
    """A list or watch of the namespace lights each Secret that is known there, and none of another namespace."""
    world.apply(world.pod("web-1", mounts=("mounted",)), world.pod("x-1", "other/x", mounts=("elsewhere",)))
    world.grant("wide", verbs="list,watch", ns=None)
    world.read("app/reader", verb, "app/*", pod="web-1")
    chain = world.chains(account=("app", "reader"), corroborated=True)[0]
    assert {(s.namespace, s.name): s.corroborated for s in chain.secrets} == {
        ("app", "mounted"): True,
        ("other", "elsewhere"): False,
    }


def test_a_chain_lives_as_long_as_the_latest_of_what_lights_it(world):
    """expires_at is the latest end; the end of an earlier read changes nothing about it."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/a", pod="web-1")
    world.wait(100)
    world.read("app/reader", "get", "app/b", pod="web-1")
    latest = world.chains()[0].expires_at
    world.wait(200)
    assert [latest] == [c.expires_at for c in world.chains() if c.corroborated]
    assert [e.behavior.secret for e in world.chains()[0].evidence] == ["app/b"]


def test_expiry_flips_to_the_tick(world):
    """Lit a moment before the end, dark at the end, with no event but the clock."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod="web-1")
    world.wait(299.999)
    assert {("web", "all", "app/*")} == world.lit()
    world.wait(0.001)
    assert set() == world.lit()
    assert [flip.event for flip in world.flips] == ["chain.corroborated", "chain.expired"]


def test_a_question_alone_sees_what_has_ended(world):
    """Liveness is computed at the moment of the question, without a tick before it."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod="web-1")
    world.now += 300
    assert set() == world.lit()
    assert [flip.event for flip in world.engine.take_flips()] == ["chain.expired"]


def test_a_watch_whose_end_arrives_makes_the_light_shorter(world):
    """A held-open watch is lit far ahead; when it ends, the chain's end moves back."""
    world.apply(world.pod("web-1"))
    world.grant("all", verbs="watch")
    world.read("app/reader", "watch", "app/*", pod="web-1", held_open_until=world.now + 1000)
    far = world.chains()[0].expires_at
    world.read("app/reader", "watch", "app/*", pod="web-1", live_until=world.now + 300)
    assert far > world.chains()[0].expires_at
    assert [e.held_open for e in world.evidence()] == [False]


def test_held_open_ends_by_time_and_is_a_change(world):
    """The watch may no longer be open, the read is still live: the answer changes, and so does the revision."""
    world.apply(world.pod("web-1"))
    world.grant("all", verbs="watch")
    world.read("app/reader", "watch", "app/*", pod="web-1", held_open_until=world.now + 100)
    before = world.engine.revision
    world.wait(100)
    assert before + 1 == world.engine.revision
    assert [(e.live, e.held_open) for e in world.evidence()] == [(True, False)]


def test_evidence_that_ended_stays_queryable_for_an_hour(world):
    """Not live, with the chains that it lit; gone after 3,600 s."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod="web-1")
    ids = [c.id for c in world.chains()]
    world.wait(300)
    assert [(False, ids)] == [(e.live, e.chains) for e in world.evidence()]
    world.wait(3600)
    assert world.evidence() == []


def test_a_read_that_came_too_late_is_told_and_lights_nothing(world):
    """Older than the TTL at arrival: evidence that is not live."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db", pod="web-1", age_s=400)
    assert set() == world.lit()
    assert [e.live for e in world.evidence()] == [False]


def test_an_evicted_observation_goes_dark(world):
    """What the store ended before its time is live no longer."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    observation = world.observe("app/reader", "get", "app/db", pod="web-1")
    world.send(observation.account, [observation])
    world.send(observation.account, [], (observation.key,))
    assert set() == world.lit()


def test_a_gap_is_not_applied(world):
    """A message that builds on what is not here is refused, and changes nothing."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/a", pod="web-1")
    account = next(iter(world.observations))
    world.versions[account] += 1
    assert not world.send(account, [world.observe("app/reader", "get", "app/b", pod="web-1")])
    assert [e.behavior.secret for e in world.evidence()] == ["app/a"]
    assert world.send(account, list(world.observations[account].values()), full=True)
    assert len(world.evidence()) == 2


def test_everything_told_in_parts_flips_nothing_that_stays(world):
    """A full message in two parts: what the second names stays lit all the while; what neither names ends with the last."""
    world.apply(world.pod("web-1"))
    world.grant("a", names=("a",))
    world.grant("b", names=("b",))
    for name in "ab":
        world.read("app/reader", "get", f"app/{name}", pod="web-1")
    world.flips.clear()
    account, (first, second) = next((k, list(v.values())) for k, v in world.observations.items())
    world.send(account, [first], full=True, more=True)
    assert len(world.lit()) == 2
    world.send(account, [second])
    assert (len(world.lit()), world.flips) == (2, [])
    world.send(account, [second], full=True)
    assert {("web", "b", "app/b")} == world.lit()


def test_a_group_grant_lights_the_account_that_read(world):
    """system:serviceaccounts:<ns> is every account of the namespace; only the one that read is lit."""
    world.apply(world.pod("web-1"), world.pod("job-1", "app/other"))
    world.grant("group", to="system:serviceaccounts:app")
    world.read("app/other", "get", "app/db", pod="job-1")
    assert {("job", "group", "app/*")} == world.lit()
    assert len(world.chains()) == 2


def test_twenty_distinct_secrets_are_a_burst(world):
    """19 are not; the 20th marks the account's evidence and its chains; when one ends, the mark goes."""
    world.apply(world.pod("web-1"))
    world.grant("all")
    for number in range(19):
        world.read("app/reader", "get", f"app/s{number}", pod="web-1")
    assert world.chains(signal="burst") == []
    world.wait(10)
    world.read("app/reader", "get", "app/s19", pod="web-1")
    assert len(world.chains(signal="burst")) == 1
    assert len(world.evidence(signal="burst")) == 20
    world.wait(290)
    assert world.chains(signal="burst") == []


# --- counterparts of the tests of the change this grew out of ---


def test_api_read_attaches_to_the_workload_running_as_the_account(world):
    """The evidence names exactly the workload of the account that read."""
    world.apply(world.pod("web-1"))
    world.grant("named", names=("db-creds",))
    world.read("app/reader", "get", "app/db-creds")
    found = world.evidence()[0]
    assert [w.name for w in found.workloads] == ["web"]
    assert (found.behavior.kind, found.behavior.secret, found.behavior.source) == ("secret_read", "app/db-creds", "api")


def test_api_read_corroborates_the_granted_chain_end_to_end(world):
    """workload -> account -> grant -> Secret, technique T1552, corroborated by a read."""
    world.apply(world.pod("web-1"))
    world.grant("named", names=("db-creds",))
    world.read("app/reader", "get", "app/db-creds")
    chain = world.chains()[0]
    assert (chain.technique, chain.corroborated, chain.corroborated_by) == ("T1552", True, ["read"])


def test_a_read_by_an_unmodelled_account_corroborates_nothing(world):
    """Another account's read is podless, and lights nothing of this one's."""
    world.apply(world.pod("web-1"))
    world.grant("named", names=("db-creds",))
    world.read("app/other-sa", "get", "app/db-creds")
    assert set() == world.lit()
    assert [e.attribution for e in world.evidence()] == ["podless"]


def test_an_account_behind_many_pods_corroborates_all_of_them_not_one(world):
    """Without a claim both workloads carry the read."""
    world.apply(world.pod("web-1"), world.pod("web2-1"))
    world.grant("all")
    world.read("app/reader", "get", "app/db-creds")
    assert {"web", "web2"} == {name for name, _, _ in world.lit()}
