"""A sender that behaves as kube-apiserver's audit webhook backend does in batch mode.

Events go into a bounded buffer, are cut into EventList batches by number and time, and each batch is posted by a task of its
own: concurrently, so newer batches overtake one that is being retried, and a retry is the same body byte for byte.
Runs on Trio, on its virtual clock too; all chance comes from the `random.Random` that is handed in.
Counterpart: the audit listener in `web`. Rules and defaults: kubernetes/apiserver plugin/pkg/audit/buffered and webhook,
pkg/util/webhook/webhook.go, pkg/server/options/audit.go; client-go rest/with_retry.go, util/flowcontrol.
Unlike Go's client it follows no redirect: one counts as a failure.
"""

from __future__ import annotations

import random
import re
import ssl
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import httpx
import trio
from msgspec import Struct

from actors.testing.events import AuditEvent, encode_batch

__all__ = ["Attempt", "SenderOptions", "SenderStatistics", "SimulatedApiServer", "webhook_transport"]

BUFFER_EVENTS: Final = 10_000
"""--audit-webhook-batch-buffer-size: when it is full, new events are dropped, and the old ones kept."""
BATCH_EVENTS_MAX: Final = 400
"""--audit-webhook-batch-max-size: by number only, never by bytes."""
BATCH_WAIT_S: Final = 30.0
"""--audit-webhook-batch-max-wait."""
THROTTLE_PER_S: Final = 10.0
"""--audit-webhook-batch-throttle-qps: batches a second; while it waits, the buffer fills."""
THROTTLE_BURST: Final = 15
"""--audit-webhook-batch-throttle-burst."""
INITIAL_BACKOFF_S: Final = 10.0
"""--audit-webhook-initial-backoff."""
BACKOFF_FACTOR: Final = 1.5
"""By how much each wait is longer than the one before (webhook.go, DefaultRetryBackoffWithInitialDelay)."""
BACKOFF_JITTER: Final = 0.2
"""Each wait is multiplied by 1.0 to 1.2, by chance."""
ATTEMPTS_MAX: Final = 5
"""After so many failures a batch is lost for good."""
REQUEST_TIMEOUT_S: Final = 30.0
"""For one attempt as a whole, reading the answer included; also what `?timeout=` says."""
INNER_RETRIES_MAX: Final = 10
"""How often client-go asks again inside one attempt because of Retry-After (with_retry.go)."""
ACCEPTED_MAX: Final = 206
"""200 to 206 are success (client-go rest/request.go, transformResponse)."""
IN_FLIGHT_MAX: Final = 10_000
"""Batches on their way at a time. The real one knows no bound; beyond this one a batch counts as lost."""
ANSWER_BYTES_MAX: Final = 64 << 10
"""How much of an answer's body is kept for the observer; the rest is read and forgotten."""

HEADERS: Final = {
    "Accept": "application/json, */*",
    "Accept-Encoding": "gzip",
    "Content-Type": "application/json",
    "User-Agent": "Go-http-client/2.0",
}
"""Besides Authorization and Content-Length, all that is sent."""

_INTEGER = re.compile(r"[+-]?\d{1,9}")


class SenderOptions(Struct, frozen=True):
    """The flags of kube-apiserver that decide about batches. `_s`: seconds."""

    buffer_events: int = BUFFER_EVENTS
    batch_events_max: int = BATCH_EVENTS_MAX
    batch_wait_s: float = BATCH_WAIT_S
    throttle_per_s: float = THROTTLE_PER_S
    throttle_burst: int = THROTTLE_BURST
    initial_backoff_s: float = INITIAL_BACKOFF_S


class SenderStatistics(Struct, frozen=True):
    """What became of the events and batches so far."""

    events: int
    """Taken into the buffer."""
    dropped: int
    """Refused because the buffer was full."""
    buffered: int
    batches: int
    """Cut, or handed in whole."""
    accepted: int
    """Batches answered 200 to 206."""
    lost: int
    lost_events: int
    attempts: int
    inner_retries: int
    in_flight: int
    in_flight_high: int


