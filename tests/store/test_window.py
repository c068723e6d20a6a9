"""The rules of the window: live, late, watches, expiry, eviction, what an observation shows."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from store_kit import APP, T0, TTL_S, get, grant, live, watch

from actors.evidence import Account, Observation, Read, observation_key
from actors.store import Window
from actors.store.entries import LINGER_S, PARTITION_WORK
from actors.store.watches import CLOSED_MAX, OPEN_MAX_S, WATCHES_MAX, ClosedWatches
from actors.store.window import COUNTED, LATE, NEW


def window(capacity: int = 1000) -> Window:
    return Window(TTL_S, capacity, epoch=7)


def one(w: Window, read: Read) -> Observation:
    entry = w.get(read.account, observation_key(read))
    assert entry is not None
    return entry.observation


def test_a_read_is_live_until_its_event_time_and_the_ttl() -> None:
    """The window is on event time, not on arrival."""
    w = window()
    assert w.record(get(at=T0 - 250), T0, T0) == COUNTED | NEW
    assert one(w, get()).live_until == T0 + 50


@pytest.mark.parametrize("read", [get(at=T0 - 400, lag_s=200.0), watch(T0 - 500, end=T0 - 400, lag_s=200.0)])
def test_a_read_by_a_log_that_may_lag_is_live_so_much_longer(read: Read) -> None:
    """Its own allowance, and no other's: the same read by another way is late."""
    w, same = window(), replace(read, lag_s=0.0)
    found = w.find(read)
    assert (w.would_light(read, T0, found[0], None), w.would_light(same, T0, found[0], None)) == (True, False)
    assert w.record(read, T0, T0) == COUNTED | NEW
    assert one(w, read).live_until == T0 + 100
    assert window().record(same, T0, T0) == COUNTED | LATE


def test_a_watch_by_a_log_that_may_lag_is_open_no_longer() -> None:
    """It is live longer; that it can be open does not depend on who tells of it."""
    w, read = window(), watch(T0 - 100, open_s=600.0, lag_s=200.0)
    w.record(read, T0, T0)
    assert (one(w, read).held_open_until, one(w, read).live_until) == (T0 + 500, T0 + 1000)


def test_a_refresh_keeps_the_newest_read_and_counts() -> None:
    """Out of order, an older read adds to the count and to first_seen, and is not what is shown."""
    w = window()
    w.record(get(at=T0 - 10, audit_id="new"), T0, T0)
    assert w.record(get(at=T0 - 20, audit_id="old"), T0, T0 + 1) == COUNTED
    seen = one(w, get())
    assert (
        seen.last.audit_id,
        seen.first_seen,
        seen.arrived_at,
        seen.count,
        seen.live_until,
    ) == ("new", T0 - 20, T0, 2, T0 + 290)


def test_a_late_read_is_past_lingers_and_ends() -> None:
    """It is no new observation, is pulled as one that is past, and is told to have ended ten seconds later."""
    w = window()
    assert w.record(get(at=T0 - 400), T0, T0) == COUNTED | LATE
    pulled = w.changes_since(APP, 7, 0)
    assert [o.live_until for o in pulled.observations] == [T0 - 100]
    assert (w.live, w.next_expiry()) == (0, T0 + LINGER_S)
    w.record(get("b"), T0, T0)
    version = w.version
    assert not w.expire(T0 + LINGER_S, 100)
    assert (observation_key(get()),) == w.changes_since(APP, 7, version).ended


def test_a_late_read_adds_to_a_live_observation_only_count_and_first_seen() -> None:
    """Nothing else of it is shown."""
    w = window()
    w.record(get(at=T0 - 1, audit_id="new", named=grant("x")), T0, T0)
    before = one(w, get())
    assert w.record(get(at=T0 - 400, named=grant("y")), T0, T0) == COUNTED | LATE
    assert replace(before, count=2, first_seen=T0 - 400, version=2) == one(w, get())


