"""What comes out of an actor's hook, and what it means. The one place that says how BaseException and cancellation are treated.

Counterpart: the life of an incarnation (life.py) and the tasks beside it ask here about whatever was raised; so does a threaded actor,
whose exceptions come out of its hooks in the same way.

| raised                                     | means                                                                           |
|--------------------------------------------|---------------------------------------------------------------------------------|
| Exception, ExceptionGroup                  | a failure of this actor: recorded, its supervisor decides; no sibling notices   |
| trio.Cancelled, somebody cancelled it      | not an error: it goes on to the scope that asked for it                         |
| trio.Cancelled, nobody cancelled it        | a failure (`StrayCancellation`): it would otherwise end the siblings as well    |
| a group of Cancelled and exceptions        | both: the exceptions are the failure, the Cancelled goes on                     |
| KeyboardInterrupt, SystemExit, any other   | ends the system: every actor is stopped in order, then it is raised out of      |
| BaseException, a group that holds one      | `open_system`. Pykka's `ActorRegistry.stop_all` is never called                 |
| GeneratorExit                              | the loop itself is being torn down: it goes on, untouched                       |
"""

from __future__ import annotations

import math
from typing import NamedTuple

import trio

from actors.runtime.errors import StrayCancellation


class Verdict(NamedTuple):
    """What one raised thing is made of; at least one part is there."""

    failure: Exception | None
    """A failure of this actor alone."""
    fatal: BaseException | None
    """Ends the system, see `System.abort`."""
    passing: BaseException | None
    """To be raised again by whoever asked."""


def judge(error: BaseException) -> Verdict:
    """Take apart what a hook raised, in the task in which it was raised, inside the actor's own cancel scope."""
    if isinstance(error, Exception):
        return Verdict(error, None, None)
    if isinstance(error, GeneratorExit):
        return Verdict(None, None, error)
    cancelled: BaseException | None = None
    rest: BaseException | None = error
    if isinstance(error, trio.Cancelled):
        cancelled, rest = error, None
    elif isinstance(error, BaseExceptionGroup):
        cancelled, rest = error.split(trio.Cancelled)
    if cancelled is not None and trio.current_effective_deadline() != -math.inf:
        return _stray(cancelled, rest)
    if rest is None or isinstance(rest, Exception):
        return Verdict(rest, None, cancelled)
    return Verdict(None, rest, cancelled)


def _stray(cancelled: BaseException, rest: BaseException | None) -> Verdict:
    """No scope around this task is cancelled, so none will catch it."""
    if rest is not None and not isinstance(rest, Exception):
        return Verdict(None, rest, None)
    if rest is not None:
        return Verdict(rest, None, None)
    stray = StrayCancellation("trio.Cancelled was raised, and nobody had cancelled the actor")
    stray.__cause__ = cancelled
    return Verdict(stray, None, None)
