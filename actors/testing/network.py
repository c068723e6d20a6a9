"""A network that fails when it is told to: a transport in front of another, which loses a request or its answer.

Counterpart: apiserver.py, whose retries it provokes without any part of the receiver being changed.
"""

from __future__ import annotations

import collections
import enum

import httpx
from msgspec import Struct

__all__ = ["Fault", "LossyStatistics", "LossyTransport"]


class Fault(enum.Enum):
    """What happens to a request on its way."""

    NOT_DELIVERED = "not_delivered"
    """The receiver never sees it, as when nothing listens there."""
    ANSWER_LOST = "answer_lost"
    """The receiver has worked on it and answered, and the sender never learns: what makes a repeated batch."""


class LossyStatistics(Struct, frozen=True):
    """`pending`: faults that wait for their request; `applied`: those that happened."""

    pending: int
    applied: int


class LossyTransport(httpx.AsyncBaseTransport):
    """Passes requests on to `inner`; each `lose` spoils one request, in the order of the calls."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._faults: collections.deque[tuple[Fault, bytes]] = collections.deque()
        self._applied = 0

    def lose(self, fault: Fault, containing: bytes = b"") -> None:
        """Lets the next request whose body contains these bytes meet this fault, once."""
        self._faults.append((fault, containing))

    def _due(self, body: bytes) -> Fault | None:
        for index, (fault, containing) in enumerate(self._faults):
            if containing in body:
                del self._faults[index]
                self._applied += 1
                return fault
        return None

    def statistics(self) -> LossyStatistics:
        """How many faults wait, and how many happened."""
        return LossyStatistics(len(self._faults), self._applied)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The inner transport's answer, or httpx.ConnectError / httpx.ReadError where a fault was due."""
        fault = self._due(await request.aread()) if self._faults else None
        if fault is None:
            return await self._inner.handle_async_request(request)
        if fault is Fault.NOT_DELIVERED:
            raise httpx.ConnectError("connection refused (simulated)", request=request)
        response = await self._inner.handle_async_request(request)
        await response.aread()
        await response.aclose()
        raise httpx.ReadError("connection reset before the answer (simulated)", request=request)

    async def aclose(self) -> None:
        """Closes the inner transport."""
        await self._inner.aclose()
