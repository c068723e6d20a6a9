"""The window of acts: its bounds, what they cost, and what whoever follows it is told."""

from __future__ import annotations

import random

from actors.behaviors import ActsWindow
from actors.behaviors.window import CHANGES_MAX
from actors.evidence import Act, ActKey, Alert, Attribution, ProcessExec, SecretRead

NOW = 1_700_000_000.0
EXACT = Attribution.EXACT


def acts_of(window: ActsWindow) -> dict[ActKey, Act]:
    """Everything that is told to who asks for everything, page by page."""
    found: dict[ActKey, Act] = {}
    version, more = 0, True
    while more:
        page = window.changes_since(version)
        found |= {act.key: act for act in page.acts}
        version, more = page.version, page.more
    return found


def test_the_same_behavior_again_is_one_act_that_lasts_longer(pod):
    """New once; count, first and last seen are kept, and a late report never shortens it."""
    window = ActsWindow(ttl_s=300)
    said = [window.put(pod(), SecretRead("app/db"), EXACT, NOW + t, NOW + 20, "tetra") for t in (0, 10, 5)]
    (act,) = acts_of(window).values()
    assert said == [True, False, False]
    assert (act.count, act.first_seen, act.observed_at, act.live_until) == (3, NOW, NOW + 10, NOW + 310)
    assert (
        act.pod,
        str(act.account),
        str(act.workload),
        act.secret,
    ) == ("web-1", "app/reader", "Deployment/app/web", "db")


def test_a_time_in_the_future_is_now_and_one_long_past_is_not_taken(pod):
    """A lying clock makes nothing live for longer than the TTL, and nothing live that is not."""
    window = ActsWindow(ttl_s=300)
    assert window.put(pod(), Alert("r"), EXACT, NOW + 1e9, NOW, None) is True
    assert window.put(pod(), Alert("old"), EXACT, NOW - 300, NOW, None) is None
    assert [act.live_until for act in acts_of(window).values()] == [NOW + 300]


def test_a_pod_that_is_reported_much_of_has_its_own_bound(pod):
    """A node that lies fills what its pods may have: of that pod what ends soonest goes, counted, and no other pod loses anything."""
    window = ActsWindow(of_pod_max=8)
    window.put(pod("victim-1"), SecretRead("app/db"), EXACT, NOW - 100, NOW, None)
    for n in range(1000):
        window.put(pod("noisy-1"), Alert(f"rule {n}"), EXACT, NOW + n / 1000, NOW + n / 1000, None)
    held = acts_of(window)
    assert [list(held.values())[n].behavior.rule for n in (1, 8)] == ["rule 992", "rule 999"]  # type: ignore[union-attr]
    assert {"uid-victim-1", "uid-noisy-1"} == {key.pod_uid for key in held}
    assert (window.statistics().acts, window.statistics().evicted) == (9, 992)


def test_the_window_is_bounded_in_all(pod):
    """Over the bound one that changed longest ago makes room, counted."""
    window = ActsWindow(acts_max=100)
    for n in range(300):
        window.put(pod(f"web-{n}"), Alert("r"), EXACT, NOW, NOW, None)
    assert (window.statistics().acts, window.statistics().evicted, window.statistics().new) == (100, 200, 300)
    assert {f"uid-web-{n}" for n in range(200, 300)} == {key.pod_uid for key in acts_of(window)}


def test_what_ended_by_time_makes_room_without_being_counted_as_lost(pod):
    """Only live acts that had to go are evictions."""
    window = ActsWindow(ttl_s=300, of_pod_max=4)
    for n in range(4):
        window.put(pod(), Alert(f"{n}"), EXACT, NOW, NOW, None)
    for n in range(4):
        window.put(pod(), Alert(f"later {n}"), EXACT, NOW + 400, NOW + 400, None)
    assert (window.statistics().acts, window.statistics().evicted) == (4, 0)


def test_who_follows_has_what_the_window_has(pod):
    """Over random acts, evictions and pauses, pages of changes add up to the whole; who is from elsewhere gets everything."""
    chance = random.Random(7)
    window = ActsWindow(acts_max=50, of_pod_max=6)
    mine: dict[ActKey, Act] = {}
    version = 0
    for step in range(2000):
        name = f"web-{chance.randrange(15)}"
        window.put(
            pod(name), ProcessExec(f"/bin/{chance.randrange(12)}"), EXACT, NOW + step / 100, NOW + step / 100, None
        )
        if chance.random() < 0.1:
            page = window.changes_since(version)
            mine = {} if page.full else mine
            for key in page.ended:
                mine.pop(key, None)
            mine |= {act.key: act for act in page.acts}
            version = page.version
            assert mine == acts_of(window), f"at step {step}"
    assert window.changes_since(window.version + 5).full
    assert window.changes_since(-1).full


def test_pages_of_changes_are_bounded(pod):
    """No answer holds more than CHANGES_MAX acts, and following gives each once."""
    window = ActsWindow()
    for n in range(2 * CHANGES_MAX + 3):
        window.put(pod(f"web-{n}"), Alert("r"), EXACT, NOW, NOW, None)
    pages, version, more = [], 0, True
    while more:
        page = window.changes_since(version)
        pages.append(len(page.acts))
        version, more = page.version, page.more
    assert pages == [CHANGES_MAX, CHANGES_MAX, 3]
    assert len(acts_of(window)) == 2 * CHANGES_MAX + 3


def test_who_fell_too_far_behind_gets_everything(pod, monkeypatch):
    """What made room is remembered within a bound; beyond it everything is told anew."""
    monkeypatch.setattr("actors.behaviors.window.ENDED_MAX", 10)
    window = ActsWindow(of_pod_max=1)
    window.put(pod(), Alert("0"), EXACT, NOW, NOW, None)
    version = window.changes_since(0).version
    for n in range(1, 30):
        window.put(pod(), Alert(str(n)), EXACT, NOW, NOW, None)
    assert window.changes_since(version).full
    assert not window.changes_since(window.version - 1).full
