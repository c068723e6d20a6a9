"""Which pods of an account changed since an answer: whoever asks now and then ends up with the same as who asks for all."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.cluster.podlog import PodLog
from actors.evidence import Account

ACCOUNTS = [Account("a", "x"), Account("a", "y")]
accounts = st.sampled_from(ACCOUNTS)
uids = st.sampled_from(["1", "2", "3", "4", "5"])
steps = st.lists(st.one_of(st.tuples(st.sampled_from(["touch", "leave"]), accounts, uids), st.just("ask")), max_size=40)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(steps=steps, bound=st.sampled_from([1, 1000]))
def test_who_asks_for_changes_has_what_is_there(steps, bound):
    """Touched pods are told anew, pods that left are told as such; where too many left, everything is told."""
    log, there, known, at = (
        PodLog(bound),
        {a: {} for a in ACCOUNTS},
        {a: {} for a in ACCOUNTS},
        dict.fromkeys(ACCOUNTS, 0),
    )
    for number, step in enumerate([*steps, "ask"]):
        if step != "ask":
            what, account, uid = step
            if what == "touch":
                log.touch(account, uid)
                there[account][uid] = number
            else:
                log.leave(account, uid)
                there[account].pop(uid, None)
            continue
        for account in ACCOUNTS:
            changes = log.since(account, at[account])
            if changes is None:
                known[account] = dict(there[account])
            else:
                changed, forgotten = changes
                known[account].update({uid: there[account][uid] for uid in changed})
                for uid in forgotten:
                    known[account].pop(uid, None)
            at[account] = log.version
        assert known == there
        assert {a: set(log.uids(a)) for a in ACCOUNTS} == {a: set(there[a]) for a in ACCOUNTS}
        assert set(log) == {a for a in ACCOUNTS if there[a]}


def test_only_what_changed_is_told():
    """In the order of the changes."""
    log, account = PodLog(), ACCOUNTS[0]
    for uid in "12345":
        log.touch(account, uid)
    log.touch(account, "2")
    log.leave(account, "4")
    assert log.since(account, 5) == (["2"], ["4"])
    assert log.since(account, 0) is None
