"""The harness in use: policy tests as a platform team writes them, plain and async, and what each assertion says of a broken policy."""

from __future__ import annotations

from typing import Any

import pytest

from actors.testing import PolicyViolated, open_protector
from actors.testing.objects import ClusterError
from actors.testing.sentences import SentenceError


def shop(cluster: Any) -> None:
    cluster.deployment("app/web", account="reader-sa", exposed=True, replicas=2).role("app/reader", "get db-creds")
    cluster.bind("app/reader").deployment("app/jobs", account="jobs-sa", mounts="smtp")
    cluster.role("lister", "list,watch *").bind("lister", within="app")


def test_a_chain_is_lit_by_a_read_and_dark_a_tick_after_its_time(protector, cluster, audit, clock):
    """The whole of it in one plain function, with no event loop in sight."""
    shop(cluster)
    chain = protector.chain("app/web", "app/db-creds")
    chain.exists()
    chain.is_exposed()
    chain.is_dark()
    protector.post(audit.get("app/db-creds").by("app/reader-sa").from_pod("web-2"))
    chain.is_proven()
    clock.advance("299.999s")
    chain.is_lit()
    clock.advance("1ms")
    chain.is_dark()
    assert [line["event"] for line in protector.flips] == ["chain.corroborated", "chain.expired"]
    protector.assert_nothing_lost()


async def test_the_same_in_an_async_test(protector, cluster, audit, clock):
    """No marker, no other plugin: the harness runs it on Trio."""
    shop(cluster)
    await protector.post(audit.get("app/db-creds").by("Deployment/app/web"))
    await protector.chain("Deployment/app/web", "app/db-creds").is_lit()
    await clock.advance("5m")
    await protector.chain("app/web", "app/db-creds").is_dark()
    await protector.assert_nothing_lost()


def test_a_world_without_fixtures():
    """`with open_protector()` is the same world."""
    with open_protector(ttl_s=60) as world:
        shop(world.cluster)
        world.protector.post(world.audit.list("app/*").by("app/jobs-sa"))
        world.protector.chain("app/jobs", "app/db-creds").is_lit()
        world.clock.advance("1m")
        world.protector.chain("app/jobs", "app/db-creds").is_dark()


def test_what_changes_in_the_cluster_counts_at_once(protector, cluster, audit):
    """A new role and binding, and their end: sentences may go on after the first post."""
    shop(cluster)
    protector.access("app/jobs-sa").may_not("get", "app/db-creds")
    protector.chain("app/jobs", "app/db-creds", binding="RoleBinding/app/late").does_not_exist()
    cluster.role("app/late", "get db-creds").bind("app/late", to="app/jobs-sa")
    protector.access("app/jobs-sa").may("get", "app/db-creds")
    protector.chain("app/jobs", "app/db-creds", binding="RoleBinding/app/late").exists()
    cluster.remove("RoleBinding/app/late")
    protector.chain("app/jobs", "app/db-creds", binding="RoleBinding/app/late").does_not_exist()
    protector.access("app/jobs-sa").may_not("get", "app/db-creds")


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda p: p.chain("app/web", "app/db-creds").is_dark(), "is lit (proven)"),
        (lambda p: p.chain("app/web", "app/db-creds").does_not_exist(), "RoleBinding/app/reader"),
        (lambda p: p.chain("app/jobs", "app/smtp").is_lit(), "is dark"),
        (lambda p: p.chain("app/wbe", "app/db-creds").exists(), "no workload is called app/wbe"),
        (lambda p: p.access("app/jobs-sa").may("get", "app/db-creds"), "no grant allows it"),
        (lambda p: p.access("app/reader-sa").may_not("get", "app/db-creds"), "allowed by RoleBinding/app/reader"),
        (lambda p: p.access("app/jobs-sa").may_read_only("app/smtp"), "RoleBinding/app/lister"),
        (lambda p: p.access("app/reader-sa").has_not_read("app/db-creds"), "1 pieces of evidence"),
        (lambda p: p.access("app/jobs-sa").has_read("app/smtp"), "no evidence of it"),
        (lambda p: p.access("app/reader-sa").has_read_only(), "evidence of others"),
        (lambda p: p.access("app/jobs-sa").has_read_only("app/smtp"), "no evidence of any read"),
        (lambda p: p.access("app/reader-sa").shows("unexplained"), "none does"),
        (lambda p: p.secret("app/db-creds").is_readable_only_by("app/reader-sa"), "also by app/jobs-sa (list,watch)"),
        (lambda p: p.secret("app/smtp").is_mounted_only_by(), "also by app/jobs"),
        (lambda p: p.secret("app/db-creds").was_read_only_by("app/jobs-sa"), "also by app/reader-sa"),
        (lambda p: p.secret("app/db-creds").was_not_read(), "1 pieces of evidence"),
    ],
)
def test_a_broken_policy_says_what_was_found(protector, cluster, audit, broken, says):
    """Every assertion fails with what there is, and with the events, the tree and the seed."""
    shop(cluster)
    protector.post(
        audit.get("app/db-creds").by("app/reader-sa"),
        audit.get("app/smtp").by("app/jobs-sa").denied(),
        audit.get("app/smtp").by("alice"),
    )
    with pytest.raises(PolicyViolated) as failure:
        broken(protector)
    text = str(failure.value)
    assert says in text
    for part in (
        "expected: ",
        "dropped: denied",
        "dropped: not_a_service_account",
        "RecordBatch -> store",
        "tree:",
        "seed: 1",
    ):
        assert part in text


