"""Who is told what changed, and from where on."""

from __future__ import annotations

import pytest
from store_kit import APP, T0, TTL_S, get

from actors.evidence import Account
from actors.messages import AccountChanges, Follow
from actors.runtime import ActorDead, MailboxFull
from actors.store import Window
from actors.store.followers import Followers


class Told:
    """As much of an actor's ref as is needed."""

    def __init__(self) -> None:
        self.changes: list[AccountChanges] = []
        self.fails: type[Exception] | None = None

    def tell(self, message: AccountChanges) -> None:
        if self.fails is not None:
            raise self.fails
        self.changes.append(message)


def read(window: Window, *names: str, account: Account = APP) -> None:
    for name in names:
        window.record(get(name, T0, account=account), T0, T0)


def answered(window: Window, followers: Followers) -> tuple[Account, ...]:
    followers.note(window.take_changed())
    return followers.answer()


def test_each_is_told_from_where_it_was_told_last() -> None:
    """The first time everything, then with each commit what that brought, without asking again."""
    window = Window(TTL_S, 1000, epoch=7)
    followers, told = Followers(window), Told()
    read(window, "a", "b")
    assert followers.add(Follow(APP, 0, 0, told))
    assert (told.changes[0].full, told.changes[0].since, len(told.changes[0].observations)) == (True, 0, 2)
    for name in "cd":
        answered(window, followers)
        read(window, name)
        assert answered(window, followers) == ()
    names = [[o.key.name for o in changes.observations] for changes in told.changes[1:]]
    assert names == [["c"], ["d"]]
    for before, after in zip(told.changes, told.changes[1:], strict=False):
        assert before.version == after.since


def test_one_that_is_where_the_window_is_waits() -> None:
    """It hears of the next change, and of nothing before."""
    window = Window(TTL_S, 1000, epoch=7)
    followers, told = Followers(window), Told()
    read(window, "a")
    window.take_changed()
    assert followers.add(Follow(APP, 7, window.version, told))
    assert told.changes == []
    read(window, "b")
    assert answered(window, followers) == ()
    assert [[o.key.name for o in changes.observations] for changes in told.changes] == [["b"]]


@pytest.mark.parametrize("error", [ActorDead, MailboxFull])
def test_one_that_cannot_be_told_follows_no_longer(error: type[Exception]) -> None:
    """Its account is nobody's then, and can be followed again from where it was."""
    window = Window(TTL_S, 1000, epoch=7)
    followers, told = Followers(window), Told()
    read(window, "a")
    followers.add(Follow(APP, 0, 0, told))
    window.take_changed()
    told.fails = error
    read(window, "b")
    assert answered(window, followers) == (APP,)
    assert (followers.statistics().following, followers.statistics().unfollowed) == (0, 1)
    assert not followers.add(Follow(APP, 7, 1, told))
    told.fails = None
    assert followers.add(Follow(APP, 7, 1, told))
    assert [o.key.name for o in told.changes[-1].observations] == ["b"]


def test_an_account_that_has_nothing_left_is_followed_by_nobody() -> None:
    """The end of its last observation is told, and then it is forgotten."""
    window = Window(TTL_S, 1000, epoch=7)
    followers, told = Followers(window), Told()
    read(window, "a")
    followers.add(Follow(APP, 0, 0, told))
    window.take_changed()
    while window.expire(T0 + TTL_S + 1, 10):
        pass
    assert answered(window, followers) == ()
    assert (told.changes[-1].full, told.changes[-1].observations) == (True, ())
    assert followers.statistics().following == 0


def test_many_accounts_are_told_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once, whatever changes meanwhile; what changes meanwhile is the next round's."""
    monkeypatch.setattr("actors.store.followers.ANSWER_STEP", 3)
    window = Window(TTL_S, 1000, epoch=7)
    followers = Followers(window)
    accounts = [Account("app", f"a{i}") for i in range(7)]
    for account in accounts:
        read(window, "x", account=account)
    found = [*answered(window, followers)]
    assert len(found) == 3
    read(window, "y", account=accounts[0])
    followers.note(window.take_changed())
    while followers.more:
        found += followers.answer()
    assert sorted([*accounts, accounts[0]]) == sorted(found)
