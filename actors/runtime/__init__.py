"""Actors on Pykka and Trio: supervised, bounded, watched. Knows nothing of Kubernetes.

Who may import whom inside: each module those on the lines above it, and those before it on its own line.
  clock, histogram, home, errors, log, states, specs, timers, carry, current   nothing of the runtime
  failure, events, letters, monitors, crashes, fence, verdict, trio_private    what is told, kept and judged
  park, future, entry, context                                                 what is waited for, what travels
  mailbox, mailbox_kinds, actor, held, loop, place                             what a place is made of
  threads, life, cell, ref                                                     how an incarnation runs, the whole place, its ref
  supervisor, dynamic, root                                                    who decides
  snapshot, stacks, tree, operations                                           the whole tree: shown, named, operated on
  signals, system                                                              what a program opens and runs
(What is imported for types only does not count.) schedules, for tests, and watch, pages for people, stand beside it: nothing here
imports them.
"""

from __future__ import annotations

from actors.runtime.actor import Actor
from actors.runtime.clock import Clock, SystemClock, VirtualClock
from actors.runtime.context import ActorContext, Reply
from actors.runtime.crashes import Crash, Crashes, CrashStatistics
from actors.runtime.current import current_system
from actors.runtime.dynamic import Dynamic, DynamicStatistics
from actors.runtime.errors import (
    UNANSWERED,
    ActorCrashed,
    ActorDead,
    AskTimeout,
    Escalated,
    Fenced,
    FenceHeld,
    Killed,
    LetterGone,
    MailboxFull,
    NotAllowed,
    NotReplayable,
    StartFailed,
    StrayCancellation,
    SystemFailed,
    ThreadsStuck,
    TooManyChildren,
    UnknownPath,
    WouldBlock,
)
from actors.runtime.events import EventKind, LifecycleEvent, Subscription
from actors.runtime.failure import Failure
from actors.runtime.fence import Fence, FenceToken, current_fence
from actors.runtime.future import TrioFuture
from actors.runtime.letters import DeadLetter, DeadLetters, DeadLetterStatistics, Reason
from actors.runtime.monitors import Terminated
from actors.runtime.ref import ActorRef
from actors.runtime.signals import run_until_signal
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
from actors.runtime.system import System, SystemStatistics, open_system
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
    "Crash",
    "CrashStatistics",
    "Crashes",
    "DeadLetter",
    "DeadLetterStatistics",
    "DeadLetters",
    "Dynamic",
    "DynamicSpec",
    "DynamicStatistics",
    "Escalated",
    "EventKind",
    "Failure",
    "Fence",
    "FenceHeld",
    "FenceToken",
    "Fenced",
    "Intensity",
    "Killed",
    "LetterGone",
    "LifecycleEvent",
    "MailboxFull",
    "MailboxPolicy",
    "MailboxSnapshot",
    "NotAllowed",
    "NotReplayable",
    "Overflow",
    "Percentiles",
    "Reason",
    "Reply",
    "Restart",
    "RestartsSnapshot",
    "Spec",
    "StartFailed",
    "Strategy",
    "StrayCancellation",
    "Subscription",
    "Supervisor",
    "SupervisorSpec",
    "System",
    "SystemClock",
    "SystemFailed",
    "SystemStatistics",
    "Terminated",
    "ThreadsStuck",
    "Timer",
    "TooManyChildren",
    "TrioFuture",
    "UnknownPath",
    "VirtualClock",
    "WouldBlock",
    "current_fence",
    "current_system",
    "open_system",
    "run_until_signal",
]