def test_a_live_read_lights_what_lingers() -> None:
    """What came late and is read again counts both, and is new."""
    w = window()
    w.record(get(at=T0 - 400), T0, T0)
    assert w.record(get(at=T0), T0 + 1, T0 + 1) == COUNTED | NEW
    assert (one(w, get()).count, w.live, w.lingering) == (2, 1, 0)
    w.expire(T0 + LINGER_S + 2, 100)
    assert w.live == 1


def test_what_has_ended_begins_anew() -> None:
    """Also when the tick has not come yet."""
    w = window()
    w.record(get(at=T0), T0, T0)
    assert w.record(get(at=T0 + TTL_S), T0 + TTL_S, T0 + TTL_S) == COUNTED | NEW
    assert (one(w, get()).count, w.live) == (1, 1)


def test_pods_and_borrowed_reads_are_observations_of_their_own() -> None:
    """The key says so."""
    w = window()
    for read in (get(), get(pod="p"), get(pod="q"), get(borrowed=True)):
        assert w.record(read, T0, T0) & NEW
    assert w.live == 4


# --- watches


def test_a_watch_is_held_open_until_its_timeout_and_live_a_ttl_longer() -> None:
    """1,500 s after its start, with a timeout of 2,400 s."""
    w = window()
    w.record(watch(T0 - 1500, open_s=2400), T0, T0)
    seen = one(w, watch(T0))
    assert (seen.held_open_until, seen.live_until) == (T0 + 900, T0 + 900 + TTL_S)


def test_the_end_of_a_watch_shortens_it() -> None:
    """Live until its end and the TTL, no longer held open, one count, and it expires then."""
    w = window()
    w.record(watch(T0 - 1500, open_s=2400, named=grant("x")), T0, T0)
    assert w.record(watch(T0 - 1500, end=T0, open_s=2400, named=grant("x")), T0, T0) == 0
    seen = one(w, watch(T0))
    assert (
        seen.held_open_until,
        seen.live_until,
        seen.count,
        tuple(n.live_until for n in seen.named),
    ) == (0.0, T0 + TTL_S, 1, (T0 + TTL_S,))
    w.expire(T0 + TTL_S, 10)
    assert w.live == 0


def test_a_start_after_its_own_end_opens_nothing() -> None:
    """The end may be the first that arrives."""
    w = window()
    assert w.record(watch(T0 - 2400, end=T0, open_s=3600), T0, T0) == COUNTED | NEW
    before = one(w, watch(T0))
    assert w.record(watch(T0 - 2400, open_s=3600), T0, T0) == 0
    assert before == one(w, watch(T0))


def test_a_watch_that_was_over_long_ago_is_not_live() -> None:
    """By its end; by its own timeout; by the longest that a watch may last. A start that comes after such an end opens nothing."""
    w = window()
    w.record(watch(T0 - 1500, open_s=3000), T0, T0)
    assert w.record(watch(T0 - 1500, end=T0 - 400, open_s=3000), T0, T0) == LATE
    assert (w.live, one(w, watch(T0)).live_until) == (0, T0 - 100)
    other = Account("shop", "other")
    assert w.record(watch(T0 - 1500, open_s=600, account=other), T0, T0) == COUNTED | LATE
    assert w.record(watch(T0 - 4000, open_s=86400, account=other, id_="v"), T0, T0) == COUNTED | LATE
    third = Account("shop", "third")
    assert w.record(watch(T0 - 1500, end=T0 - 400, account=third), T0, T0) == COUNTED | LATE
    w.expire(T0 + 60, 100)
    assert w.record(watch(T0 - 1500, open_s=3000, account=third), T0 + 60, T0 + 60) == LATE
    assert w.live == 0


def test_an_open_watch_is_believed_for_an_hour_at_most() -> None:
    """Whatever timeout it claims."""
    w = window()
    w.record(watch(T0, open_s=86400), T0, T0)
    assert one(w, watch(T0)).held_open_until == T0 + OPEN_MAX_S


