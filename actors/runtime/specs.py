"""What a supervision tree is made of, as frozen records: children, supervisors, strategies, intensities, backoff, mailboxes.

Counterpart: `System.start` takes them, `supervisor.py` and `dynamic.py` act on them. The words are OTP's
(erlang/otp, "Supervisor Behaviour"): strategy, intensity, permanent, transient, temporary.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from pykka import ThreadingActor

if TYPE_CHECKING:
    import random

    from actors.runtime.actor import Actor


class Overflow(enum.Enum):
    """What a full mailbox does with one more message. `ActorRef.send` waits for room under REJECT, WAIT and CONFLATE."""

    REJECT = "reject"
    """`tell` and `ask` raise `MailboxFull`."""
    WAIT = "wait"
    """As REJECT for `tell` on the Trio thread; an `ask` waits in line for room (as many as the capacity), and so does a
    `tell` from another thread."""
    DROP_OLDEST = "drop_oldest"
    """The oldest queued message becomes a dead letter; if it was an ask, its asker gets `MailboxFull`."""
    CONFLATE = "conflate"
    """Messages with the same `Actor.conflate_key` become one, full or not; as REJECT when full and no key matches."""


class MailboxPolicy(Struct, frozen=True):
    """The bound of a mailbox, in messages, and what happens at it."""

    capacity: int = 1000
    overflow: Overflow = Overflow.REJECT


class Strategy(enum.Enum):
    """Which children are restarted when one of them fails."""

    ONE_FOR_ONE = "one_for_one"
    """The failed one."""
    ONE_FOR_ALL = "one_for_all"
    """Every child: the others are stopped in reverse order first."""
    REST_FOR_ONE = "rest_for_one"
    """The failed one and those after it."""


class Restart(enum.Enum):
    """When a child that ended is started again."""

    PERMANENT = "permanent"
    """Always, unless it was stopped from outside (`ActorRef.stop`)."""
    TRANSIENT = "transient"
    """After a failure only."""
    TEMPORARY = "temporary"
    """Never."""


class Intensity(Struct, frozen=True):
    """At most `max` restarts within `within_s` seconds; one more and the supervisor gives up and escalates."""

    max: int = 5
    within_s: float = 30.0


class Backoff(Struct, frozen=True):
    """How long to wait before a restart: exponential with full jitter.

    The nth restart in a row waits a random time between 0 and `base_s * 2 ** (n - 1)` seconds, at most `cap_s`. An incarnation
    that ran for `reset_after_s` seconds ends the row. (Full jitter: Brooker, "Exponential Backoff And Jitter", AWS 2015.)
    """

    base_s: float = 0.1
    cap_s: float = 10.0
    reset_after_s: float = 30.0

    def delay_s(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait before restart number `attempt` (from 1) of a row."""
        ceiling_s = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 62))
        return rng.uniform(0.0, ceiling_s)


STOP_TIMEOUT_S = 5.0
"""How long an actor may take to finish its message and its `on_stop`, unless its `Child` says otherwise; then it is killed."""


class Child(Struct, frozen=True):
    """One actor of a supervisor: `actor_class(*args, **kwargs)` is made anew for every incarnation.

    A `pykka.ThreadingActor` may stand here as well, for work that must block: see threads.py.
    """

    name: str
    actor_class: type[Actor | ThreadingActor]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    restart: Restart = Restart.PERMANENT
    stop_timeout_s: float = STOP_TIMEOUT_S


class SupervisorSpec(Struct, frozen=True):
    """A supervisor and its children, in the order in which they start (they stop in reverse)."""

    name: str
    children: tuple[Spec, ...] = ()
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: Intensity = Intensity()
    backoff: Backoff = Backoff()
    restart: Restart = Restart.PERMANENT


MAX_CHILDREN = 100_000
"""How many children a dynamic supervisor holds unless its spec says otherwise."""


class DynamicSpec(Struct, frozen=True):
    """A supervisor whose children are made by key at first use, and leave the tree when they retire.

    `intensity` is each child's own: one that exceeds it is given up and leaves the tree (its next use starts it afresh).
    `escalation` is the supervisor's: that many children given up means that the fault is not in one of them.
    """

    name: str
    make: Callable[[str], Child]
    intensity: Intensity = Intensity()
    backoff: Backoff = Backoff()
    max_children: int = MAX_CHILDREN
    restart: Restart = Restart.PERMANENT
    escalation: Intensity = Intensity(max=50, within_s=60.0)


Spec = Child | SupervisorSpec | DynamicSpec
"""Whatever can stand in a supervision tree."""


def check_name(name: str) -> str:
    """`name`, if it can be one step of a path; ValueError for the empty name and for one with a slash in it."""
    if not name or "/" in name:
        raise ValueError("the name of an actor is one step of a path: not empty, without a slash")
    return name
