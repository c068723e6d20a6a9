"""What an operator may do to actors and dead letters from a page, and everything that has to be so before it is done.

Off unless the application hands in `Actions(allowed=True, …)`. Then, for each: a page that asks once, a POST whose Origin is this
server's, the operator's token, a last look whether the actor is still the one that was shown; and one record, done or refused.
Counterparts: pages.py draws the buttons and the page that asks; mount.py routes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from actors.runtime.errors import ActorDead, LetterGone, MailboxFull, NotAllowed, NotReplayable, UnknownPath
from actors.runtime.watch.reading import Reader

__all__ = ["ACTIONS", "Action", "ActionRefused", "ActionTaken", "Actions", "Presented", "TooManyTries", "is_own_origin"]

TAKEN_MAX: Final = 100
"""Actions that are remembered to be shown; all go to the log. Overflow: the oldest goes."""
TOKEN_FIELD: Final = "operator_token"  # noqa: S105 - the name of a field
"""The form field with the operator's token."""


class Action(Struct, frozen=True):
    """One thing that can be done: to an actor or to a dead letter, in words, and how grave it is."""

    name: str
    of: str
    """"actor" or "letter"."""
    label: str
    question: str
    consequence: str
    grave: bool = False


ACTIONS: Final[Mapping[str, Action]] = {
    action.name: action
    for action in (
        Action(
            "restart",
            "actor",
            "Restart",
            "Restart this actor?",
            "This incarnation is stopped in good order and a new one started at once. What waits in the mailbox stays; "
            "it does not count against the allowed restarts, and a backoff ends.",
        ),
        Action(
            "stop",
            "actor",
            "Stop",
            "Stop this actor for good?",
            "It finishes its message and is not started again. What waits in its mailbox, and what is sent to it later, "
            "becomes dead letters. Only a restart from here, or of its supervisor, brings it back.",
            grave=True,
        ),
        Action(
            "kill",
            "actor",
            "Kill",
            "Kill this actor now?",
            "It is cancelled in the middle of whatever it does; the message in hand is lost to it. That counts as a failure: its "
            "supervisor restarts it, or gives up where there were too many.",
            grave=True,
        ),
        Action(
            "replay",
            "letter",
            "Replay",
            "Tell this message again?",
            "It goes to the same place once more, at the end of its mailbox. If it crashed its actor before, it may do so again.",
        ),
        Action(
            "drop",
            "letter",
            "Drop",
            "Drop this dead letter?",
            "It leaves the list for good, with the message if that was kept. The counts stay.",
        ),
    )
}
"""Everything that can be done from a page."""


class Presented(Struct, frozen=True):
    """Who asks: the token that was sent with the form (never logged), and the address that it came from."""

    token: bytes
    peer: str


class ActionTaken(Struct, frozen=True):
    """One attempt, for the log. `operator`: the credential's name, None while it is unknown; `outcome`: "done", or why not."""

    at: float
    action: str
    path: str
    letter: int | None
    operator: str | None
    peer: str
    outcome: str


class TooManyTries(Exception):  # noqa: N818 - their doing
    """This peer has brought too many wrong tokens; it may try again in `wait_s` seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many wrong tokens; try again in {int(wait_s) + 1} s")
        self.wait_s = wait_s


class Actions(Struct, frozen=True):
    """What the application allows. `check_operator` gives the name of the operator's credential or None, and takes the same time
    for both; it may raise TooManyTries. `log` gets every attempt. `hint`: what to set where actions are off."""

    allowed: bool
    check_operator: Callable[[Presented], str | None]
    log: Callable[[ActionTaken], None]
    hint: str = "They are off here."


class ActionRefused(Exception):  # noqa: N818 - an answer
    """It was not done. `status` is the answer's; the text says why, for the person."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def is_own_origin(origin: str | None, fetch_site: str | None, host: str) -> bool:
    """Whether a POST came from a page of this very server.

    By the Origin header (RFC 6454); a browser under a referrer policy of `no-referrer` sends "null" there (Fetch, "append a
    request Origin header"), so then, and without one, only what the browser itself says in Sec-Fetch-Site counts. The scheme is
    not compared: behind a proxy that ends TLS it is not known here.
    """
    if origin is not None and origin != "null":
        scheme, separator, rest = origin.partition("://")
        return bool(separator) and scheme in ("http", "https") and rest.lower() == host.lower()
    return fetch_site == "same-origin"


class Taken:
    """The newest attempts, to be shown where they were made."""

    def __init__(self) -> None:
        self._taken: deque[ActionTaken] = deque(maxlen=TAKEN_MAX)

    def add(self, taken: ActionTaken) -> None:
        """Remember one."""
        self._taken.append(taken)

    def of(self, path: str | None = None) -> list[ActionTaken]:
        """Those of this path, or all; newest first."""
        return [taken for taken in reversed(self._taken) if path is None or taken.path == path]


async def perform(
    system: Any, reader: Reader, action: Action, path: str, incarnation: int | None, letter: int | None
) -> None:
    """Do it, after a last look. Raises ActionRefused.

    `incarnation`: the one that was shown when the person decided; where there is another one by now they have to look again.
    """
    try:
        if action.of == "letter":
            kept = system.dead_letters
            (kept.replay if action.name == "replay" else kept.drop)(letter)
            return
        place = reader.find(path)
        if place is None:
            raise ActionRefused(404, "There is no such actor any more.")
        if reader.record(place).incarnation != incarnation:
            raise ActionRefused(
                409, "It was started anew since this page was made. Look at it again before you decide."
            )
        if action.name == "kill":
            system.kill_actor(path)
        else:
            await (system.restart if action.name == "restart" else system.stop_actor)(path)
    except UnknownPath:
        raise ActionRefused(404, "There is no such actor any more.") from None
    except LetterGone:
        raise ActionRefused(404, "This dead letter is not kept any more.") from None
    except (NotAllowed, NotReplayable) as error:
        raise ActionRefused(409, str(error)) from None
    except (MailboxFull, ActorDead) as error:
        raise ActionRefused(409, f"Its place does not take it: {type(error).__name__}.") from None