def test_stages_of_watches_in_every_order() -> None:
    """Two ended watches and one still open, both stages of each delivered in any order (one twice), come to the same."""
    items = [
        watch(T0 - 500, id_="1"),
        watch(T0 - 500, end=T0 - 20, id_="1"),
        watch(T0 - 400, id_="2", named=grant("x")),
        watch(T0 - 400, end=T0 - 10, id_="2", named=grant("x")),
        watch(T0 - 30, open_s=90, id_="3"),
        watch(T0 - 500, id_="1"),
    ]
    expected = (3, T0 + 60, T0 + 60 + TTL_S, T0 - 500, ((grant("x"), T0 - 10 + TTL_S),), 3, 1)
    for order in itertools.permutations(items):
        w = window()
        outcomes = [w.record(item, T0, T0) for item in order]
        seen = one(w, items[0])
        assert expected == (
            seen.count,
            seen.held_open_until,
            seen.live_until,
            seen.first_seen,
            tuple((n.grant, n.live_until) for n in seen.named),
            sum(bool(o & COUNTED) for o in outcomes),
            sum(bool(o & NEW) for o in outcomes),
        ), order


def test_more_watches_than_are_told_apart_stay_live_and_are_counted() -> None:
    """The one that ends soonest is folded away: it cannot be ended any more, nor does it end anything."""
    w = window()
    for i in range(WATCHES_MAX + 1):
        w.record(watch(T0, open_s=100 + i, id_=str(i)), T0, T0)
    assert w.statistics().watch_overflows == 1
    for i in range(1, WATCHES_MAX + 1):
        w.record(watch(T0, end=T0 + 1, id_=str(i)), T0 + 1, T0 + 1)
    seen = one(w, watch(T0))
    assert (seen.count, seen.held_open_until) == (WATCHES_MAX + 1, T0 + 100)


def test_many_short_watches_are_no_overflow() -> None:
    """An informer that watches again and again: what has long ended makes room."""
    w = window()
    for i in range(3 * WATCHES_MAX):
        at = T0 + 10 * i
        w.record(watch(at, open_s=10, id_=str(i)), at, at)
        w.record(watch(at, end=at + 9, id_=str(i)), at + 9, at + 9)
    assert (w.statistics().watch_overflows, one(w, watch(T0)).count) == (0, 3 * WATCHES_MAX)
    assert w.record(watch(T0, open_s=3600, id_="0"), at + 10, at + 10) == LATE
    assert one(w, watch(T0)).held_open_until == 0.0


def test_ends_of_watches_are_remembered_within_a_bound() -> None:
    """The older half is forgotten at once, and counted while it still mattered."""
    closed, key = ClosedWatches(TTL_S, bound=4), observation_key(get())
    for i in range(3):
        closed.add(APP, key, ("w", T0 + i, 0), T0 + 300, T0)
    assert (len(closed), closed.overflows, closed.live_until(APP, key, ("w", T0, 0))) == (3, 0, T0 + 300)
    closed.add(APP, key, ("w", T0 + 3, 0), T0 + 300, T0)
    assert (len(closed), closed.overflows, closed.live_until(APP, key, ("w", T0, 0))) == (2, 2, None)
    assert CLOSED_MAX > 1000


# --- what the API server named


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from([None, "x", "x", "y", "z"])), min_size=1, max_size=12))
def test_what_was_named_is_live_as_long_as_the_newest_read_that_named_it(reads: list[tuple[int, str | None]]) -> None:
    """Whatever the order in which reads come: each grant once, the longest live first."""
    w, ends = window(), dict[str, float]()
    for age, name in reads:
        at = T0 - age
        w.record(get(at=at, named=None if name is None else grant(name)), T0, T0)
        if name is not None:
            ends[name] = max(ends.get(name, 0.0), at + TTL_S)
        found = [(n.grant.binding.name, n.live_until) for n in one(w, get()).proofs]
        assert ends == dict(found)
        assert sorted((end for _, end in found), reverse=True) == [end for _, end in found]
        assert ends.keys() == {n.grant.binding.name for n in one(w, get()).named}


