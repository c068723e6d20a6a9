"""The ingest endpoints: POST audit batches; the doors of behavior_ingest.py too. Plain ASGI, no framework.

Quart's limits do not hold for a body that is read in parts, and its reader has no backpressure; so the body is read by a bounded
reader of our own, driven by `receive()`. The order of the answers is the contract: 404, 405, 503, 401, 429, 413, 408, 200.
Nothing that a client can send is answered with 500, 502 or a redirect. Counterparts: web/guard.py judges, web/listener serves,
the parser's and the store's actors do the work.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Protocol

import trio
from msgspec import Struct

from web.audit_sink import Asked, AuditSink, Unusable
from web.bodies import GZIP, Body
from web.certificates import ClientCertificates
from web.doorman import Doorman
from web.guard import Admitted, Guard, Unauthorized, peer_of
from web.ingest_answers import (
    DRAINING,
    FULL,
    NOT_FOUND,
    NOT_POST,
    OVER_RATE,
    STALE_CERTIFICATE,
    TOO_LARGE,
    TOO_SLOW,
    UNAUTHORIZED,
    UNAUTHORIZED_CLOSE,
    Answer,
    Sender,
)

__all__ = [
    "AUDIT_PATHS",
    "BEHAVIOR_PATHS",
    "Ingest",
    "IngestSettings",
    "IngestStatistics",
    "make_audit_app",
]

AUDIT_PATHS: Final = frozenset({"/", "/audit"})
BEHAVIOR_PATHS: Final = frozenset({"/", "/behavior"})

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Take = Callable[[bytes, Sender], Awaitable[Answer]]


class IngestSettings(Protocol):
    """What is needed of actors.config.Settings."""

    @property
    def max_body_bytes(self) -> int:
        """Largest body."""
        ...

    @property
    def body_timeout_s(self) -> float:
        """How long a body may take to arrive."""
        ...


class IngestStatistics(Struct, frozen=True, kw_only=True):
    """Requests so far by status; `left`: clients that were gone before there was an answer; `unusable`: bodies with an error;
    `taken_bytes`: of whole bodies, as they came; `bombs`: compressed ones that were over the cap only when they unfolded."""

    answers: dict[int, int]
    left: int
    unusable: int
    in_flight: int
    taken_bytes: int
    bombs: int = 0


class Ingest:
    """The ASGI application of one ingest listener. `take(body, sender)` answers a whole body."""

    def __init__(
        self,
        paths: frozenset[str],
        guard: Guard,
        settings: IngestSettings,
        draining: Callable[[], bool],
        take: Take,
        unusable: Callable[[], int],
        certificates: ClientCertificates | None = None,
    ) -> None:
        self._paths = paths
        self._guard = guard
        self._settings = settings
        self._draining = draining
        self._take = take
        self._answers: Counter[int] = Counter()
        self._left = self._in_flight = self._taken_bytes = self._bombs = 0
        self._unusable = unusable
        self._certificates = certificates
        self.doorman = Doorman(paths, guard, draining, self._count)
        """For the listener: refuses at the door what `__call__` would refuse in the same way."""

    def _count(self, status: int) -> None:
        self._answers[status] += 1

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """ASGI 3, http only: there is nothing to start or stop here."""
        if scope["type"] != "http":
            raise TypeError(f"no {scope['type']} here")
        self._in_flight += 1
        try:
            answer = await self._answer(scope, receive)
            if answer is None:
                self._left += 1
                return
            self._answers[answer.status] += 1
            length = str(len(answer.body)).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", length), *answer.headers]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body, "more_body": False})
        finally:
            self._in_flight -= 1

    def statistics(self) -> IngestStatistics:
        """Counts since the start."""
        return IngestStatistics(
            answers=dict(self._answers),
            left=self._left,
            unusable=self._unusable(),
            in_flight=self._in_flight,
            taken_bytes=self._taken_bytes,
            bombs=self._bombs,
        )

    async def _answer(self, scope: Any, receive: Receive) -> Answer | None:
        """The answer in the order of the contract; None when the client has left."""
        if scope["path"] not in self._paths:
            return NOT_FOUND
        if scope["method"] != "POST":
            return NOT_POST
        if self._draining():
            return DRAINING
        if self._guard.bodies.is_full:
            return FULL
        peer = peer_of(scope["client"])
        certificate = None if self._certificates is None else self._certificates.check(scope["state"])
        verdict = self._guard.admit(_all(scope["headers"], b"authorization"), peer, trio.current_time(), certificate)
        if isinstance(verdict, Unauthorized):
            if self._certificates is not None and self._certificates.is_stale(scope["state"]):
                return STALE_CERTIFICATE
            return UNAUTHORIZED_CLOSE if verdict.close else UNAUTHORIZED
        if not isinstance(verdict, Admitted):
            return OVER_RATE
        if verdict.wait_s > 0.0:
            await trio.sleep(verdict.wait_s)
        return await self._read_and_take(scope, receive, Sender(peer, verdict.credential, scope["path"]))

    async def _read_and_take(self, scope: Any, receive: Receive, sender: Sender) -> Answer | None:
        body_max = self._settings.max_body_bytes
        if any(_exceeds(value, body_max) for value in _all(scope["headers"], b"content-length")):
            return TOO_LARGE
        body = Body(self._guard.bodies, body_max)
        is_gzip = any(value.strip().lower() in GZIP for value in _all(scope["headers"], b"content-encoding"))
        try:
            with trio.move_on_after(self._settings.body_timeout_s) as bound:
                refused = await body.read(receive)
                if is_gzip and refused is None and not body.is_abandoned:
                    refused = await body.unfold()
                    self._bombs += body.is_bomb
                if body.is_abandoned or refused is not None:
                    return refused
            if bound.cancelled_caught:
                return TOO_SLOW
            self._taken_bytes += body.count
            return await self._take(body.whole(), sender)
        finally:
            body.release()


def make_audit_app(
    parser: Asked,
    parser_large: Asked,
    store: Asked,
    guard: Guard,
    settings: IngestSettings,
    draining: Callable[[], bool],
    *,
    now: Callable[[], float] = time.time,
    unusable: Unusable | None = None,
    certificates: ClientCertificates | None = None,
) -> Ingest:
    """The audit listener's application. `now`: epoch seconds at which a batch was received; `unusable`: see Unusable.

    `certificates`: which client certificates count in the place of a token; None: none does.
    """
    sink = AuditSink(parser, parser_large, store, now, unusable)
    return Ingest(AUDIT_PATHS, guard, settings, draining, sink.take, lambda: sink.count, certificates)


def _all(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _exceeds(content_length: bytes, bytes_max: int) -> bool:
    """Whether a Content-Length is over the cap; the number may have any length (the protocol layer has checked its form)."""
    digits = content_length.strip().lstrip(b"0")
    return digits.isdigit() and (len(digits) > 18 or int(digits) > bytes_max)
