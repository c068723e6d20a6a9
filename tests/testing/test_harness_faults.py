"""Faults and probes of the harness: each fault happens as it was said, is written down, and the product bears it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from actors.messages import AccountsChanged, EvidenceChanged, RecordBatch
from actors.runtime import Actor, Child, MailboxFull
from actors.testing import Crash, Unexpected
from actors.testing.apiserver import SenderOptions
from actors.testing.faults import FaultError


def web(cluster: Any) -> None:
    cluster.deployment("app/web", account="reader-sa").role("app/reader", "get db-creds").bind("app/reader")


@pytest.mark.parametrize("actor", ["store", "engine", "router", "parser"])
def test_a_crash_at_a_message_loses_nothing(protector, cluster, audit, faults, clock, actor):
    """The sender comes again, and the pipeline converges."""
    web(cluster)
    faults.crash(actor, on=2)
    for _ in range(3):
        protector.post(audit.get("app/db-creds").by("app/reader-sa"))
        clock.advance("2s")
    assert [(f"/protector/pipeline/{actor}", "crash")] == [(each.path, each.what) for each in faults.done]
    protector.chain("app/web", "app/db-creds").is_lit()
    protector.assert_nothing_lost()
    protector.assert_no_leaked_tasks()


def test_kills_and_starts_that_fail_are_borne(protector, cluster, audit, faults, clock):
    """The store is killed, and does not come up twice: it is backed off, then all is there."""
    web(cluster)
    protector.post(audit.get("app/db-creds").by("app/reader-sa"))
    faults.fail_start("store", times=2)
    faults.kill("engine")
    clock.advance("10s")
    protector.chain("app/web", "app/db-creds").is_lit()
    protector.assert_nothing_lost()
    assert Counter(each.what for each in faults.done) == {"fail_start": 2, "kill": 1}


@pytest.mark.parametrize(
    ("fault", "to", "matching"), [("repeat", "router", AccountsChanged), ("repeat", "engine", EvidenceChanged)]
)
def test_a_message_that_comes_twice_changes_nothing(protector, cluster, audit, faults, fault, to, matching):
    """What comes after the commit is state that is pulled: repeating a message is nothing."""
    web(cluster)
    getattr(faults, fault)(to, matching=matching)
    protector.post(audit.get("app/db-creds").by("app/reader-sa").batch(5))
    assert [fault] == [each.what for each in faults.done]
    protector.assert_nothing_lost()


def test_a_lost_batch_comes_again_after_the_askers_patience(protector, cluster, audit, faults, clock):
    """A RecordBatch that never arrives: 20 s later there is no answer, and the body is posted again."""
    web(cluster)
    before = clock.now()
    faults.drop("store", matching=RecordBatch)
    protector.post(audit.get("app/db-creds").by("app/reader-sa"))
    assert pytest.approx(clock.now() - before) == 21.0
    protector.assert_nothing_lost()


def test_delay_and_full_mailboxes_and_a_store_that_cannot_commit(protector, cluster, audit, faults, clock):
    """Late evidence is late, a full mailbox is a 503, and so is a full disk."""
    web(cluster)
    faults.delay("engine", "2s", matching=EvidenceChanged)
    protector.post(audit.get("app/db-creds").by("app/reader-sa"))
    protector.chain("app/web", "app/db-creds").is_dark()
    clock.advance("2s")
    protector.chain("app/web", "app/db-creds").is_lit()
    faults.full("parser", times=2)
    faults.store_fails(2)
    protector.post(audit.get("app/db-creds").by("app/reader-sa"))
    assert protector.session.resent == 4
    protector.assert_nothing_lost()


def test_a_clock_that_steps_moves_wall_time_alone(protector, cluster, audit, faults, clock):
    """An hour ahead at once: what was live is not, though monotonic time stood still."""
    web(cluster)
    protector.post(audit.get("app/db-creds").by("app/reader-sa"))
    faults.clock_step("1h")
    clock.advance("1s")
    protector.chain("app/web", "app/db-creds").is_dark()


def test_an_actor_that_is_not_there_is_named(protector, faults):
    """With all that are."""
    with pytest.raises(FaultError, match="'stoer' names 0 actors; there are: /protector, /protector/pipeline, "):
        faults.kill("stoer")


def test_an_api_server_batches_and_comes_again_by_its_own_schedule(protector, cluster, audit, faults, clock):
    """Five hundred events are two batches; each meets a full disk once, hears Retry-After 5, and comes again inside its attempt."""
    web(cluster)
    protector.settle()
    started = clock.now()
    faults.store_fails(2)
    session = protector.session

    def during(server: Any) -> None:
        events = audit.get("app/db-creds").by("app/reader-sa").batch(500).events(cluster, clock.now(), session.chance)
        assert server.submit(events) == 500

    server = protector.api_server(during, SenderOptions(batch_wait_s=1.0))
    statistics = server.statistics()
    assert (statistics.batches, statistics.accepted, statistics.lost, statistics.inner_retries) == (2, 2, 0, 2)
    assert pytest.approx(clock.now() - started) == 5.0
    protector.assert_nothing_lost()


# --- probes, and actors of one's own ----------------------------------------------------------------------------------


class Greeter(Actor):
    """Tells its neighbour, late or at once; fails when it is told to."""

    def __init__(self, neighbour: Any) -> None:
        super().__init__()
        self._neighbour = neighbour

    async def on_receive(self, message: Any) -> Any:
        if message == "fail":
            raise ValueError(message)
        if message == "late":
            self.context.after(5.0, "hello")
            return None
        self._neighbour.tell((message, self.context.incarnation))
        return "told"


def test_a_probe_hears_what_an_actor_tells(system, probe, clock):
    """expect, expect_none in virtual time, fish, and what an ask answers."""
    system.start(Child("greeter", Greeter, (probe.ref(),)))
    system.tell("greeter", "hello")
    assert probe.expect(tuple) == ("hello", 1)
    system.tell("greeter", "late")
    probe.expect_none("4.9s")
    probe.expect(lambda message: message[0] == "hello", within="0.2s")
    assert system.ask("greeter", "one") == "told"
    system.tell("greeter", "two")
    assert probe.fish(("two", 1)) == ("two", 1)
    system.assert_tree("greeter", "ProbeActor-*")
    system.assert_no_dead_letters()


def test_a_probe_that_hears_something_else_says_what(system, probe):
    """With the messages and the tree."""
    system.start(Child("greeter", Greeter, (probe.ref(),)))
    system.tell("greeter", "hello")
    with pytest.raises(
        Unexpected, match=r"(?s)expected: probe hears int\n   found: \('hello', 1\).*str -> greeter.*greeter  running"
    ):
        probe.expect(int)
    with pytest.raises(Unexpected, match="no message came"):
        probe.expect(str, within="1h")


def test_a_restart_a_wiretap_and_a_dead_letter(system, probe, faults, dead_letters):
    """The failing message is a dead letter, the next goes to the next incarnation; the tap heard both."""
    system.start(Child("greeter", Greeter, (probe.ref(),)))
    tap = type(probe)(system.session, "tap")
    tap.wiretap("greeter")
    system.tell("greeter", "fail")
    dead_letters.expect("str", to="greeter", reason="crashed")
    system.tell("greeter", "again")
    probe.expect(("again", 2), within="5s")
    assert tap.heard == ["fail", "again"]
    with pytest.raises(AssertionError, match="str for /protector/greeter: crashed"):
        dead_letters.expect_none()


async def test_the_same_words_are_awaited_in_an_async_test(system, probe, faults):
    """The end of an actor, a full mailbox for its sender, a slow consumer."""
    ref = await system.spawn(Greeter, await probe.ref())
    faults.full(ref.path, matching=str)
    with pytest.raises(MailboxFull):
        await system.tell(ref, "hello")
    await faults.slow(ref.path, "2s")
    await system.tell(ref, "hello")
    await probe.expect_none("1.9s")
    await probe.expect(tuple, within="0.2s")
    ref.stop()
    assert ref.path == (await probe.terminated(ref)).path


def test_a_crash_has_a_type_of_its_own(system, probe, faults):
    """So that a supervisor's decision about it can be told from one about a fault of the product."""
    system.start(Child("greeter", Greeter, (probe.ref(),)))
    faults.crash("greeter", matching=lambda message: message == "x")
    with pytest.raises(Crash):
        system.ask("greeter", "x")
