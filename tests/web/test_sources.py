"""What the faces read from: the state of the feed, and a part that does not answer as a value."""

from __future__ import annotations

import pytest
import web_stand_ins as w
from trio_run import run

from actors.runtime import ActorCrashed, ActorDead, AskTimeout, MailboxFull
from actors.store import StoreStatusQuery
from web.sources import Unanswered, feed_of


@pytest.mark.parametrize(
    ("last_batch_at", "expected_state"),
    [
        (None, "never"),  # no batch, ever
        (w.NOW - 299.9, "live"),
        (w.NOW - 300.0, "silent"),  # 300 s without one
        (w.NOW + 5.0, "live"),  # the clock was set back
    ],
)
def test_feed_state(last_batch_at, expected_state):
    """The feed is live while the last batch is younger than the bound, and never is not silent."""
    assert feed_of(last_batch_at, w.NOW).state == expected_state


def test_a_feed_whose_log_may_lag_is_silent_only_so_much_later():
    """The allowance of the last batch's log is on top."""
    sources = w.made_up()
    states = [
        sources.feed_at(w.store_status(last_batch_at=w.NOW - 500.0, allowance_s=allowance_s), w.NOW).state
        for allowance_s in (0.0, 200.0, 201.0)
    ]
    assert states == ["silent", "silent", "live"]


@pytest.mark.parametrize("error", [AskTimeout("x"), ActorCrashed("x"), ActorDead("x"), MailboxFull("x")])
def test_unanswered(error):
    """Every way in which an actor cannot answer is one exception that names the part."""
    sources = w.made_up(store=w.Ref({StoreStatusQuery: error}))
    with pytest.raises(Unanswered) as raised:
        run(sources.feed)
    assert (raised.value.part, raised.value.why) == ("store", type(error).__name__)


def test_other_errors_are_ours():
    """Anything else that an ask raises is a bug and goes on."""
    sources = w.made_up(store=w.Ref({StoreStatusQuery: ZeroDivisionError()}))
    with pytest.raises(ZeroDivisionError):
        run(sources.store_status)
