"""Operators: the token, the bound on wrong ones, the log; and that a start without a token that can be used is refused."""

from __future__ import annotations

import pytest
import web_stand_ins as w

from actors.config import Settings
from actors.runtime.watch import ActionTaken, Presented, TooManyTries
from web.credentials import Tokens
from web.edge import StartError, check_tokens
from web.operators import NO_ACTIONS, actions_of
from web.sessions import FAILURE_REFILL_S, FAILURES_BURST


def test_right_and_wrong_tokens():
    """A right token gives the credential's name, with or without white space around it; a wrong or empty one nothing."""
    clock = w.FixedClock()
    actions = actions_of(Tokens(inline="sesame", listener="dashboard", setting="X"), clock.now)
    tokens = (b"sesame", b" sesame\n", b"sesam", b"", b" ")
    assert [actions.check_operator(Presented(token, "10.0.0.1")) for token in tokens] == [
        "token-1",
        "token-1",
        *[None] * 3,
    ]


def test_wrong_tokens_are_bounded_by_peer():
    """Too many wrong ones: this peer waits, also with a right one; another does not; after a while it may again."""
    clock = w.FixedClock()
    actions = actions_of(Tokens(inline="sesame", listener="dashboard", setting="X"), clock.now)
    for _ in range(FAILURES_BURST):
        assert actions.check_operator(Presented(b"x", "10.0.0.1")) is None
    with pytest.raises(TooManyTries):
        actions.check_operator(Presented(b"sesame", "10.0.0.1"))
    assert actions.check_operator(Presented(b"sesame", "10.0.0.2")) == "token-1"
    clock.at += FAILURE_REFILL_S + 1
    assert actions.check_operator(Presented(b"sesame", "10.0.0.1")) == "token-1"


def test_changed_file_counts(tmp_path):
    """An operator whose token left the file can act no more, once the file was read again."""
    clock = w.FixedClock(0.0)
    file = tmp_path / "operators"
    file.write_text("ada\nbob\n")
    tokens = Tokens(file=file, listener="dashboard", setting="X")
    actions = actions_of(tokens, clock.now)
    assert actions.check_operator(Presented(b"bob", "p")) == "token-2"
    file.write_text("ada\n")
    assert tokens.refresh(60.0)
    assert actions.check_operator(Presented(b"bob", "p")) is None


def test_log_has_every_attempt(capsys):
    """One line for each, done or not; what a client chose cannot forge another."""
    actions = actions_of(Tokens(inline="sesame", listener="dashboard", setting="X"), lambda: 0.0)
    actions.log(ActionTaken(0.0, "kill", "/p/a\nforged", None, "token-1", "10.0.0.1", "done"))
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 1
    assert "an operator's action" in lines[0]


def test_off_means_nobody():
    """Without the setting no token is right."""
    assert (NO_ACTIONS.allowed, NO_ACTIONS.check_operator(Presented(b"x", "p"))) == (False, None)


def test_start_without_a_usable_token_is_refused(tmp_path):
    """Actions that are on with a token file that cannot be read: one line that names the setting."""
    settings = Settings(actor_actions=True, operator_token_file=tmp_path / "none")
    with pytest.raises(StartError, match="PROTECTOR_OPERATOR_TOKEN_FILE"):
        check_tokens(settings)