def test_policies_that_hold_say_nothing(protector, cluster, audit):
    """The same assertions where they hold."""
    shop(cluster)
    protector.post(audit.get("app/db-creds").by("app/reader-sa"))
    for scope in ("app/db-creds", "app/*", "*"):
        protector.access("app/reader-sa").may_read_only(scope)
        protector.access("app/reader-sa").has_read_only(scope)
    protector.access("app/jobs-sa").has_read_only()
    protector.access("app/reader-sa").has_read("app/db-creds")
    protector.access("app/reader-sa").has_read_only("app/db-creds")
    protector.access("app/reader-sa").shows_no("unexplained")
    protector.access("app/jobs-sa").has_not_read("app/db-creds")
    protector.secret("app/db-creds").is_readable_only_by("app/reader-sa", "app/jobs-sa")
    protector.secret("app/smtp").is_mounted_only_by("app/jobs")
    protector.chain("app/jobs", "app/smtp").is_mounted()
    protector.secret("app/smtp").was_not_read()
    protector.secret("app/db-creds").was_read_only_by("app/reader-sa")
    protector.assert_tree(
        "pipeline", *(f"pipeline/{name}" for name in ("store", "cluster", "announcer", "engine", "behaviors", "accounts", "router")),
        "pipeline/parser", "pipeline/parser-large", "pipeline/accounts/*",
    )  # fmt: skip
    protector.assert_mailboxes_bounded()
    protector.assert_no_leaked_tasks()
    protector.assert_no_dead_letters()


def test_every_word_of_a_request_becomes_what_the_api_server_writes(protector, cluster, audit):
    """Each ending and each kind of caller, by the reason under which it is dropped or the signal that it shows."""
    shop(cluster)
    by = audit.get("app/db-creds").by("app/reader-sa")
    for sentence, dropped in (
        (by, {}),
        (by.denied(), {"denied": 1}),
        (by.not_found(), {"not_found": 1}),
        (by.failed(), {"failed": 1}),
        (by.of("configmaps"), {"not_a_secret": 1}),
        (by.with_every_stage(), {"stage": 1}),
        (audit.get("app/db-creds").by("alice"), {"not_a_service_account": 1}),
        (by.impersonating("app/jobs-sa"), {"impersonated": 1}),
        (audit.request("delete", "app/db-creds").by("app/reader-sa"), {"not_a_read": 1}),
    ):
        assert dropped == protector.post(sentence).dropped, str(sentence)
    protector.post(
        by.from_gone_pod("web-9"), by.without_pod(), audit.get("app/smtp").by("app/reader-sa").from_ip("198.51.100.1")
    )
    for signal in ("unbound_token", "unexplained", "foreign_source_ip"):
        if signal != "unexplained":
            protector.access("app/reader-sa").shows(signal)
    assert {"exact", "gone", "shared"} <= {each.attribution for each in protector.evidence()}
    protector.assert_nothing_lost()


def test_a_sensors_report_lights_the_mount_and_keeps_the_books(protector, cluster, clock):
    """A file that was read, by the pod's own mount; and dark by time alone."""
    cluster.deployment("app/jobs", account="jobs-sa", mounts="smtp", automountServiceAccountToken=False)
    behavior = {"kind": "secret_read", "secret": "smtp"}
    answer = protector.report({"namespace": "app", "pod": "jobs-1", "behavior": behavior})
    assert answer.taken == 1
    clock.advance("1s")
    protector.chain("app/jobs", "app/smtp").is_lit()
    protector.assert_nothing_lost()
    clock.advance("5m")
    protector.chain("app/jobs", "app/smtp").is_dark()


def test_a_full_batch_watches_and_disorder_lose_nothing(protector, cluster, audit, clock):
    """Four hundred in one body, the next in a second one; a watch that is held open and ends; an event of the past."""
    shop(cluster)
    protector.post(
        audit.get("app/db-creds").by("app/reader-sa").batch(401),
        audit.get("app/db-creds").by("app/reader-sa").at("-4m"),
    )
    assert protector.session.bodies == 2
    protector.post(audit.watch("app/*").by("app/jobs-sa").until("10m"))
    clock.advance("6m")
    protector.chain("app/jobs", "app/db-creds").is_lit()
    protector.chain("app/web", "app/db-creds", binding="RoleBinding/app/reader").is_dark()
    protector.assert_nothing_lost()


def test_a_name_that_is_not_there_is_an_error_that_names_what_is(protector, cluster, audit):
    """Typing errors in a test are told at once, with what could have been meant."""
    shop(cluster)
    with pytest.raises(SentenceError, match=r"no pod web-7 runs as app/reader-sa \(its pods: web-1, web-2\)"):
        protector.post(audit.get("app/db-creds").by("app/reader-sa").from_pod("web-7"))
    with pytest.raises(SentenceError, match="say by whom"):
        protector.post(audit.get("app/db-creds"))
    with pytest.raises(ClusterError, match=r"there is no Role app/raeder to bind \(roles: Role/app/reader"):
        cluster.bind("app/raeder")
    with pytest.raises(ClusterError, match="namespace/name"):
        cluster.deployment("web")
    with pytest.raises(ValueError, match="is no duration"):
        audit.get("app/x").at("5 minutes")
