"""The tree as frozen records: what pages, `/api/actors` and metrics read.

Counterpart: `System.snapshot()`. Everything is read at one moment on the Trio thread; nothing is computed while nobody asks.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import trio
from msgspec import Struct

from actors.runtime.cell import Cell
from actors.runtime.dynamic import DynamicSupervisor
from actors.runtime.entry import Cancelled
from actors.runtime.failure import Failure
from actors.runtime.histogram import percentile_s
from actors.runtime.place import MORE_TYPES, MoreTypes
from actors.runtime.specs import Intensity
from actors.runtime.states import ActorState
from actors.runtime.supervisor import Supervisor


class RestartsSnapshot(Struct, frozen=True):
    """Restarts of this actor within its supervisor's window, and the most that the supervisor allows for all of its children."""

    count: int
    within_s: float
    max: int


class MailboxSnapshot(Struct, frozen=True):
    """A mailbox, in messages; `oldest_s`: how long the oldest message has waited."""

    depth: int
    capacity: int
    high_water: int
    overflows: int
    oldest_s: float


class Percentiles(Struct, frozen=True):
    """Milliseconds, from fixed buckets, since the place was made."""

    p50: float
    p99: float


class HandlingSnapshot(Struct, frozen=True):
    """The message being handled: its type, and for how long."""

    message_type: str
    for_s: float


class ActorSnapshot(Struct, frozen=True):
    """One place of the tree, with those below it."""

    path: str
    actor: str
    """The name of the class."""
    state: str
    strategy: str | None
    restarts: RestartsSnapshot
    incarnation: int
    uptime_s: float
    """Of this incarnation, since its `on_start` returned; 0 unless it runs."""
    retry_in_s: float | None
    """While backing off: how long until the restart."""
    mailbox: MailboxSnapshot
    handled: int
    failed: int
    wait_ms: Percentiles
    handle_ms: Percentiles
    handling: HandlingSnapshot | None
    message_types: dict[str, int]
    last_failure: Failure | None
    children: tuple[ActorSnapshot, ...]
    restart_type: str = "permanent"
    """When it is started anew: permanent, transient, temporary."""
    watchers: int = 0
    """How many wait for its end."""
    abandoned_threads: int = 0
    """Of a threaded actor: threads of earlier incarnations that could not be stopped and still run."""

    def to_builtins(self) -> dict[str, Any]:
        """As plain dicts, lists, strings and numbers, ready for JSON; the time of a failure as RFC 3339, UTC."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        nodes = [plain]
        while nodes:
            node = nodes.pop()
            failure = node["last_failure"]
            if failure is not None:
                failure["at"] = datetime.fromtimestamp(failure["at"], UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            nodes.extend(node["children"])
        return plain


ROOT_RESTARTS: Final = RestartsSnapshot(count=0, within_s=0.0, max=0)
"""The root is never restarted."""

_NO_SAMPLES: Final = Percentiles(p50=0.0, p99=0.0)


def snapshot_of(cell: Cell) -> ActorSnapshot:
    """The record of `cell` and of everything below it."""
    return record_of(cell, tuple(snapshot_of(child) for child in (cell.children or {}).values()))


def record_of(cell: Cell, children: tuple[ActorSnapshot, ...] = ()) -> ActorSnapshot:
    """The record of `cell` alone, with these children: for pages that show a few of very many actors."""
    now = trio.current_time()
    running = cell.state is ActorState.RUNNING
    mailbox = cell.mailbox
    monotonic = cell.system.clock.monotonic()
    handling = None
    if cell.current is not None:
        handling = HandlingSnapshot(
            type(cell.current.message).__name__, round(max(0.0, monotonic - cell.handling_since), 6)
        )
    return ActorSnapshot(
        path=cell.path,
        actor=cell.actor_class.__name__,
        state=cell.state.value,
        strategy=_strategy(cell),
        restarts=restarts_of(cell, now),
        incarnation=cell.incarnation,
        uptime_s=round(now - cell.started_at, 3) if running and cell.started_at is not None else 0.0,
        retry_in_s=round(max(0.0, cell.retry_at - now), 3) if cell.state is ActorState.BACKOFF else None,
        mailbox=MailboxSnapshot(
            depth=mailbox.depth(),
            capacity=mailbox.policy.capacity,
            high_water=max(mailbox.high_water, len(mailbox.queue)),
            overflows=mailbox.overflows,
            oldest_s=round(mailbox.oldest_s(monotonic), 6),
        ),
        handled=sum(cell.handle_counts or ()),
        failed=cell.failed,
        wait_ms=_percentiles(cell.wait_counts),
        handle_ms=_percentiles(cell.handle_counts),
        handling=handling,
        message_types=_message_types(cell),
        last_failure=cell.last_failure,
        children=children,
        restart_type=cell.restart.value,
        watchers=cell.watchers,
        abandoned_threads=_abandoned_threads(cell),
    )


def _abandoned_threads(cell: Cell) -> int:
    fence = cell.system.fences.get(cell.path) if cell.system.fences else None
    return fence.abandoned if fence is not None else 0


def _strategy(cell: Cell) -> str | None:
    if not issubclass(cell.actor_class, Supervisor):
        return None
    if issubclass(cell.actor_class, DynamicSupervisor):
        return Supervisor.strategy.value
    spec = cell.args[0]
    return str(spec.strategy.value)


def restarts_of(cell: Cell, now: float) -> RestartsSnapshot:
    """The restarts of this place that still count, and its supervisor's allowance. `now`: on Trio's clock."""
    if cell.parent is None:
        return ROOT_RESTARTS
    intensity: Intensity = cell.parent.args[-1].intensity
    times = cell.restart_times or ()
    count = sum(1 for at in times if at >= now - intensity.within_s)
    return RestartsSnapshot(count=count, within_s=intensity.within_s, max=intensity.max)


def _percentiles(counts: list[int] | None) -> Percentiles:
    if counts is None:
        return _NO_SAMPLES
    return Percentiles(
        p50=round(percentile_s(counts, 0.5) * 1000.0, 4), p99=round(percentile_s(counts, 0.99) * 1000.0, 4)
    )


def _message_types(cell: Cell) -> dict[str, int]:
    counts: dict[str, int] = {}
    for message_type, (count, _) in (cell.kinds or {}).items():
        if message_type is not Cancelled and count:
            name = MORE_TYPES if message_type is MoreTypes else message_type.__name__
            counts[name] = counts.get(name, 0) + count
    return counts