def test_named_grants_are_newest_first_at_most_eight_each_with_its_end() -> None:
    """Read by read another binding may be named."""
    w = window()
    for i in range(10):
        w.record(get(at=T0 + i, named=grant(f"b{i}")), T0 + i, T0 + i)
    w.record(get(at=T0 + 20, named=grant("b5")), T0 + 20, T0 + 20)
    w.record(get(at=T0 + 21), T0 + 21, T0 + 21)
    named = one(w, get()).proofs
    assert [n.grant.binding.name for n in named] == ["b5", "b9", "b8", "b7", "b6", "b4", "b3", "b2"]
    assert (named[0].live_until, named[1].live_until) == (T0 + 20 + TTL_S, T0 + 9 + TTL_S)


def test_an_older_naming_does_not_push_out_newer_ones() -> None:
    """Out of order deliveries keep their place."""
    w = window()
    w.record(get(at=T0, named=grant("new")), T0, T0)
    w.record(get(at=T0 - 50, named=grant("old")), T0, T0)
    w.record(get(at=T0 - 60, named=grant("new")), T0, T0)
    assert [(n.grant.binding.name, n.live_until) for n in one(w, get()).proofs] == [
        ("new", T0 + 300),
        ("old", T0 + 250),
    ]


# --- time and capacity


def test_expiry_is_to_the_moment_and_in_order() -> None:
    """At each end exactly what is due leaves, and next_expiry never comes after it."""
    w = window()
    for i in range(50):
        w.record(get(f"s{i}", at=T0 - (i * 37 % 50) * 0.1), T0, T0)
    now, left = T0, 50
    while (at := w.next_expiry()) is not None:
        now = max(now, at)
        assert not w.expire(now, 1000)
        left = sum(T0 - (i * 37 % 50) * 0.1 + TTL_S > now for i in range(50))
        assert left == w.live == len(live(w, now))
    assert (left, now) == (0, T0 + TTL_S)


def test_a_refreshed_observation_expires_at_its_new_end() -> None:
    """Its old end does nothing."""
    w = window()
    w.record(get(at=T0), T0, T0)
    w.record(get(at=T0 + 100), T0 + 100, T0 + 100)
    assert not w.expire(T0 + TTL_S, 10)
    assert w.live == 1
    w.expire(T0 + 100 + TTL_S, 10)
    assert (w.live, w.live_accounts()) == (0, ())


def test_expiry_goes_in_slices() -> None:
    """At most `limit` at once; the answer says whether there may be more."""
    w = window()
    for i in range(10):
        w.record(get(f"s{i}"), T0, T0)
    steps = [(w.expire(T0 + TTL_S, 4), w.live) for _ in range(3)]
    assert steps == [(True, 6), (True, 2), (True, 0)]
    freed = [w.expire(T0 + TTL_S, 4) for _ in range(10)]
    assert freed == sorted(freed, reverse=True)  # what the account held is freed in steps as well, and then it is over
    assert not freed[-1]


def test_freeing_an_account_counts_as_the_work_that_it_is() -> None:
    """So that a slice in which many accounts end is no longer than one of a single account."""
    w = window()
    for i in range(10):
        w.record(get(account=Account("shop", f"sa{i}")), T0, T0)
    assert (w.expire(T0 + TTL_S, 1 + PARTITION_WORK), w.live) == (True, 9)


def test_over_capacity_what_ends_soonest_goes_first() -> None:
    """Counted, and told to the pullers as ended."""
    w = window(capacity=3)
    ats = {"a": T0 - 30, "b": T0 - 90, "c": T0 - 60, "d": T0 - 10}
    for name, at in ats.items():
        w.record(get(name, at=at), T0, T0)
    w.record(get("c", at=T0), T0, T0)
    w.record(get("e", at=T0 - 5), T0, T0)
    assert ({"c", "d", "e"}, 2, 3) == ({key[1].name for key in live(w, T0)}, w.evicted, w.live)
    assert {"a", "b"} == {key.name for key in w.changes_since(APP, 7, 0).ended}


