"""The bounds of one listener, with their overflow rules, and what is counted. Counterparts: every other module of this package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from hypercorn.events import Event
from msgspec import Struct

__all__ = [
    "SEND_CHUNK_BYTES",
    "ClientGone",
    "Counters",
    "Doorman",
    "Limits",
    "ListenerStatistics",
    "Proven",
    "contained",
]

SEND_CHUNK_BYTES: Final = 64 * 1024
"""What one send timeout covers: a large page to an honest but slow reader is many of them."""

Doorman = Callable[[bytes, Any], tuple[bytes, bool] | None]
"""Sees the first bytes of an HTTP/1.1 connection and ASGI's `client`, before anything is set up for a request. Gives the answer with
which the connection ends, and whether the request was whole; None: the request goes its ordinary way."""

log = structlog.get_logger(__name__)


class Proven(Event):
    """Told by a protocol to its connection: an answer of 200 to 299 was given. Such a connection never has to make room."""


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds of one listener. `_s` are seconds, `_bytes` bytes."""

    connections: int = 1000
    """Open connections in all. Over it: the oldest that never had an answer of 200 to 299 ends; without one the new one is closed at
    once. Both counted."""
    connections_per_peer: int = 256
    """Open connections of one address. Over it likewise, among those of this address."""
    handshake_s: float = 10.0
    """For the TLS handshake. Over it: closed, counted."""
    idle_s: float = 120.0
    """Between requests, and until the first byte of one: above the 90 s for which an API server reuses an idle connection."""
    head_s: float = 15.0
    """For the rest of a request head in HTTP/1.1, once a part of it is there. Over it: closed, counted."""
    streams: int = 250
    """Requests at a time on one HTTP/2 connection, told to the peer. Over it: the connection ends, by the protocol."""
    resets_per_s: float = 100.0
    """HTTP/2 control frames (resets, pings, settings, …) of one connection on average over a few seconds. Over it: GOAWAY."""
    small_frames_per_s: float = 5000.0
    """HTTP/2 frames of requests with hardly any content (header blocks, window updates, small data), likewise. Over it: GOAWAY."""
    send_s: float = 30.0
    """For a peer to take SEND_CHUNK_BYTES. Over it: its connection is cut, counted as a slow reader."""
    linger_s: float = 2.0
    """How long the rest of a request is still taken after an answer that came before its end, so that the answer is not lost."""
    linger_bytes: int = 512 * 1024
    """How much of it. Over either: closed."""
    inbox_bytes: int = 256 * 1024
    """What has arrived of an HTTP/1.1 body and the application has not taken. Over it: the socket is not read on."""
    window_bytes: int = 256 * 1024
    """The same of one HTTP/2 stream, told to the peer. Over it: the connection ends, by the protocol."""
    unread_bytes: int = 64 * 1024 * 1024
    """The same of all streams of the listener together. Over it: the stream that brought it there is reset, counted."""
    head_bytes: int = 32 * 1024
    """A request head in HTTP/1.1. Over it: 431."""
    headers_bytes: int = 64 * 1024
    """A header list in HTTP/2, told to the peer, and the frames it comes in. Over it: the connection ends, by the protocol."""
    request_end_s: float = 30.0
    """How long an application may go on with a request after its connection ended. Over it: cancelled."""
    drain_s: float = 10.0
    """How long requests in flight may go on once the listener stops, or once an answer to another one said that their HTTP/2
    connection ends (401 over the rate of failures). Over it: their connections are cut."""


class ListenerStatistics(Struct, frozen=True, kw_only=True):
    """What one listener has seen since it started. `failures`: what connections and applications raised, by type."""

    name: str
    addresses: tuple[str, ...]
    tls: bool
    draining: bool
    connections: int
    connections_peak: int
    connections_total: int
    refused_full: int
    refused_peer: int
    evicted: int
    slow_heads: int
    accept_errors: int
    handshake_failures: int
    protocol_errors: int
    refused_requests: int
    slow_readers: int
    resets: int
    floods: int
    unread_bytes: int
    unread_resets: int
    requests: int
    bytes_in: int
    bytes_out: int
    failures: dict[str, int]


class ClientGone(OSError):  # noqa: N818 - says what happened, as the runtime's exceptions do
    """Raised in an application that sends on a request whose client has left. No failure of ours."""


@dataclass
class Counters:
    """The listener's counters, shared by its connections."""

    connections_peak: int = 0
    connections_total: int = 0
    refused_full: int = 0
    refused_peer: int = 0
    evicted: int = 0
    slow_heads: int = 0
    accept_errors: int = 0
    handshake_failures: int = 0
    protocol_errors: int = 0
    refused_requests: int = 0
    slow_readers: int = 0
    resets: int = 0
    floods: int = 0
    unread_bytes: int = 0
    unread_resets: int = 0
    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def count_failure(self, error: BaseException, *, of: str, listener: str) -> None:
        """Counts each exception in `error` by type; logs the 1st, 10th, 100th, … of a type: a peer may cause any number.

        The text of the exception is left out, since it may hold what the peer sent.
        """
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                self.count_failure(part, of=of, listener=listener)
            return
        if isinstance(error, ClientGone):
            return
        kind = type(error).__name__
        self.failures[kind] += 1
        count = self.failures[kind]
        if str(count).rstrip("0") == "1":
            log.warning("failed", what=of, listener=listener, type=kind, where=_where(error), count=count)


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace is not None else "?"


@contextmanager
def contained(counters: Counters, *, of: str, listener: str) -> Iterator[None]:
    """Whatever the block raises ends here, counted by type; only cancellation and the like go on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - isolation is the purpose: one connection must not end another
        counters.count_failure(error, of=of, listener=listener)
    except BaseExceptionGroup as group:
        failures, rest = group.split(Exception)
        if failures is not None:
            counters.count_failure(failures, of=of, listener=listener)
        if rest is not None:
            raise rest from None
