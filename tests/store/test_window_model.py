"""The window against a model that keeps every request and works everything out anew each time; and pulls against the full set."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_kit import plain

from actors.evidence import Account, Observation, ObservationKey, Read, Scope, observation_key
from actors.store import Window
from actors.store.entries import LINGER_S
from actors.store.window import COUNTED, LATE, NEW

TTL = 10.0
ACCOUNTS = (Account("n", "a"), Account("n", "b"))
Place = tuple[Account, ObservationKey]


class Requests:
    """All requests of one observation."""

    def __init__(self) -> None:
        self.gets: list[float] = []
        self.watches: dict[tuple[Any, ...], tuple[float, float, float | None]] = {}
        self.lingers_until: float | None = None

    def live_until(self) -> float:
        ends = [at + TTL for at in self.gets]
        ends += [(at + open_s if end is None else end) + TTL for at, open_s, end in self.watches.values()]
        return max(ends)

    def held(self, now: float) -> bool:
        return any(end is None and at + open_s > now for at, open_s, end in self.watches.values())


class Model:
    """The rules, written the other way round."""

    def __init__(self) -> None:
        self.places: dict[Place, Requests] = {}
        self.ended: dict[tuple[Any, ...], float] = {}

    def advance(self, now: float) -> None:
        for place, requests in list(self.places.items()):
            until = requests.lingers_until if requests.lingers_until is not None else requests.live_until()
            if until <= now:
                del self.places[place]
                for id_, (_, _, end) in requests.watches.items():
                    if end is not None:
                        self.ended[(*place, id_)] = end

    def record(self, read: Read, now: float) -> int:
        self.advance(now)
        place = (read.account, observation_key(read))
        requests = self.places.get(place)
        id_ = (read.audit_id, read.at, read.uri_hash)
        was_live = requests is not None and requests.lingers_until is None
        counted = True
        if read.verb == "watch":
            end = max(read.at, read.stage_at) if read.complete else None
            late = (read.at + read.open_s if end is None else end) + TTL <= now
            known = requests.watches.get(id_) if requests else None
            if known is not None:
                if end is None or known[2] is not None:
                    return LATE if late else 0
                counted = False
            elif (*place, id_) in self.ended:
                end = self.ended[*place, id_]
                late = end + TTL <= now
                if requests is not None or late:
                    return LATE if late else 0
            requests = self.places.setdefault(place, Requests())
            requests.watches[id_] = (read.at, read.open_s, end)
        else:
            late = read.at + TTL <= now
            requests = self.places.setdefault(place, Requests())
            requests.gets.append(read.at)
        if requests.live_until() > now:
            requests.lingers_until = None
        elif requests.lingers_until is None:
            requests.lingers_until = now + LINGER_S
        new = not was_live and requests.lingers_until is None
        return (COUNTED if counted else 0) | (LATE if late else 0) | (NEW if new else 0)


def reads() -> st.SearchStrategy[Any]:
    """(what, account, which, age, length): a get or a stage of one of a few watches."""
    return st.tuples(
        st.sampled_from(["get", "get", "start", "end"]),
        st.sampled_from(ACCOUNTS),
        st.integers(0, 2),
        st.integers(0, 25),
        st.integers(0, 30),
    )


def as_read(step: tuple[str, Account, int, int, int], now: float) -> Read:
    what, account, which, age, length = step
    if what == "get":
        return Read(account, Scope("n", f"s{which}"), "get", now - age, now - age)
    at = float(which * 7)
    if what == "start":
        return Read(account, Scope("n", None), "watch", at, at, False, float(5 + 13 * which), audit_id=f"w{which}")
    end = min(now, at + length)
    return Read(account, Scope("n", None), "watch", at, end, True, float(5 + 13 * which), audit_id=f"w{which}")


STEPS = st.lists(st.one_of(reads(), st.integers(1, 12)), max_size=60)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(STEPS)
def test_the_window_is_what_its_requests_say(steps: list[Any]) -> None:
    """Outcomes, live sets, counts, ends and what is held open, after every step, for any reads in any order at any time."""
    window, model, now = Window(TTL, 1000, 1), Model(), 30.0
    for step in steps:
        if isinstance(step, int):
            now += step
            window.expire(now, 10_000)
            model.advance(now)
        else:
            read = as_read(step, now)
            key, _, entry = window.find(read)
            would = window.would_light(read, now, key, entry)
            expected = model.record(read, now)
            outcome = window.record(read, now, now)
            assert expected == outcome, step
            assert bool(outcome & NEW) == would
        window.expire(now, 10_000)
        found = {}
        for account in window.live_accounts():
            for observation in window.changes_since(account, 0, 0).observations:
                found[account, observation.key] = (
                    observation.live_until,
                    observation.count,
                    observation.held_open_until > now,
                )
        assert {
            place: (requests.live_until(), len(requests.gets) + len(requests.watches), requests.held(now))
            for place, requests in model.places.items()
        } == found
        assert sum(r.lingers_until is None for r in model.places.values()) == window.live


class Puller:
    """Keeps a copy of one account by pulls."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.epoch = self.version = 0
        self.copy: dict[ObservationKey, Observation] = {}

    def pull(self, window: Window, parts: int = 1000) -> None:
        """At most so many parts; whether it is through does not matter to the next pull."""
        for _ in range(parts):
            changes = window.changes_since(self.account, self.epoch, self.version)
            if changes.full:
                self.copy = {}
                assert changes.ended == ()
            assert not {o.key for o in changes.observations} & set(changes.ended)
            for key in changes.ended:
                self.copy.pop(key, None)
            for observation in changes.observations:
                self.copy[observation.key] = observation
            self.epoch, self.version = changes.epoch, changes.version
            if not changes.more:
                return


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(st.one_of(reads(), st.integers(1, 12), st.sampled_from(["pull", "part", "stale"])), max_size=80))
def test_pulled_changes_come_to_the_full_set(steps: list[Any]) -> None:
    """Whoever pulls, whenever, in however small parts, has the set that a pull of everything gives; with every bound made tiny."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actors.store.partition.SEGMENT_MAX", 3)
        patch.setattr("actors.store.partition.INDEX_MAX", 3)
        patch.setattr("actors.store.partition.ENDED_MIN", 1)
        patch.setattr("actors.store.partition.ENDED_MAX", 2)
        patch.setattr("actors.store.entries.PULL_MAX", 2)
        patch.setattr("actors.store.calendar.PAGE_MAX", 2)
        window, now = Window(TTL, 5, 1), 30.0
        window._spread_over = 4
        often, rare = Puller(ACCOUNTS[0]), Puller(ACCOUNTS[0])
        for step in steps:
            if isinstance(step, int):
                now += step
                window.expire(now, 10_000)
            elif step == "pull":
                often.pull(window)
            elif step == "part":
                rare.pull(window, parts=1)
            elif step == "stale":
                rare.epoch = 99
            else:
                window.record(as_read(step, now), now, now)
        fresh = Puller(ACCOUNTS[0])
        for puller in (often, rare, fresh):
            puller.pull(window)
        assert fresh.copy == often.copy == rare.copy
        assert {key: plain(o) for key, o in fresh.copy.items()} == {
            key: plain(entry.observation) for key in fresh.copy if (entry := window.get(ACCOUNTS[0], key)) is not None
        }
        assert window.live <= 5


def test_a_pull_holds_only_what_changed() -> None:
    """And nothing when nothing did."""
    window = Window(TTL, 1000, 1)
    for i in range(100):
        window.record(as_read(("get", ACCOUNTS[0], i, 0, 0), 30.0), 30.0, 30.0)
    before = window.version
    window.record(as_read(("get", ACCOUNTS[0], 5, 0, 0), 31.0), 31.0, 31.0)
    changes = window.changes_since(ACCOUNTS[0], 1, before)
    assert (changes.full, [o.key.name for o in changes.observations], changes.ended) == (False, ["s5"], ())
    assert window.changes_since(ACCOUNTS[0], 1, changes.version).observations == ()


def test_another_epoch_or_a_version_from_nowhere_gets_everything() -> None:
    """Versions of another incarnation mean nothing."""
    window = Window(TTL, 1000, 1)
    window.record(as_read(("get", ACCOUNTS[0], 1, 0, 0), 30.0), 30.0, 30.0)
    assert [window.changes_since(ACCOUNTS[0], epoch, version).full for epoch, version in ((2, 1), (1, 99), (1, 1))] == [
        True,
        True,
        False,
    ]
    assert (
        window.changes_since(ACCOUNTS[1], 1, 1).full,
        window.changes_since(ACCOUNTS[1], 1, 1).observations,
    ) == (True, ())


def get_at(which: int, at: float) -> Read:
    return as_read(("get", ACCOUNTS[0], which, 0, 0), at)


def test_what_ended_and_came_again_is_no_ended_key() -> None:
    """In whatever order the two parts of an answer are applied."""
    window = Window(TTL, 1000, 1)
    window.record(get_at(0, 30.0), 30.0, 30.0)
    window.record(get_at(1, 35.0), 35.0, 35.0)
    version = window.version
    window.expire(40.0, 10)
    window.record(get_at(0, 41.0), 41.0, 41.0)
    changes = window.changes_since(ACCOUNTS[0], 1, version)
    assert (changes.full, [o.key.name for o in changes.observations], changes.ended) == (False, ["s0"], ())


def test_a_pull_of_everything_in_parts_goes_on_though_ends_were_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended before it began is nothing to it; so each part continues, and none begins again."""
    monkeypatch.setattr("actors.store.entries.PULL_MAX", 2)
    monkeypatch.setattr("actors.store.partition.ENDED_MAX", 1)
    window = Window(TTL, 1000, 1)
    for which in range(7):
        window.record(get_at(which, 35.0), 35.0, 35.0)
    for which in range(10, 14):
        window.record(get_at(which, 30.0), 35.0, 35.0)
    window.expire(40.0, 10)
    parts = [window.changes_since(ACCOUNTS[0], 0, 0)]
    while parts[-1].more:
        parts.append(window.changes_since(ACCOUNTS[0], 1, parts[-1].version))
    assert [(p.full, len(p.observations)) for p in parts] == [(True, 2), (False, 2), (False, 2), (False, 1)]
