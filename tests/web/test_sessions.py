"""Sessions and failures: bounds, expiry, what counts as one peer."""

from __future__ import annotations

import pytest

from web.sessions import FAILURE_REFILL_S, FAILURES_BURST, Failures, Sessions


def test_ids_differ_and_hold():
    """Every session has an id of its own that holds until its time is over."""
    sessions = Sessions(ttl_s=10.0)
    one, two = sessions.open(0.0), sessions.open(0.0)
    assert one != two
    assert [sessions.holds(one, 9.9), sessions.holds(one, 10.0), sessions.holds("x", 0.0)] == [True, False, False]


def test_sessions_are_bounded():
    """Over the bound the oldest ends, counted; expired ones make room first."""
    sessions = Sessions(sessions_max=2, ttl_s=10.0)
    first, second = sessions.open(0.0), sessions.open(1.0)
    third = sessions.open(2.0)
    assert [sessions.holds(s, 2.0) for s in (first, second, third)] == [False, True, True]
    assert sessions.evicted == 1
    sessions.open(11.5)
    assert (len(sessions), sessions.evicted) == (2, 1)


def test_end_one_and_all():
    """A session can be ended by its id, and all when the tokens changed."""
    sessions = Sessions()
    one, two = sessions.open(0.0), sessions.open(0.0)
    sessions.end(one)
    assert [sessions.holds(one, 1.0), sessions.holds(two, 1.0)] == [False, True]
    sessions.end_all()
    assert not sessions.holds(two, 1.0)


def test_ids_are_not_kept():
    """What is kept is not what the cookie says."""
    sessions = Sessions()
    session = sessions.open(0.0)
    assert session not in repr(vars(sessions))


def test_failures_refill():
    """A peer may fail a number of times at once, then once for every while it waits."""
    failures = Failures()
    for _ in range(FAILURES_BURST):
        assert failures.wait_s("192.0.2.1", 0.0) == 0.0
        failures.count("192.0.2.1", 0.0)
    wait_s = failures.wait_s("192.0.2.1", 0.0)
    assert 0.0 < wait_s <= FAILURE_REFILL_S
    assert failures.wait_s("192.0.2.1", wait_s) == 0.0
    failures.count("192.0.2.1", wait_s)
    assert failures.wait_s("192.0.2.1", wait_s) > 0.0


@pytest.mark.parametrize(
    ("peer", "other", "is_same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),  # one /64
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),  # the same host on a dual socket
        ("fe80::1%eth0", "fe80::1", True),
        ("unix", "unix", True),
    ],
)
def test_what_counts_as_one_peer(peer, other, is_same):
    """An IPv6 host cannot get new tries by taking new addresses of its network."""
    failures = Failures()
    for _ in range(FAILURES_BURST):
        failures.count(peer, 0.0)
    assert (failures.wait_s(other, 0.0) > 0.0) == is_same


def test_peers_are_bounded():
    """Over the bound the one that failed longest ago is forgotten, counted."""
    failures = Failures(peers_max=2)
    for n in range(3):
        failures.count(f"192.0.2.{n}", float(n))
    assert (len(failures), failures.forgotten) == (2, 1)


def test_clock_set_back():
    """A clock that goes back gives nobody a longer wait than the bucket holds."""
    failures = Failures()
    for _ in range(FAILURES_BURST):
        failures.count("192.0.2.1", 1000.0)
    assert failures.wait_s("192.0.2.1", 0.0) <= FAILURE_REFILL_S