class Attempt(Struct, frozen=True):
    """One attempt to deliver a batch, told to the observer. `batch` and `attempt` count from 1."""

    batch: int
    attempt: int
    events: int
    status: int | None
    """Of the last answer; None where there was none."""
    answer: bytes
    error: str | None
    """Why the attempt failed, or None."""
    retry_in_s: float | None
    """When the same body comes again; None when it was accepted or is lost."""


class _TokenBucket:
    """golang.org/x/time/rate as client-go uses it: full at first, and a caller may run into debt and wait it off."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s, self._burst = per_s, burst
        self._tokens = float(burst)
        self._at: float | None = None

    def reserve(self, now: float) -> float:
        """How many seconds the caller has to wait before it goes on."""
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self._per_s)


def webhook_transport(ca_pem: str | None) -> httpx.AsyncHTTPTransport:
    """One HTTP/2 connection by ALPN over TLS that trusts this CA alone (None: the system's), as one API server holds it."""
    context = ssl.create_default_context(cadata=ca_pem) if ca_pem else ssl.create_default_context()
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=90.0)
    return httpx.AsyncHTTPTransport(verify=context, http1=True, http2=True, limits=limits)


class SimulatedApiServer:
    """The audit webhook backend of one API server.

    `url`: where to post; its own query is dropped, as client-go does. `observe` is called after each attempt.
    Resource handling: `run` opens and closes the transport; it ends after `close`, when every batch is accepted or lost.
    Error handling: every failure of the network or the receiver is an attempt that failed; anything else is raised by `run`.
    """

    def __init__(
        self,
        url: str,
        token: str,
        transport: httpx.AsyncBaseTransport,
        *,
        options: SenderOptions | None = None,
        chance: random.Random | None = None,
        observe: Callable[[Attempt], None] | None = None,
    ) -> None:
        self.options = options or SenderOptions()
        parts = urlsplit(url)
        self._url = urlunsplit(
            (parts.scheme, parts.netloc, parts.path.rstrip("/") or "/", f"timeout={REQUEST_TIMEOUT_S:.0f}s", "")
        )
        self._client = httpx.AsyncClient(transport=transport, timeout=None, trust_env=False)  # noqa: S113 - `_attempt` bounds it as a whole
        self._client.headers = httpx.Headers({**HEADERS, "Authorization": f"Bearer {token}"})
        for name in ("connection", "accept-language"):
            self._client.headers.pop(name, None)
        self._chance = chance or random.Random()  # noqa: S311 - jitter, no secret
        self._observe = observe or _ignore
        self._in, self._out = trio.open_memory_channel[AuditEvent](self.options.buffer_events)
        self._bucket = _TokenBucket(self.options.throttle_per_s, self.options.throttle_burst)
        self._events = self._dropped = self._batches = self._accepted = self._lost = self._lost_events = 0
        self._attempts = self._inner_retries = self._in_flight = self._in_flight_high = 0

    def submit(self, events: Iterable[AuditEvent]) -> int:
        """Puts events into the buffer, as requests do while they run. Returns how many found room; the rest is dropped."""
        taken = 0
        for event in events:
            try:
                self._in.send_nowait(event)
            except trio.WouldBlock:
                self._dropped += 1
            else:
                taken += 1
        self._events += taken
        return taken

    def close(self) -> None:
        """No more events: `run` sends what is buffered, waits for the senders, and ends."""
        self._in.close()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Cuts and sends batches until `close`."""
        async with self._client, trio.open_nursery() as nursery:
            task_status.started()
            while True:
                events, more = await self._collect()
                if events:
                    await trio.sleep(self._bucket.reserve(trio.current_time()))
                    self._start(nursery, events)
                if not more:
                    break

    async def _collect(self) -> tuple[list[AuditEvent], bool]:
        """The next batch and whether more can come. The wait runs from the last cut, not from the first event."""
        events: list[AuditEvent] = []
        with trio.move_on_after(self.options.batch_wait_s):
            while len(events) < self.options.batch_events_max:
                try:
                    events.append(await self._out.receive())
                except trio.EndOfChannel:
                    return events, False
        return events, True

    def _start(self, nursery: trio.Nursery, events: list[AuditEvent]) -> None:
        if self._in_flight >= IN_FLIGHT_MAX:
            self._batches += 1
            self._lose(len(events))
            return
        nursery.start_soon(self.deliver, encode_batch(events), len(events))

    async def deliver(self, body: bytes, events: int) -> bool:
        """Posts one batch, with every retry, while `run` is running. Returns whether it was accepted at last."""
        self._batches += 1
        batch = self._batches
        self._in_flight += 1
        self._in_flight_high = max(self._in_flight_high, self._in_flight)
        try:
            return await self._deliver(batch, body, events)
        finally:
            self._in_flight -= 1

    async def _deliver(self, batch: int, body: bytes, events: int) -> bool:
        backoff_s = self.options.initial_backoff_s
        for attempt in range(1, ATTEMPTS_MAX + 1):
            self._attempts += 1
            status, answer, error = await self._attempt(body)
            wait_s = None
            if error is not None and attempt < ATTEMPTS_MAX:
                wait_s = backoff_s * (1 + BACKOFF_JITTER * self._chance.random())
                backoff_s *= BACKOFF_FACTOR
            if error is None:
                self._accepted += 1
            elif wait_s is None:
                self._lose(events)
            self._observe(Attempt(batch, attempt, events, status, answer, error, wait_s))
            if wait_s is None:
                return error is None
            await trio.sleep(wait_s)
        raise AssertionError("the last attempt returns")

    def _lose(self, events: int) -> None:
        self._lost += 1
        self._lost_events += events

    async def _attempt(self, body: bytes) -> tuple[int | None, bytes, str | None]:
        """One outer attempt: its last status and answer, and why it failed (None: accepted)."""
        status: int | None = None
        answer = b""
        error = f"no answer within {REQUEST_TIMEOUT_S:.0f} s"
        with trio.move_on_after(REQUEST_TIMEOUT_S):
            for inner in range(INNER_RETRIES_MAX + 1):
                try:
                    status, answer, retry_after = await self._post(body)
                except httpx.HTTPError as failure:
                    return None, b"", f"{type(failure).__name__}: {failure}"
                if 200 <= status <= ACCEPTED_MAX:
                    return status, answer, None
                error = f"answered {status}"
                if retry_after is None or not (status == 429 or status >= 500) or inner == INNER_RETRIES_MAX:
                    return status, answer, error
                self._inner_retries += 1
                await trio.sleep(retry_after)
        return status, answer, error

    async def _post(self, body: bytes) -> tuple[int, bytes, int | None]:
        """Status, the beginning of the answer, and Retry-After where it is an integer (a date is ignored, as Go's Atoi does)."""
        kept = bytearray()
        async with self._client.stream("POST", self._url, content=body) as response:
            async for chunk in response.aiter_bytes():
                kept += chunk[: ANSWER_BYTES_MAX - len(kept)]
        text = response.headers.get("Retry-After", "")
        retry_after = max(0, int(text)) if _INTEGER.fullmatch(text) else None
        return response.status_code, bytes(kept), retry_after

    def statistics(self) -> SenderStatistics:
        """Counters since the start, and what is under way."""
        return SenderStatistics(
            events=self._events,
            dropped=self._dropped,
            buffered=self._in.statistics().current_buffer_used,
            batches=self._batches,
            accepted=self._accepted,
            lost=self._lost,
            lost_events=self._lost_events,
            attempts=self._attempts,
            inner_retries=self._inner_retries,
            in_flight=self._in_flight,
            in_flight_high=self._in_flight_high,
        )


def _ignore(_attempt: Any) -> None:
    """Nobody observes."""
