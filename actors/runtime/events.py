"""What happens to actors, told to whoever watches: lifecycle events, bounded, without contents.

Counterpart: cells and supervisors publish, pages, metrics and tests subscribe. Nothing here ever holds a message or the text of
an exception, only the names of their types: what travels in messages may be secret or hostile. Dead letters are in letters.py.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Final, Self

import trio
from msgspec import Struct


class EventKind(enum.Enum):
    """What happened to an actor."""

    STARTED = "started"
    FAILED = "failed"
    RESTARTING = "restarting"
    ESCALATED = "escalated"
    STOPPED = "stopped"
    OVERFLOW = "overflow"
    ABANDONED = "abandoned"
    """A thread of a threaded actor still ran when its incarnation had to be over."""


class LifecycleEvent(Struct, frozen=True, gc=False):
    """One thing that happened to the actor at `path`. `at`: epoch seconds; `error`, `message_type`: names of types."""

    at: float
    kind: EventKind
    path: str
    incarnation: int
    error: str | None = None
    message_type: str | None = None
    delay_s: float | None = None
    """RESTARTING: how long the restart waits."""


class SubscriptionStatistics(Struct, frozen=True):
    """How a subscriber keeps up: events waiting, its bound, and how many were dropped because it did not read."""

    depth: int
    capacity: int
    dropped: int


class Subscription:
    """A bounded queue of events for one reader: `async for event in subscription`. When it is full the oldest is dropped, counted.

    Use as a context manager, or call `close`: what is not closed keeps being filled.
    """

    def __init__(self, stream: EventStream, capacity: int) -> None:
        self._stream = stream
        self._events: deque[LifecycleEvent] = deque(maxlen=capacity)
        self._capacity = capacity
        self._dropped = 0
        self._lot = trio.lowlevel.ParkingLot()
        self._closed = False

    def statistics(self) -> SubscriptionStatistics:
        """Depth, bound and drops."""
        return SubscriptionStatistics(depth=len(self._events), capacity=self._capacity, dropped=self._dropped)

    def put_nowait(self, event: LifecycleEvent) -> None:
        """Add an event; used by the stream."""
        if len(self._events) == self._capacity:
            self._dropped += 1
        self._events.append(event)
        self._lot.unpark()

    def receive_nowait(self) -> LifecycleEvent | None:
        """The oldest event that waits, or None."""
        return self._events.popleft() if self._events else None

    async def receive(self) -> LifecycleEvent:
        """Wait for the next event. Raises trio.EndOfChannel after `close`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while not self._events:
            if self._closed:
                raise trio.EndOfChannel
            await self._lot.park()
        return self._events.popleft()

    def close(self) -> None:
        """No more events; a waiting reader ends."""
        self._closed = True
        self._stream.remove(self)
        self._lot.unpark_all()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LifecycleEvent:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


SUBSCRIBERS_MAX: Final = 1000
"""How many subscriptions of one system may be open at a time; one more is a leak, and raises."""


class EventStream:
    """Hands each event to every subscription."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []
        self.counts: dict[EventKind, int] = dict.fromkeys(EventKind, 0)

    def subscribe(self, capacity: int) -> Subscription:
        """A new subscription that holds at most `capacity` unread events. RuntimeError over SUBSCRIBERS_MAX."""
        if len(self._subscriptions) >= SUBSCRIBERS_MAX:
            raise RuntimeError(f"{SUBSCRIBERS_MAX} subscriptions are open: close those that nobody reads")
        subscription = Subscription(self, capacity)
        self._subscriptions.append(subscription)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription that was closed."""
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def publish(self, event: LifecycleEvent) -> None:
        """Count the event and give it to every subscription; never waits."""
        self.counts[event.kind] += 1
        for subscription in self._subscriptions:
            subscription.put_nowait(event)

    def close(self) -> None:
        """End every subscription."""
        for subscription in list(self._subscriptions):
            subscription.close()
