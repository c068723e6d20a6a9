"""The calendar, against a dict that is sorted each time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_kit import T0, get

from actors.evidence import Observation, observation_key
from actors.store.calendar import Calendar
from actors.store.entry import Entry

OBSERVATION = Observation(observation_key(get()), get(), T0, T0, 1, T0, 0.0, (), 1)


def entry(serial: int) -> Entry:
    return Entry(OBSERVATION, serial)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 9), st.integers(1, 400)),
            st.tuples(st.just("remove"), st.integers(0, 9), st.just(0)),
            st.tuples(st.sampled_from(["soonest", "until"]), st.integers(0, 400), st.just(0)),
        ),
        max_size=80,
    ),
    st.sampled_from([2, 2048]),
)
def test_entries_end_in_the_order_of_time(steps: list[Any], page_max: int) -> None:
    """However they are put, moved and taken out, pages full or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("actors.store.calendar.PAGE_MAX", page_max)
        calendar, entries = Calendar(), [entry(i) for i in range(10)]
        due: dict[int, float] = {}
        for what, which, tenths in steps:
            if what == "put":
                due[which] = tenths / 10
                calendar.put(entries[which], due[which])
            elif what == "remove":
                due.pop(which, None)
                calendar.remove(entries[which])
            elif what == "soonest":
                soonest = calendar.soonest()
                assert (None if soonest is None else soonest.serial in due) in (None, True)
                assert (soonest is None) == (not due)
                if soonest is not None and page_max > 10:
                    assert min(due.values()) == soonest.due
            else:
                now = which / 10
                while (over := calendar.ended(now)) is not None:
                    assert due.pop(over.serial) <= now
                    calendar.remove(over)
                assert all(at > now for at in due.values())
            at = calendar.next_at()
            assert (at is None) == (not due)
            assert at is None or at <= min(due.values())


def test_a_million_at_the_same_moment_are_opened_page_by_page() -> None:
    """No step sorts more than a page: taking one out of three crowded pages leaves two of them closed."""
    calendar = Calendar()
    for i in range(3 * 2048):
        calendar.put(entry(i), T0)
    calendar.ended(T0 + 1)
    assert len(calendar._heap) == 2048
