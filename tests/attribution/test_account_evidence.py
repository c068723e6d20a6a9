"""The account's evidence in step with store and cluster: what the engine is told, and when."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.attribution import AccountEvidence, attribute
from actors.attribution.state import PART_MAX, joined
from actors.evidence import Attribution


class One:
    """AccountEvidence, for what is told in one message or none."""

    def __init__(self, state):
        self.state = state

    def __getattr__(self, name):
        return getattr(self.state, name)

    def update(self, *args, **more):
        messages = self.state.update(*args, **more)
        assert len(messages) < 2
        return messages[0] if messages else None


def state(a):
    return One(AccountEvidence(a.account, 1))


def test_the_first_message_is_everything(a):
    """Full, from version 0, with all that is live."""
    news = state(a).update(a.changes(a.observation(), full=True), a.pods(a.pod()), a.now)
    assert (news.full, news.base, news.version, len(news.evidence)) == (True, (1, 0), (1, 1), 1)


def test_nothing_new_is_no_message(a):
    """No changes, no message; the next one builds on the last that was sent."""
    mine = state(a)
    mine.update(a.changes(a.observation(), full=True), a.pods(a.pod()), a.now)
    assert None is mine.update(a.changes(version=2), None, a.now)
    news = mine.update(a.changes(a.observation(name="b"), version=3), None, a.now)
    assert (news.full, news.base, news.version, len(news.evidence)) == (False, (1, 1), (1, 2), 1)


def test_pods_that_change_send_only_what_differs(a):
    """A read whose pod was unknown becomes exact when the pod appears; the others are not sent again."""
    mine = state(a)
    reads = (a.observation(claim=a.claim("web-1")), a.observation(claim=a.claim("job-1")))
    first = mine.update(a.changes(*reads, full=True), a.pods(a.pod("web-1")), a.now)
    assert [each.attribution for each in first.evidence] == [Attribution.EXACT, Attribution.GONE]
    news = mine.update(a.changes(version=2), a.pods(a.pod("web-1"), a.pod("job-1", "job")), a.now)
    assert (news.full, [each.pods for each in news.evidence]) == (False, [("job-1",)])
    assert None is mine.update(a.changes(version=3), a.pods(a.pod("web-1"), a.pod("job-1", "job")), a.now)


def test_what_ended_is_told(a):
    """The keys that the store says ended."""
    mine = state(a)
    observation = a.observation()
    mine.update(a.changes(observation, full=True), a.pods(a.pod()), a.now)
    news = mine.update(a.changes(version=2, ended=(observation.key,)), None, a.now)
    assert ((observation.key,), ()) == (news.ended, news.evidence)


def test_a_store_that_starts_over_sends_what_differs_and_what_is_missing(a):
    """A full answer of the store ends what is not in it."""
    mine = state(a)
    kept, lost = a.observation(), a.observation(name="b")
    mine.update(a.changes(kept, lost, full=True), a.pods(a.pod()), a.now)
    news = mine.update(a.changes(kept, version=1, full=True), None, a.now)
    assert ((), (lost.key,), False) == (news.evidence, news.ended, news.full)


def test_a_wish_for_everything_is_met_even_when_nothing_is_live(a):
    """The engine waits to hear the account: an empty full message."""
    news = state(a).update(a.changes(full=True), a.pods(), a.now, full=True)
    assert (news.full, news.evidence) == (True, ())


def test_much_is_told_in_parts(a):
    """Each part builds on the one before it; only the first is full, all but the last say that more follows."""
    many = [a.observation(name=f"s{n}") for n in range(2 * PART_MAX + 1)]
    found = AccountEvidence(a.account, 1).update(a.changes(*many, full=True), a.pods(), a.now)
    assert [(m.full, m.more) for m in found] == [(True, True), (False, True), (False, False)]
    assert [((1, n), (1, n + 1)) for n in range(3)] == [(m.base, m.version) for m in found]
    assert len(many) == sum(len(m.evidence) for m in found)


def test_pages_of_the_store_are_one_answer(a):
    """A later page says what changed since the one before: what it ends is not there, what it has is."""
    first, second = a.observation(), a.observation(name="b")
    pages = [
        a.changes(first, second, full=True),
        a.changes(version=2, ended=(first.key,)),
        a.changes(a.observation(name="c"), version=3),
    ]
    found = joined(pages)
    assert (found.full, found.version, [o.scope.name for o in found.observations], found.ended) == (
        True,
        3,
        ["b", "c"],
        (),
    )
    later = joined([a.changes(first, version=1), a.changes(version=2, ended=(first.key,))])
    assert (False, (), (first.key,)) == (later.full, later.observations, later.ended)


def test_the_end_is_the_latest_of_what_is_live(a):
    """When the actor may look whether it can leave; None when nothing is live."""
    mine = state(a)
    mine.update(a.changes(a.observation(), a.observation(name="b", at=a.now + 10), full=True), a.pods(), a.now)
    assert a.now + 310 == mine.end(a.now)
    assert None is mine.end(a.now + 310)


def test_statistics_count(a):
    """What the pages show of an account's actor."""
    mine = state(a)
    mine.update(a.changes(a.observation(claim=a.claim("nobody")), full=True), a.pods(a.pod()), a.now)
    found = mine.statistics()
    assert (found.live, found.gone, found.pods, found.attributed, found.sent) == (1, 1, 1, 1, 1)


steps = st.one_of(
    st.tuples(st.just("read"), st.sampled_from("abc"), st.sampled_from([None, "web-1", "job-1"]), st.booleans()),
    st.tuples(st.just("pods"), st.sets(st.sampled_from(["web-1", "job-1"])), st.booleans()),
    st.tuples(st.just("end"), st.sampled_from("abc")),
    st.tuples(st.just("full")),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(steps=st.lists(steps, max_size=15))
def test_the_messages_add_up_to_the_present(a, steps):
    """Played one after the other, the messages give exactly what a fresh attribution gives."""
    mine, told, pods = state(a), {}, a.pods(a.pod())
    live, at = {}, a.now
    mine_started = False
    for version, step in enumerate(steps, 1):
        at += 1
        observations, ended, new_pods, full = (), (), None, False
        if step[0] == "read":
            claim = None if step[2] is None else a.claim(step[2])
            ip = "198.51.100.7" if step[3] else None
            observation = a.observation(name=step[1], claim=claim, at=at, count=version, source_ip=ip)
            live[observation.key] = observation
            observations = (observation,)
        elif step[0] == "pods":
            gone_at = at - 0.5 if step[2] else None
            new_pods = pods = a.pods(*(a.pod(name, name[:3], gone_at=gone_at) for name in sorted(step[1])))
        elif step[0] == "end":
            ended = tuple(key for key in live if key.name == step[1])
            for key in ended:
                del live[key]
        else:
            full = True
        changes = a.changes(*observations, version=version, full=not mine_started, ended=ended)
        news = mine.update(changes, new_pods if mine_started else pods, at, full=full)
        mine_started = True
        if news is not None:
            if news.full:
                told.clear()
            told.update({each.observation.key: each for each in news.evidence})
            for key in news.ended:
                told.pop(key, None)
    assert {key: attribute(each, pods, at) for key, each in live.items()} == told