def test_what_is_past_goes_before_anything_is_evicted() -> None:
    """With a late tick, making room ends what is over and counts it as expired."""
    w = window(capacity=1)
    w.record(get("a", at=T0), T0, T0)
    w.record(get("b", at=T0 + TTL_S), T0 + TTL_S, T0 + TTL_S)
    assert (w.evicted, w.live, w.statistics().expired) == (0, 1, 1)


def test_late_reads_beyond_the_bound_are_counted_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of what lingers."""
    monkeypatch.setattr("actors.store.window.LINGER_MAX", 2)
    w = window()
    for i in range(4):
        assert w.record(get(f"s{i}", at=T0 - 400), T0, T0) == COUNTED | LATE
    assert (w.lingering, w.statistics().linger_overflows) == (2, 2)


def addresses(w: Window, read: Read) -> list[tuple[str, float]]:
    return [(source.address, source.live_until - T0) for source in one(w, read).seen_from]


def test_a_read_from_elsewhere_is_not_hidden_by_a_newer_one() -> None:
    """Both addresses stay while their reads are live, the newest first, whatever their order; a late read leaves none."""
    w = window()
    for at, address in ((0, "pod"), (-20, "else"), (5, "pod"), (-400, "late"), (-10, None), (7, "pod")):
        w.record(get(at=T0 + at, source_ip=address), T0 + 10, T0 + 10)
    assert addresses(w, get()) == [("pod", 307.0), ("else", 280.0)]


def test_an_address_is_kept_until_its_own_last_read_ends() -> None:
    """Also where it was the newest, went on reading, and then another took over; what is past goes."""
    w = window()
    for at, address in ((0, "a"), (50, "a"), (60, None), (55, "a"), (100, "b")):
        w.record(get(at=T0 + at, source_ip=address), T0 + 100, T0 + 100)
    assert addresses(w, get()) == [("b", 400.0), ("a", 355.0)]
    w.record(get(at=T0 + 355, source_ip="c"), T0 + 355, T0 + 355)
    assert addresses(w, get()) == [("c", 655.0), ("b", 400.0)]


def test_of_too_many_addresses_the_one_that_ends_soonest_goes() -> None:
    """Eight are kept."""
    w = window()
    for at in (5, 0, 1, 2, 3, 4, 6, 7, 8):
        w.record(get(at=T0 + at, source_ip=f"ip-{at}"), T0 + 10, T0 + 10)
    assert [f"ip-{at}" for at in range(8, 0, -1)] == [address for address, _ in addresses(w, get())]


def test_an_address_of_a_watch_is_live_as_long_as_the_watch() -> None:
    """Its end is its own, whichever watch of the observation is the newest."""
    w = window()
    w.record(watch(T0, id_="open", open_s=600, source_ip="pod"), T0 + 20, T0 + 20)
    w.record(watch(T0 + 5, id_="else", open_s=600, source_ip="else"), T0 + 20, T0 + 20)
    assert addresses(w, watch(T0)) == [("else", 905.0), ("pod", 900.0)]
    w.record(watch(T0 + 5, id_="else", end=T0 + 15, source_ip="else"), T0 + 20, T0 + 20)
    assert addresses(w, watch(T0)) == [("else", 315.0), ("pod", 900.0)]
    w.record(watch(T0 + 30, id_="more", end=T0 + 315, source_ip="pod"), T0 + 315, T0 + 315)
    assert [address for address, _ in addresses(w, watch(T0))] == ["pod"]


def ending(at: float, *, end: float, **more: Any) -> Read:
    return replace(watch(at, end=end, **more), ends_only=True)


def test_a_watch_that_ends_badly_is_not_held_open() -> None:
    """It ends as any other, and what says so is no request and is not shown."""
    w = window()
    w.record(watch(T0, open_s=600, named=grant("g"), source_ip="pod"), T0 + 20, T0 + 20)
    w.record(watch(T0 + 1, open_s=60, id_="other"), T0 + 20, T0 + 20)
    before = one(w, watch(T0))
    assert w.record(ending(T0, end=T0 + 15), T0 + 20, T0 + 21) == 0
    after = one(w, watch(T0))
    assert (after.held_open_until, after.live_until, after.count) == (T0 + 61, T0 + 361, 2)
    assert (after.last, after.arrived_at) == (before.last, before.arrived_at)
    assert ([named.live_until for named in after.named], after.seen_from[0].live_until) == ([T0 + 315], T0 + 315)
    assert w.record(ending(T0 + 1, end=T0 + 18, id_="other"), T0 + 20, T0 + 22) == 0
    assert (one(w, watch(T0)).held_open_until, one(w, watch(T0)).live_until) == (0.0, T0 + 318)


def test_the_bad_end_of_no_watch_creates_nothing() -> None:
    """Neither where nothing is known, nor for another watch, nor once that has ended."""
    w = window()
    assert w.record(ending(T0, end=T0), T0, T0) == 0
    assert (w.live, w.lingering, w.version) == (0, 0, 0)
    w.record(watch(T0 - 50, end=T0 - 20), T0, T0)
    version = w.version
    for other in (ending(T0 - 50, end=T0), ending(T0 - 50, end=T0, id_="other"), ending(T0 - 49, end=T0)):
        assert w.record(other, T0, T0) == 0
    assert w.version == version


def would_light(w: Window, read: Read, now: float) -> bool:
    """What a plan asks of each read."""
    key, _, entry = w.find(read)
    return w.would_light(read, now, key, entry)


def test_a_start_after_its_bad_end_is_a_watch_that_has_ended() -> None:
    """It counts and is shown, alone or beside others."""
    w = window()
    for id_ in "ab":
        w.record(ending(T0, end=T0 + 5, id_=id_), T0 + 10, T0 + 10)
        assert would_light(w, watch(T0, id_=id_), T0 + 10) == (id_ == "a")
        outcome = w.record(watch(T0, id_=id_), T0 + 10, T0 + 10)
        assert outcome == (COUNTED | NEW if id_ == "a" else COUNTED)
    found = one(w, watch(T0))
    assert (found.count, found.held_open_until, found.live_until) == (2, 0.0, T0 + 305)
    late = window()
    late.record(ending(T0, end=T0), T0 + 400, T0 + 400)
    assert not would_light(late, watch(T0), T0 + 400)
    assert late.record(watch(T0), T0 + 400, T0 + 400) == COUNTED | LATE


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 15), st.sampled_from(["a", "b", "c", None]), st.integers(0, 4)), max_size=30))
def test_every_address_ends_with_its_own_last_read(steps: list[Any]) -> None:
    """For reads in any order, at the same times, with and without an address: as if worked out anew from all of them."""
    w, now, reads = Window(10.0, 1000, 1), T0, []
    for age, address, later in steps:
        now += later
        reads.append(get(at=now - age, source_ip=address))
        w.record(reads[-1], now, now)
        expected: dict[str, float] = {}
        for read in reads:
            if read.at + 10 > now and read.source_ip is not None:
                expected[read.source_ip] = max(expected.get(read.source_ip, 0.0), read.at + 10)
        found = {s.address: s.live_until for s in one(w, get()).seen_from if s.live_until > now}
        assert expected == found


def test_of_addresses_that_end_at_once_the_newest_stays() -> None:
    """Nine at one time: the one that read last goes on to be followed."""
    w = window()
    for number in range(9):
        w.record(get(source_ip=f"ip-{number}"), T0, T0)
    w.record(get(at=T0 + 5, source_ip="ip-8"), T0 + 5, T0 + 5)
    assert addresses(w, get())[0] == ("ip-8", 305.0)
