"""A listener under supervision.

Purpose: run one Listener on a socket that was bound outside, drain it when the actor stops, do the upkeep of its files.
Messages: DescribeListener (ask) -> ListenerStatistics; Upkeep (its own timer).
State: the Listener of this incarnation; its counts begin anew with it. A restart refuses no connection: the socket stays open.
Counterparts: web/edge.py makes the children; web/tls.py and web/credentials.py have the upkeep.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final

import trio
from msgspec import Struct

from actors.runtime import Actor
from web.listener.limits import Doorman, Limits, ListenerStatistics
from web.listener.request import App
from web.listener.server import BoundSocket, Listener

__all__ = ["STOP_TIMEOUT_S", "UPKEEP_EVERY_S", "DescribeListener", "ListenerActor"]

UPKEEP_EVERY_S: Final = 5.0
"""How often the upkeep is called; each part has its own pace beyond that."""
STOP_TIMEOUT_S: Final = 18.0
"""For the child's `stop_timeout_s`: longer than draining and closing take together, shorter than what `serve` has to end."""


class DescribeListener(Struct, frozen=True):
    """Asked by pages and metrics. Answer: ListenerStatistics."""


class Upkeep(Struct, frozen=True):
    """Look at the files again."""


class ListenerActor(Actor):
    """`upkeep`: called with epoch seconds, in a thread, one after the other (certificate files, token files).

    `drain_on`: draining begins with this event, so that several listeners drain at the same time, although a supervisor stops
    its children one after the other. It is the end: once drained, the socket is closed, so that who connects then is refused
    at once, and not kept waiting for an accept while others still drain.
    """

    def __init__(
        self,
        name: str,
        bound: BoundSocket,
        app: App,
        *,
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
        limits: Limits | None = None,
        upkeep: tuple[Callable[[float], object], ...] = (),
        drain_on: trio.Event | None = None,
        doorman: Doorman | None = None,
    ) -> None:
        super().__init__()
        self._bound = bound
        self._listener = Listener(name, app, tls=tls, limits=limits, doorman=doorman)
        self._upkeep = upkeep
        self._drain_on = drain_on

    async def on_start(self) -> None:
        """Counts as started once connections are accepted."""
        self.context.start_soon(self._listener.serve_connections, self._bound)
        await self._listener.wait_ready()
        if self._drain_on is not None:
            self.context.start_soon(self._drain_with, self._drain_on)
        if self._upkeep:
            self.context.every(UPKEEP_EVERY_S, Upkeep())

    async def on_receive(self, message: Any) -> ListenerStatistics | None:
        """Describes itself, or does the upkeep."""
        match message:
            case DescribeListener():
                return self.statistics()
            case Upkeep():
                now = self.context.clock.now()
                for look in self._upkeep:
                    await trio.to_thread.run_sync(look, now)
            case _:
                await super().on_receive(message)
        return None

    async def on_stop(self) -> None:
        """Drains: see Listener.drain."""
        await self._listener.drain()

    async def _drain_with(self, event: trio.Event) -> None:
        await event.wait()
        await self._listener.drain()
        self._bound.close()

    def statistics(self) -> ListenerStatistics:
        """Of this incarnation."""
        return self._listener.statistics()
