"""What can go wrong between actors, as types: what an asker, a teller or the one who opened the system has to expect.

Counterpart: every other module of the runtime raises these; callers catch them by name. `ActorDead` and `AskTimeout` are also
Pykka's `ActorDeadError` and `Timeout`, so that code written against Pykka keeps working.
"""
# ruff: noqa: N818 - the names say what happened, as Pykka's Timeout and Trio's Cancelled do

from __future__ import annotations

import functools
from typing import Final

import pykka


class ActorDead(pykka.ActorDeadError):
    """The actor is stopped, failed for good, or was never there; nothing sent to it will be handled."""


class ActorCrashed(Exception):
    """The actor crashed while this ask was in its hands. The message is not handled again.

    When the handler itself raised, the exception is at the same time an instance of what it raised (see `crash_of`), and
    `__cause__` is the original.
    """


class AskTimeout(pykka.Timeout):
    """No reply within `timeout_s` seconds; a reply that comes later is dropped and counted."""


class MailboxFull(Exception):
    """The mailbox holds as many messages as its policy allows; the message was not accepted, or was dropped for a newer one."""


class TooManyChildren(Exception):
    """A dynamic supervisor holds as many children as its `max_children` allows; no further one was started."""


class WouldBlock(RuntimeError):
    """A call that waits for a reply by blocking the thread was made on the Trio thread, where it would wait for ever."""


class Escalated(Exception):
    """A supervisor gave up: more restarts than its intensity allows. Its own supervisor decides what comes next."""

    crashes: tuple[int, ...] = ()
    """The numbers of the crashes behind it (see crashes.py), the first one first."""


class StartFailed(Exception):
    """`System.start`: an actor did not come up within its supervisor's intensity. `__cause__` is its last failure."""


class SystemFailed(Exception):
    """The root supervisor gave up, and with it the system. Raised out of `open_system`; `__cause__` is the last failure."""


class Killed(Exception):
    """The failure of an actor that was killed (`System.kill_actor`): it was cancelled in the middle, no hook ran."""


class StrayCancellation(Exception):
    """An actor raised a trio.Cancelled although nobody had cancelled it, such as one that it had kept; `__cause__` is that one."""


class UnknownPath(LookupError):
    """There is no actor at this path."""


class NotAllowed(Exception):
    """An operation on an actor that cannot be done now; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LetterGone(LookupError):
    """No dead letter with this number is kept (any more)."""


class NotReplayable(Exception):
    """The dead letter does not hold its message: only the types that an actor class names in `replayable` are kept."""


class Fenced(Exception):
    """What the incarnation owned is not its own any more: it has ended, and a successor may have taken over."""


class FenceHeld(Exception):
    """A successor did not start: a thread of an earlier incarnation still holds what both use. A failure as any other."""


class ThreadsStuck(Exception):
    """A threaded actor did not start: too many threads of its earlier incarnations were abandoned and still run."""


def origin(error: BaseException | None) -> BaseException | None:
    """What was the matter in the first place: the cause behind one `Escalated` or several."""
    while isinstance(error, Escalated) and error.__cause__ is not None:
        error = error.__cause__
    return error


@functools.lru_cache(maxsize=256)
def _both(error_class: type[Exception]) -> type[ActorCrashed]:
    """A class that is both `ActorCrashed` and `error_class`; plain `ActorCrashed` where Python cannot combine the two."""
    if issubclass(error_class, ActorCrashed):
        return error_class
    try:
        return type(f"ActorCrashed[{error_class.__name__}]", (ActorCrashed, error_class), {"__module__": __name__})
    except TypeError:  # two layouts in C, or a class that forbids subclasses
        return ActorCrashed


def crash_of(error: Exception, path: str) -> ActorCrashed:
    """What the asker gets whose message made the actor at `path` crash with `error`.

    One exception with two faces: `except ActorCrashed` is enough for a caller that only wants to know that there is no answer,
    and `except ValueError` still works where Pykka's askers expect the handler's own exception.
    """
    combined = _both(type(error))  # type: ignore[arg-type]  # mypy takes a class for an instance of it here
    if combined is not ActorCrashed:
        try:
            crash = combined.__new__(combined, *error.args)
            crash.args = error.args
            crash.__dict__.update(error.__dict__)
        except TypeError:  # a constructor that wants more than args
            crash = ActorCrashed(f"{path}: {type(error).__name__}")
    else:
        crash = ActorCrashed(f"{path}: {type(error).__name__}")
    crash.__cause__ = error
    return crash


UNANSWERED: Final = (AskTimeout, ActorCrashed, ActorDead, MailboxFull)
"""What an ask, a send or a tell to a neighbour may raise that restarts, has stopped or is slow. Anything else is a bug."""
