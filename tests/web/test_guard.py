"""The guard's core: buckets, failures apart from the rate, bytes in memory."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from web.credentials import Tokens
from web.guard import (
    FAILURES_BURST,
    FAILURES_PER_S,
    PEERS_MAX,
    WAIT_MAX_S,
    Admitted,
    BodyBudget,
    Buckets,
    Guard,
    OverRate,
    Unauthorized,
    network_of,
    peer_of,
)

RIGHT, WRONG = [b"Bearer right"], [b"Bearer wrong"]


def _guard(rate_per_s: float = 10.0, burst: int = 3) -> Guard:
    tokens = Tokens(inline="right", listener="audit", setting="PROTECTOR_INGEST_TOKEN")
    return Guard(tokens, rate_per_s=rate_per_s, burst=burst, max_body_bytes=1000)


def test_a_burst_then_the_rate() -> None:
    """Two at once of a burst of two, the third has its place after one interval, and after that interval there is room."""
    buckets = Buckets(1.0, 2)
    assert [buckets.take("k", 0.0) for _ in range(3)] == [0.0, 0.0, None]
    assert buckets.take("k", 1.0) == 0.0
    assert buckets.take("k", 1.0) is None


def test_waiters_have_their_places_in_order() -> None:
    """Each waits one interval longer than the one before; who would wait too long takes no place."""
    buckets = Buckets(1.0, 4)
    waits = [buckets.take("k", 0.0, 5.0) for _ in range(12)]
    assert waits == [0, 0, 0, 0, 1, 2, 3, 4, 5, None, None, None]


@given(
    st.lists(st.floats(0.0, 2.0), max_size=60),
    st.floats(0.1, 50.0),
    st.integers(1, 20),
    st.floats(0.0, 5.0),
)
@settings(derandomize=True, deadline=None)
def test_never_more_than_burst_and_rate(gaps: list[float], rate: float, burst: int, wait_max_s: float) -> None:
    """In no span of time do more come in than the burst and what the rate gives in that span."""
    buckets, now, entered = Buckets(rate, burst), 0.0, []
    for gap in gaps:
        now += gap
        wait_s = buckets.take("k", now, wait_max_s)
        if wait_s is not None:
            assert 0.0 <= wait_s <= wait_max_s
            entered.append(now + wait_s)
    for i, first in enumerate(entered):
        for j in range(i, len(entered)):
            assert j - i + 1 <= burst + rate * (entered[j] - first) + 1e-6


def test_peers_and_credentials_are_apart() -> None:
    """What one uses up is not missing to another; nor to another address with the same token."""
    guard = _guard(rate_per_s=0.001, burst=1)
    assert guard.admit(RIGHT, "10.0.0.1", 0.0) == Admitted("token-1")
    assert guard.admit(RIGHT, "10.0.0.2", 0.0) == Admitted("token-1")
    assert guard.admit(RIGHT, "10.0.0.1", 0.0) == OverRate("token-1")


def test_the_number_of_peers_is_bounded() -> None:
    """The one unused for longest is forgotten; counted only where that gave it room back."""
    buckets = Buckets(1.0, 1)
    for i in range(PEERS_MAX + 10):
        buckets.take(i, i * 10.0)
    assert (len(buckets), buckets.forgotten) == (PEERS_MAX, 0)
    for i in range(10):
        buckets.take(f"new-{i}", 0.0)
    for i in range(PEERS_MAX):
        buckets.take(f"newer-{i}", 0.0)
    assert len(buckets) == PEERS_MAX
    assert buckets.forgotten > 0


def test_failures_cost_the_good_credential_nothing() -> None:
    """20,000 wrong tokens a minute from the API server's own address: each 401 at once, its batches come in as before."""
    guard = _guard(rate_per_s=10.0, burst=10)
    verdicts = []
    for i in range(20_000):
        now = i * 60 / 20_000
        assert isinstance(guard.admit(WRONG, "10.0.0.1", now), Unauthorized)
        if i % 100 == 0:
            verdicts.append(guard.admit(RIGHT, "10.0.0.1", now))
    assert set(verdicts) == {Admitted("token-1")}


def test_too_many_failures_close_the_connection() -> None:
    """The first FAILURES_BURST keep it, the next does not, and time heals it."""
    guard = _guard()
    closes = [guard.admit(WRONG, "10.0.0.1", 0.0) for _ in range(FAILURES_BURST + 1)]
    assert closes == [Unauthorized(close=False)] * FAILURES_BURST + [Unauthorized(close=True)]
    assert guard.admit(WRONG, "10.0.0.1", 1.0 / FAILURES_PER_S) == Unauthorized(close=False)
    assert guard.admit(WRONG, "10.0.0.2", 0.0) == Unauthorized(close=False)
    assert guard.statistics().closed == 1


@pytest.mark.parametrize(
    "headers", [[], [b""], [b"Bearer"], [b"Basic right"], [b"Bearer wrong"], [b"Bearer right", b"Bearer right"]]
)
def test_exactly_one_right_header_is_needed(headers: list[bytes]) -> None:
    """None, another scheme, a wrong one, or two of them: 401."""
    assert isinstance(_guard().admit(headers, "10.0.0.1", 0.0), Unauthorized)


def test_room_within_the_bound_is_waited_for() -> None:
    """Up to WAIT_MAX_S; beyond it 429 at once, since waiting would not help."""
    guard = _guard(rate_per_s=1.0, burst=1)
    verdicts = [guard.admit(RIGHT, "10.0.0.1", 0.0) for _ in range(8)]
    waits = [v.wait_s if isinstance(v, Admitted) else None for v in verdicts]
    assert waits == [0.0, 1.0, 2.0, 3.0, 4.0, WAIT_MAX_S, None, None]
    assert (guard.statistics().waited, guard.statistics().over_rate) == (5, 2)


def test_bytes_in_memory_are_bounded() -> None:
    """What does not fit is not counted; what is given back can be taken again."""
    budget = BodyBudget(100)
    assert [budget.take(60), budget.take(60), budget.take(40)] == [True, False, True]
    assert (budget.is_full, budget.in_use, budget.refused) == (True, 100, 1)
    budget.give(60)
    assert (budget.is_full, budget.peak) == (False, 100)


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("10.0.0.1", 5), "10.0.0.1"),
        (("::ffff:10.0.0.1", 5), "10.0.0.1"),
        (("fe80::1%eth0", 5), "fe80::1"),
        (("2001:db8::1", 5), "2001:db8::1"),
        (None, ""),
    ],
)
def test_a_peer_is_an_address(client: tuple[str, int] | None, expected: str) -> None:
    """IPv4 seen through an IPv6 socket is the same peer; zones and ports are not part of it."""
    assert peer_of(client) == expected


@pytest.mark.parametrize(
    ("peer", "expected"),
    [("10.0.0.1", "10.0.0.1"), ("2001:db8::1", "2001:db8::/64"), ("2001:db8::ffff", "2001:db8::/64"), ("x:y", "x:y")],
)
def test_failures_are_counted_by_network(peer: str, expected: str) -> None:
    """The holder of an IPv6 /64 does not get a bucket for each of its addresses."""
    assert network_of(peer) == expected
