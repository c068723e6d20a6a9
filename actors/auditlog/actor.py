"""Follows the audit log's file: hands whole lines to the parser, the batch with its place to the store, and goes on once it is durable.

Options: the path. State: the place, which is the store's note and comes back from there with each incarnation.
A batch that is not answered, or refused, is handed on again as it was, for ever; its digest is of its place, so that it counts once.
Messages: none. Counterparts: reader.py, the parser's and the store's actors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import structlog
import trio
from msgspec import Struct
from msgspec.structs import replace

from actors.auditlog.place import Place, decode_place, digest_of, encode_place
from actors.auditlog.reader import LogReader, Piece
from actors.messages import BatchAnswer, Note, NoteOf, ParseBody, ParsedBatch, RecordBatch, StoreUnavailable
from actors.runtime import UNANSWERED, Actor, MailboxPolicy

log = structlog.get_logger("protector.auditlog")

POLL_S: Final = 0.25
"""How often it is looked whether there is something new."""
RETRY_S: Final = 0.5
"""How long what was refused or not answered waits."""
ANSWER_S: Final = 30.0
"""How long the parser and the store may take for one batch."""
PEER: Final = "audit-log"
"""The sender's name in the status."""


class Asks(Protocol):
    """What is needed of an actor's ref."""

    async def ask(self, message: Any, *, timeout_s: float) -> Any:
        """The actor's answer."""
        ...


class AuditLogStatistics(Struct, frozen=True):
    """Counts of this incarnation. `behind_bytes`: not yet read of the file that is open; `trouble`: why nothing can be read now."""

    batches: int
    bytes: int
    retries: int
    rotations: int
    truncations: int
    gaps: int
    """Files that were gone before they were read to the end: lines may be missing."""
    damaged: int
    """Compressed parts that were cut short."""
    behind_bytes: int | None
    trouble: str | None


class AuditLogActor(Actor):
    """One file."""

    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=16)

    def __init__(self, path: Path, parser: Asks, store: Asks) -> None:
        super().__init__()
        self._path = path
        self._parser = parser
        self._store = store
        self._note = f"audit-log {path}"
        self._reader = LogReader(path)
        self._threads = trio.CapacityLimiter(1)
        self._batches = self._bytes = self._retries = 0
        self._trouble: str | None = None

    async def on_start(self) -> None:
        """Begin to follow."""
        self.context.start_soon(self._follow)

    async def _follow(self) -> None:
        try:
            place = await self._where()
            while True:
                piece = await self._next(place)
                if piece is None:
                    await trio.sleep(POLL_S)
                    continue
                await self._hand_on(piece)
                place = piece.after
                self._reader.took(place)
        finally:
            self._reader.close()

    async def _where(self) -> Place:
        """The place as of the last commit."""
        while True:
            try:
                found = await self._store.ask(NoteOf(self._note), timeout_s=ANSWER_S)
            except UNANSWERED:
                found = StoreUnavailable("not answered")
            if not isinstance(found, StoreUnavailable):
                return decode_place(found)
            await trio.sleep(RETRY_S)

    async def _next(self, place: Place) -> Piece | None:
        try:
            # Not abandoned: the reader is one thread's at a time, and a piece is read in some milliseconds.
            piece = await trio.to_thread.run_sync(self._reader.read, place, limiter=self._threads)
        except OSError as error:  # no folder, no right to read, a disk that fails: it may be there later
            trouble = f"{self._path}: {error.strerror or type(error).__name__}"
            if trouble != self._trouble:
                log.warning("the audit log cannot be read", why=trouble)
            self._trouble = trouble
            return None
        self._trouble = None
        return piece

    async def _hand_on(self, piece: Piece) -> None:
        """Until it is durable."""
        while True:
            try:
                batch = await self._batch_of(piece)
                answer: BatchAnswer | StoreUnavailable = await self._store.ask(RecordBatch(batch), timeout_s=ANSWER_S)
            except UNANSWERED as error:
                answer = StoreUnavailable(type(error).__name__)
            if isinstance(answer, BatchAnswer):
                self._batches += 1
                self._bytes += piece.after.offset - piece.before.offset
                return
            if not self._retries:
                log.warning("a part of the audit log was not taken; trying again", why=answer.why)
            self._retries += 1
            await trio.sleep(RETRY_S)

    async def _batch_of(self, piece: Piece) -> ParsedBatch:
        digest, note = digest_of(piece.before, piece.data), Note(self._note, encode_place(piece.after))
        received_at = self.context.clock.now()
        if piece.oversized:
            return ParsedBatch(digest, received_at, 1, (), {"oversized": 1}, peer=PEER, note=note)
        body = ParseBody(piece.data, received_at, PEER, as_lines=True)
        parsed: ParsedBatch = await self._parser.ask(body, timeout_s=ANSWER_S)
        if parsed.error is not None:
            log.warning("a part of the audit log is not all events", size=len(piece.data), error=parsed.error)
        return replace(parsed, digest=digest, note=note)

    def statistics(self) -> AuditLogStatistics:
        """Counts so far."""
        found = self._reader.statistics()
        return AuditLogStatistics(
            batches=self._batches,
            bytes=self._bytes,
            retries=self._retries,
            rotations=found.rotations,
            truncations=found.truncations,
            gaps=found.gaps,
            damaged=found.damaged,
            behind_bytes=found.behind_bytes,
            trouble=self._trouble,
        )
