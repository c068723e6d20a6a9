"""What the audit listener does with a whole body: has it parsed and stored, and answers once it is durable.

Counterparts: web/ingest.py reads the body; the parser's and the store's actors do the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec
import structlog
import trio

from actors.messages import BatchAnswer, ParseBody, ParsedBatch, RecordBatch, StoreUnavailable
from actors.runtime import UNANSWERED
from web.ingest_answers import UNAVAILABLE, Answer, Sender

__all__ = ["ANSWER_S", "LARGE_BODY_BYTES", "LOG_EVERY_S", "Asked", "AuditSink", "Unusable"]

LARGE_BODY_BYTES: Final = 1 << 20
"""Bodies over this go to a parser of their own, so that the ordinary ones do not wait behind them."""
ANSWER_S: Final = 20.0
"""From the whole body to the answer, parser and store together: an API server gives up 30 s after it began to send."""
LOG_EVERY_S: Final = 1.0
"""At most one line about unusable bodies in so many seconds; what is left out is counted in the next."""

log = structlog.get_logger(__name__)

Unusable = Callable[[str, int, str, str], None]
"""Told of each body that cannot be (wholly) read: its digest in hex, its size in bytes, the peer, and why."""


class Asked(Protocol):
    """What is needed of an actor's ref."""

    async def ask(self, message: Any, *, timeout_s: float) -> Any:
        """The actor's answer."""
        ...


class AuditSink:
    """Has a batch parsed and stored; answers once it is durable."""

    def __init__(
        self, parser: Asked, parser_large: Asked, store: Asked, now: Callable[[], float], unusable: Unusable | None
    ) -> None:
        self._parser = parser
        self._parser_large = parser_large
        self._store = store
        self._now = now
        self._unusable = unusable
        self.count = 0
        self._unlogged = 0
        self._logged_at = float("-inf")

    async def take(self, body: bytes, sent_by: Sender) -> Answer:
        """200 with the store's answer, or 503: with that the sender has to come again, and a repeat changes nothing."""
        peer, sender = sent_by.peer, {"peer": sent_by.peer, "credential": sent_by.credential}
        until = trio.current_time() + ANSWER_S
        parser = self._parser_large if len(body) > LARGE_BODY_BYTES else self._parser
        try:
            parsed: ParsedBatch = await parser.ask(
                ParseBody(body=body, received_at=self._now(), peer=peer), timeout_s=ANSWER_S
            )
            if parsed.error is not None:
                self._report(parsed, len(body), sender)
            left_s = max(0.001, until - trio.current_time())
            answer: BatchAnswer | StoreUnavailable = await self._store.ask(RecordBatch(batch=parsed), timeout_s=left_s)
        except (
            UNANSWERED
        ) as error:  # the batch may be stored all the same: the sender comes again, and it is a duplicate
            log.warning("a batch was not taken", **sender, size=len(body), why=type(error).__name__)
            return UNAVAILABLE
        if isinstance(answer, StoreUnavailable):
            log.warning("a batch was not stored", **sender, size=len(body), why=answer.why)
            return UNAVAILABLE
        found: dict[str, Any] = {
            "events": answer.events,
            "reads": answer.reads,
            "new": answer.new,
            "dropped": answer.dropped,
            "duplicate": answer.duplicate,
        }
        if (error_text := answer.error or parsed.error) is not None:
            found["error"] = error_text
        return Answer(200, msgspec.json.encode(found))

    def _report(self, parsed: ParsedBatch, size: int, sender: dict[str, str]) -> None:
        """Once for each body, by its hash and never by its content."""
        self.count += 1
        if self._unusable is not None:
            self._unusable(parsed.digest.hex(), size, sender["peer"], parsed.error or "")
        if (at := trio.current_time()) - self._logged_at < LOG_EVERY_S:
            self._unlogged += 1
            return
        log.warning("a body is not all events", **sender, size=size, error=parsed.error, unlogged=self._unlogged)
        self._logged_at, self._unlogged = at, 0
