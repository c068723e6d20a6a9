"""Who may act on actors from the dashboard: the operator's token, a bound on wrong ones, and one line of the log for every attempt.

Off unless PROTECTOR_ACTOR_ACTIONS=1. Counterparts: actors/runtime/watch asks; web/credentials.py holds the token; web/edge.py makes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from actors.runtime.watch import Actions, ActionTaken, Presented, TooManyTries
from web.credentials import Tokens
from web.sessions import Failures

__all__ = ["NO_ACTIONS", "actions_of"]

HINT: Final = "Set PROTECTOR_ACTOR_ACTIONS=1 and PROTECTOR_OPERATOR_TOKEN or PROTECTOR_OPERATOR_TOKEN_FILE."

log = structlog.get_logger(__name__)

NO_ACTIONS: Final = Actions(allowed=False, check_operator=lambda _: None, log=lambda _: None, hint=HINT)
"""Reading only."""


def actions_of(tokens: Tokens, now: Callable[[], float]) -> Actions:
    """Actions for whoever has one of these tokens. A peer with too many wrong ones has to wait, also with a right one."""
    failures = Failures()

    def check(presented: Presented) -> str | None:
        wait_s = failures.wait_s(presented.peer, now())
        if wait_s:
            raise TooManyTries(wait_s)
        name = tokens.check(presented.token.strip()) if presented.token.strip() else None
        if name is None:
            failures.count(presented.peer, now())
        return name

    return Actions(allowed=True, check_operator=check, log=_log, hint=HINT)


def _log(taken: ActionTaken) -> None:
    say = log.info if taken.outcome == "done" else log.warning
    say(
        "an operator's action",
        action=taken.action,
        path=taken.path,
        letter=taken.letter,
        operator=taken.operator,
        peer=taken.peer,
        outcome=taken.outcome,
    )
