"""The pure parts: histograms, backoff, failures without contents, exceptions with two faces."""

from __future__ import annotations

import random
from bisect import bisect
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.runtime import ActorCrashed, Backoff
from actors.runtime.errors import Escalated, crash_of, origin
from actors.runtime.failure import FRAMES_MAX, failure_of
from actors.runtime.histogram import BOUNDS_S, new_counts, percentile_s


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(min_value=1e-6, max_value=400.0), min_size=1, max_size=200), st.sampled_from([0.5, 0.99]))
def test_percentiles_are_right_to_a_bucket(samples: list[float], share: float) -> None:
    """What the buckets say differs from the sample of that rank by at most one bucket's width."""
    counts = new_counts()
    for sample in samples:
        counts[bisect(BOUNDS_S, sample)] += 1
    exact = sorted(samples)[max(0, -(-int(share * len(samples) * 1000) // 1000) - 1)]
    assert exact / 1.36 <= percentile_s(counts, share) * 1.36
    assert percentile_s(counts, share) <= max(samples) * 1.36


def test_percentiles_of_nothing_and_of_the_open_bucket() -> None:
    """No samples: zero. Longer than the last bound: the last bound."""
    counts = new_counts()
    assert percentile_s(counts, 0.5) == 0.0
    counts[-1] += 1
    assert BOUNDS_S[-1] == percentile_s(counts, 0.5)


@settings(derandomize=True, deadline=None)
@given(st.integers(min_value=1, max_value=10_000), st.integers())
def test_backoff_stays_below_its_cap(attempt: int, seed: int) -> None:
    """Any attempt waits between nothing and min(cap, base * 2**(n-1))."""
    backoff = Backoff(base_s=0.1, cap_s=10.0)
    delay_s = backoff.delay_s(attempt, random.Random(seed))
    assert 0.0 <= delay_s <= min(10.0, 0.1 * 2.0 ** min(attempt - 1, 62))


def deep(levels: int) -> None:
    if levels:
        deep(levels - 1)
    raise ValueError("secret")


def test_a_failure_is_types_and_places_only() -> None:
    """The traceback is cut to its innermost frames; no text of the exception, no path of this machine."""
    with pytest.raises(ValueError) as caught:
        deep(100)
    failure = failure_of(caught.value, 12.0, "Message")
    assert len(failure.traceback) == FRAMES_MAX
    assert failure.traceback[-1].endswith(" deep")
    assert failure.traceback[-1].startswith("runtime/test_runtime_records.py:")
    assert "secret" not in repr(failure)
    assert (failure.at, failure.type, failure.message_type) == (12.0, "ValueError", "Message")


def test_groups_and_causes_are_named() -> None:
    """A group names its members' types, a chain its causes', both bounded."""
    group = ExceptionGroup("secret", [ValueError("secret"), KeyError("secret")])
    group.__cause__ = OSError("secret")
    assert failure_of(group, 0.0, None).type == "ExceptionGroup[KeyError, ValueError] from OSError"
    error: BaseException = ValueError()
    error.__cause__ = error
    assert failure_of(error, 0.0, None).type.count("ValueError") == 5


class AwkwardError(Exception):
    """Cannot be made from its args."""

    def __new__(cls, left: int, right: int) -> Self:
        return super().__new__(cls, left, right)

    def __init__(self, left: int, right: int) -> None:
        super().__init__(left + right)


@pytest.mark.parametrize(
    ("error", "has_both_faces"),
    [
        (ValueError("x"), True),
        (OSError(2, "gone", "file"), True),
        (KeyError("k"), True),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), True),
        # Python cannot make these again from what they carry
        (AwkwardError(1, 2), False),
        (ExceptionGroup("g", [ValueError()]), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_crash_is_also_what_was_raised(error: Exception, has_both_faces: bool) -> None:
    """ActorCrashed always, with the original as its cause; an instance of its type where Python allows it."""
    crash = crash_of(error, "/s/a")
    assert isinstance(crash, ActorCrashed)
    assert error is crash.__cause__
    assert has_both_faces == isinstance(crash, type(error))
    if has_both_faces:
        assert error.args == crash.args


def test_origin_looks_behind_escalations() -> None:
    """However often it was escalated, the first failure is found."""
    first = ValueError()
    inner, outer = Escalated(), Escalated()
    inner.__cause__, outer.__cause__ = first, inner
    assert first is origin(outer)
    assert None is origin(None)
    assert inner.__cause__ is origin(inner)
