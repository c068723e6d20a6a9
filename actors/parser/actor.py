"""The parser's actor: answers ParseBody with ParsedBatch, and never holds up the loop. Counterpart: the edge that reads bodies.

Two of them run: one for ordinary bodies, one for those over WHOLE_BYTES_MAX, so that a large body never waits in front of a small one.
`heartbeat` is told what came back of its own requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Final

import trio
from msgspec import Struct

from actors.messages import HeartbeatsReturned, ParseBody, ParsedBatch
from actors.parser.core import parse_body, parse_whole
from actors.parser.memo import MemoStatistics
from actors.parser.names import memo_statistics
from actors.parser.reason import named_grants
from actors.parser.tally import NO_LAGS
from actors.runtime import Actor, ActorDead, ActorRef, MailboxFull, MailboxPolicy, Overflow

QUEUE_MAX: Final = 64
"""Most bodies that wait; beyond it the asker is refused at once (the sender gets 503 and comes again)."""
LOOP_BYTES_MAX: Final = 64 * 1024
"""Longest body that is split on the loop; longer ones are split in a thread, one at a time. At the worst takes 25 ms."""


LOOP_LINES_MAX: Final = 1_000
"""Most lines of a body that is split on the loop: each can be tried as a document."""


class ParserStatistics(Struct, frozen=True):
    """What this incarnation has parsed; `memos` are the process's."""

    bodies: int
    in_thread: int
    """Bodies that were split in a thread."""
    events: int
    reads: int
    errors: int
    """Bodies in which not every item could be found."""
    memos: dict[str, MemoStatistics]


class ParserActor(Actor):
    """Answers ParseBody, whatever the body is."""

    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=QUEUE_MAX, overflow=Overflow.REJECT)

    def __init__(self, heartbeat: ActorRef | None = None, lags_s: Mapping[str, float] = NO_LAGS) -> None:
        """`lags_s`: how much later the logs of managed clusters may come, by their names (actors.evidence.LOGS)."""
        super().__init__()
        self._heartbeat = heartbeat
        self._lags_s = lags_s
        self._threads = trio.CapacityLimiter(1)
        self._bodies = self._in_thread = self._events = self._reads = self._errors = 0

    async def on_receive(self, message: Any) -> Any:
        """ParseBody -> ParsedBatch."""
        if isinstance(message, ParseBody):
            return await self._parse(message)
        return await super().on_receive(message)

    async def _parse(self, message: ParseBody) -> ParsedBatch:
        body, received_at, peer = message.body, message.received_at, message.peer
        batch = parse_whole(body, received_at, peer)
        if batch is None and len(body) <= LOOP_BYTES_MAX and body.count(b"\n") <= LOOP_LINES_MAX:
            batch = parse_body(body, received_at, peer, as_lines=message.as_lines, lags_s=self._lags_s)
        elif batch is None:
            self._in_thread += 1
            # Abandoned when the actor is stopped: parsing changes nothing, and the limiter is held until the thread is done.
            batch = await trio.to_thread.run_sync(
                partial(parse_body, body, received_at, peer, as_lines=message.as_lines, lags_s=self._lags_s),
                limiter=self._threads,
                abandon_on_cancel=True,
            )
        if batch.heartbeats and self._heartbeat is not None:
            with suppress(MailboxFull, ActorDead):  # the next one will do
                self._heartbeat.tell(HeartbeatsReturned(batch.heartbeats, received_at, peer))
        self._bodies += 1
        self._events += batch.events
        self._reads += len(batch.reads) - sum([read.ends_only for read in batch.reads])
        self._errors += batch.error is not None
        return batch

    def statistics(self) -> ParserStatistics:
        """What was parsed so far."""
        memos = memo_statistics() | {"reasons": named_grants.statistics()}
        return ParserStatistics(self._bodies, self._in_thread, self._events, self._reads, self._errors, memos)
