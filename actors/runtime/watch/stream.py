"""Lifecycle events as a stream of server-sent events, one subscription for each viewer: nothing is gathered while nobody listens.

An application that has an event stream of its own names it instead (`events_at`), and this one is not mounted.
Counterparts: System.subscribe; static/live.js listens.
"""

from __future__ import annotations

from typing import Any, Final, Self

import msgspec
import trio
from quart import Response
from quart.wrappers.response import ResponseBody

from actors.runtime.events import EventKind, LifecycleEvent, Subscription
from actors.runtime.watch.words import rfc3339

__all__ = ["EVENT_NAMES", "Streams", "StreamsStatistics", "event_name"]

VIEWERS_MAX: Final = 64
"""Open streams at most. Overflow: the next one is refused with 503, counted."""
UNREAD_MAX: Final = 256
"""Events that wait for one viewer. Overflow: the oldest goes; the page is brought anew as a whole anyway."""
HEARTBEAT_S: Final = 15.0
"""Silence after which a comment is sent, so that proxies and browsers see that the stream lives."""

_NAMES: Final = {EventKind.RESTARTING: "actor.restarted"}


def event_name(kind: EventKind) -> str:
    """The name on the stream: `actor.started`, `actor.restarted`, …"""
    return _NAMES.get(kind, f"actor.{kind.value}")


EVENT_NAMES: Final = tuple(event_name(kind) for kind in EventKind)
"""Every name that may come."""


class StreamsStatistics(msgspec.Struct, frozen=True):
    """Open streams, how many may be, and how many were refused."""

    viewers: int
    viewers_max: int
    refused: int


class Streams:
    """The open streams of one mount."""

    def __init__(self, system: Any) -> None:
        self._system = system
        self._open: set[Subscription] = set()
        self._refused = 0

    def statistics(self) -> StreamsStatistics:
        """How many look on."""
        return StreamsStatistics(len(self._open), VIEWERS_MAX, self._refused)

    def answer(self) -> Response:
        """A stream for one more viewer, or 503."""
        if len(self._open) >= VIEWERS_MAX:
            self._refused += 1
            return Response(
                "Too many look on.\n", 503, content_type="text/plain; charset=utf-8", headers={"Retry-After": "5"}
            )
        subscription = self._system.subscribe(UNREAD_MAX)
        self._open.add(subscription)
        answer = Response(_Body(subscription, self._open), content_type="text/event-stream")
        answer.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
        answer.timeout = None  # the framework cuts streams after a minute otherwise
        return answer


class _Body(ResponseBody):
    """Gives the subscription back whatever ends the response."""

    def __init__(self, subscription: Subscription, open_: set[Subscription]) -> None:
        self._subscription = subscription
        self._open = open_
        self._greeted = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._subscription.close()
        self._open.discard(self._subscription)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._greeted:  # the server sends the headers with the first bytes of the body
            self._greeted = True
            return b": watching\nretry: 3000\n\n"
        with trio.move_on_after(HEARTBEAT_S):
            try:
                return _sse(await self._subscription.receive())
            except trio.EndOfChannel:  # the system is over
                raise StopAsyncIteration from None
        return b": heartbeat\n\n"


def _sse(event: LifecycleEvent) -> bytes:
    """One event (WHATWG HTML, 9.2). JSON escapes line breaks, so data is one line."""
    name = event_name(event.kind)
    data = {
        "at": rfc3339(event.at),
        "event": name,
        "path": event.path,
        "incarnation": event.incarnation,
        "error": event.error,
        "message_type": event.message_type,
        "delay_s": event.delay_s,
    }
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))
