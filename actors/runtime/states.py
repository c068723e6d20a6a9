"""The states of a place and the ways in which an incarnation ends.

Counterpart: cell.py sets them, supervisor.py decides by them, snapshot.py shows them.
"""

from __future__ import annotations

import enum

from msgspec import Struct


class ActorState(enum.Enum):
    """What is in a place at the moment."""

    STARTING = "starting"
    """Registered and waiting for its turn, or in `on_start`."""
    RUNNING = "running"
    BACKOFF = "backoff"
    """Waiting for its restart, with its mailbox open."""
    STOPPED = "stopped"
    FAILED = "failed"
    """Given up after too many failures, or failed and not to be restarted."""


class ExitKind(enum.Enum):
    """How an incarnation ended."""

    NORMAL = "normal"
    """By its own will: `Actor.stop`, `context.retire`."""
    SHUTDOWN = "shutdown"
    """It was told to stop, by `ActorRef.stop` or by its supervisor."""
    FAILED = "failed"
    KILLED = "killed"
    """Cancelled in the middle: `ActorRef.kill`, a stop that took too long, or the end of everything."""


class Exit(Struct, frozen=True):
    """The report of an incarnation's end."""

    kind: ExitKind
    error: Exception | None = None
    crash: int | None = None
    """The number of the crash, if it was one (see crashes.py)."""


class StopMode(enum.Enum):
    """Why a supervisor stops a child."""

    FINAL = "final"
    RESTART = "restart"
    """It will come back: its mailbox stays open, and what is queued stays queued."""
