"""Actors on Pykka and Trio: supervised, bounded, watched. Knows nothing of Kubernetes.

Who may import whom inside:
  specs, states, clock, histogram, home, errors, log, park   nothing of the runtime (specs: types only)
  events, failure, future, timers            the above
  mailbox, context, carry                    the above; cells only as types
  place, loop, cell, actor, ref              the above
  supervisor, dynamic, root                  cell, actor
  snapshot, system                           everything
"""

from __future__ import annotations

from actors.runtime.actor import Actor
from actors.runtime.clock import Clock, SystemClock, VirtualClock
from actors.runtime.context import ActorContext, Reply
from actors.runtime.dynamic import Dynamic, DynamicStatistics
from actors.runtime.errors import (
    UNANSWERED,
    ActorCrashed,
    ActorDead,
    AskTimeout,
    Escalated,
    MailboxFull,
    StartFailed,
    SystemFailed,
    TooManyChildren,
    WouldBlock,
)
from actors.runtime.events import (
    DeadLetter,
    DeadLetters,
    DeadLetterStatistics,
    EventKind,
    LifecycleEvent,
    Reason,
    Subscription,
)
from actors.runtime.failure import Failure
from actors.runtime.future import TrioFuture
from actors.runtime.ref import ActorRef
from actors.runtime.snapshot import ActorSnapshot, MailboxSnapshot, Percentiles, RestartsSnapshot
from actors.runtime.specs import (
    Backoff,
    Child,
    DynamicSpec,
    Intensity,
    MailboxPolicy,
    Overflow,
    Restart,
    Spec,
    Strategy,
    SupervisorSpec,
)
from actors.runtime.states import ActorState
from actors.runtime.supervisor import Supervisor
from actors.runtime.system import System, SystemStatistics, current_system, open_system
from actors.runtime.timers import Timer

__all__ = [
    "UNANSWERED",
    "Actor",
    "ActorContext",
    "ActorCrashed",
    "ActorDead",
    "ActorRef",
    "ActorSnapshot",
    "ActorState",
    "AskTimeout",
    "Backoff",
    "Child",
    "Clock",
    "DeadLetter",
    "DeadLetterStatistics",
    "DeadLetters",
    "Dynamic",
    "DynamicSpec",
    "DynamicStatistics",
    "Escalated",
    "EventKind",
    "Failure",
    "Intensity",
    "LifecycleEvent",
    "MailboxFull",
    "MailboxPolicy",
    "MailboxSnapshot",
    "Overflow",
    "Percentiles",
    "Reason",
    "Reply",
    "Restart",
    "RestartsSnapshot",
    "Spec",
    "StartFailed",
    "Strategy",
    "Subscription",
    "Supervisor",
    "SupervisorSpec",
    "System",
    "SystemClock",
    "SystemFailed",
    "SystemStatistics",
    "Timer",
    "TooManyChildren",
    "TrioFuture",
    "VirtualClock",
    "WouldBlock",
    "current_system",
    "open_system",
]
