"""The event hub: what is announced goes to every open event stream (`/api/events`), at most once each and in order.

One ring of the newest events is shared by all subscribers; a subscriber is only a position in it. So a slow reader costs no
memory and holds nobody up: when the ring has moved past it, it is told how many it missed and goes on with what is left.
Ids are `<start>-<n>`: `start` tells this process from an earlier one, whose ids mean nothing here any more.

Counterparts: the announcer actor and the lifecycle watcher publish; web/api.py streams.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, Self

import trio
from msgspec import Struct

__all__ = [
    "Event",
    "EventHub",
    "Heartbeat",
    "HubClosed",
    "HubFull",
    "HubStatistics",
    "Missed",
    "Subscription",
    "as_sse",
]

RING_MAX: Final = 1000
"""Events that are kept for those who come late or come back. Overflow: the oldest goes, and who had not read it is told."""
SUBSCRIBERS_MAX: Final = 64
"""Open streams at most. Overflow: the next one is refused (HubFull) and counted."""
HEARTBEAT_S: Final = 15.0
"""Silence after which a stream gets a heartbeat, so that proxies and clients see that it lives."""
RETRY_MS: Final = 3000
"""After how long a browser should come back to a stream that ended."""

_NAME = re.compile(r"[a-z][a-z_]*(?:\.[a-z_]+)*")
_ID = re.compile(r"([0-9a-z]{1,32})-([0-9]{1,18})")


class Event(Struct, frozen=True, gc=False):
    """One announcement. `data` is one JSON document, or what makes it when a stream wants it: most are never asked for."""

    id: str
    name: str
    data: str | Callable[[], str]


class Missed(Struct, frozen=True, gc=False):
    """Events that this subscriber will not get any more; `count` None: nobody knows how many (its id is of another process)."""

    count: int | None
    id: str
    """The id to come back with: where the stream goes on after this notice."""


class Heartbeat(Struct, frozen=True, gc=False):
    """Nothing happened for HEARTBEAT_S."""


class HubFull(Exception):  # noqa: N818 - named as the runtime names MailboxFull
    """SUBSCRIBERS_MAX streams are open."""


class HubClosed(Exception):  # noqa: N818 - as above
    """The hub was closed: the process is going down."""


class HubStatistics(Struct, frozen=True):
    """Counts since the start, and what is held now."""

    published: int
    subscribers: int
    subscribers_max: int
    ring: int
    ring_max: int
    missed: int
    refused: int


class EventHub:
    """Takes events from inside and hands them to streams. Trio thread only; `publish` never waits.

    `start_id`: lower-case letters and digits, different for every process; None: the time of its start, in milliseconds.
    """

    def __init__(
        self,
        start_id: str | None = None,
        *,
        ring_max: int = RING_MAX,
        subscribers_max: int = SUBSCRIBERS_MAX,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        if start_id is None:
            start_id = f"{int(time.time() * 1000):x}"
        if _ID.fullmatch(f"{start_id}-0") is None:
            raise ValueError(f"start_id is 1 to 32 lower-case letters and digits, not {start_id!r}")
        self.heartbeat_s = heartbeat_s
        self._start_id = start_id
        self._ring: deque[Event] = deque(maxlen=ring_max)
        self._ring_max = ring_max
        self._published = 0
        self._subscribers: set[Subscription] = set()
        self._subscribers_max = subscribers_max
        self._missed = 0
        self._refused = 0
        self._closed = False
        self._moved = trio.lowlevel.ParkingLot()

    def publish(self, name: str, data: str | Callable[[], str]) -> str:
        """Announces to all streams, now and for those who come back; returns the event's id. After `close`: to nobody.

        `data`: one JSON document, or what makes it, always the same one.
        """
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no event name: lower-case words joined by dots")
        self._published += 1
        event = Event(f"{self._start_id}-{self._published}", name, data)
        self._ring.append(event)
        self._moved.unpark_all()
        return event.id

    def subscribe(self, last_id: str | None = None) -> Subscription:
        """A stream from now on, or from after `last_id` (whatever a client sent: an id of another process gets all there is).

        Resource handling: use it in a `with` block; what is not closed holds a place. Errors: HubFull, HubClosed.
        """
        if self._closed:
            raise HubClosed("no new streams: going down")
        if len(self._subscribers) >= self._subscribers_max:
            self._refused += 1
            raise HubFull(f"{self._subscribers_max} event streams are open")
        position, notice = self._position(last_id)
        subscription = Subscription(self, position, notice)
        self._subscribers.add(subscription)
        return subscription

    def close(self) -> None:
        """Ends every stream, at once and for good."""
        self._closed = True
        self._moved.unpark_all()

    def statistics(self) -> HubStatistics:
        """Counts since the start, and what is held now."""
        return HubStatistics(
            published=self._published,
            subscribers=len(self._subscribers),
            subscribers_max=self._subscribers_max,
            ring=len(self._ring),
            ring_max=self._ring_max,
            missed=self._missed,
            refused=self._refused,
        )

    def _position(self, last_id: str | None) -> tuple[int, Missed | None]:
        """The number of the last event that this client has, and what to tell it first."""
        if not last_id:
            return self._published, None
        found = _ID.fullmatch(last_id)
        if found is not None and found[1] == self._start_id and int(found[2]) <= self._published:
            return int(found[2]), None
        oldest = self._published - len(self._ring)
        return oldest, Missed(None, f"{self._start_id}-{oldest}")

    def _after(self, position: int) -> Event | Missed | None:
        """What comes after the event of this number; None: nothing yet."""
        oldest = self._published - len(self._ring)
        if position < oldest:
            self._missed += oldest - position
            return Missed(oldest - position, f"{self._start_id}-{oldest}")
        if position == self._published:
            return None
        return next(islice(self._ring, position - oldest, None))


class Subscription:
    """One stream's place in the hub: an async iterator of Event, Missed and Heartbeat that ends when the hub is closed."""

    def __init__(self, hub: EventHub, position: int, notice: Missed | None) -> None:
        self._hub = hub
        self._position = position
        self._notice = notice

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the place back; may be called more than once."""
        self._hub._subscribers.discard(self)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event | Missed | Heartbeat:
        await trio.lowlevel.checkpoint()  # a long replay must not hold the loop
        if self._notice is not None and not self._hub._closed:
            notice, self._notice = self._notice, None
            return notice
        with trio.move_on_after(self._hub.heartbeat_s):
            while not self._hub._closed:
                found = self._hub._after(self._position)
                if found is not None:
                    self._position = int(found.id.rpartition("-")[2])
                    return found
                await self._hub._moved.park()
        if self._hub._closed:
            self.close()
            raise StopAsyncIteration
        return Heartbeat()


def as_sse(item: Event | Missed | Heartbeat) -> bytes:
    """The item as a server-sent event (WHATWG HTML, 9.2 "Server-sent events"). A line break in data cannot end it."""
    match item:
        case Heartbeat():
            return b": heartbeat\n\n"
        case Missed():
            count = "null" if item.count is None else str(item.count)
            return f'id: {item.id}\nevent: stream.missed\ndata: {{"missed":{count}}}\n\n'.encode()
        case Event():
            text = item.data if isinstance(item.data, str) else item.data()
            lines = re.split(r"\r\n|\r|\n", text)
            data = "\n".join(f"data: {line}" for line in lines)
            return f"id: {item.id}\nevent: {item.name}\n{data}\n\n".encode()
