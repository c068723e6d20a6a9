"""The memo: made once, bounded, and nothing long is kept."""

from __future__ import annotations

from actors.parser.memo import Memo, MemoStatistics
from actors.parser.names import accounts, holders, memo_statistics, scopes, texts
from actors.parser.reason import KEPT_LEN_MAX, named_grants


def test_a_value_is_made_once() -> None:
    """The second look finds it."""
    made: list[str] = []
    memo: Memo[str, int] = Memo(lambda key: made.append(key) or len(key), 10, lambda _, __: True)
    assert ([memo["abc"], memo["abc"], memo["ab"]], made) == ([3, 3, 2], ["abc", "ab"])


def test_a_full_memo_begins_anew() -> None:
    """It never holds more than its bound, and says how often it was full."""
    memo: Memo[int, int] = Memo(lambda key: key, 3, lambda _, __: True)
    values = [memo[key] for key in range(10)]
    assert (list(range(10)), MemoStatistics(entries=1, entries_max=3, made=10, cleared=3)) == (
        values,
        memo.statistics(),
    )


def test_what_is_not_to_be_kept_is_made_each_time() -> None:
    """Such as what is long."""
    memo: Memo[str, int] = Memo(len, 3, lambda key, _: len(key) < 5)
    assert (memo["x" * 9], memo["x" * 9], len(memo), memo.made) == (9, 9, 0, 2)


def test_hostile_texts_are_never_kept() -> None:
    """Long or impossible names, agents and reasons pass without a trace."""
    before = [len(memo) for memo in (accounts, scopes, holders, texts, named_grants)]
    long = "x" * 100_000
    seen = (
        accounts[long],
        scopes["app", long],
        scopes["A", None],
        holders[(long,), None, None],
        len(texts[long]),
        named_grants[long],
    )
    after = [len(memo) for memo in (accounts, scopes, holders, texts, named_grants)]
    assert (before, (None, None, None, None, 512, None), True) == (after, seen, len(long) > KEPT_LEN_MAX)


def test_the_memos_of_names_say_how_full_they_are() -> None:
    """One figure each."""
    assert sorted(memo_statistics()) == ["accounts", "holders", "namespaces", "scopes", "texts"]
