"""The announcer's actor: flips to the flip log, each once, also over restarts.

Messages: Announce (from the engine). Asks the store Announced at its start, and FlipsAnnounced after writing: a crash in between,
or a line that could not be written, says a line twice rather than never. At its start it lets the engine send everything, so
nothing said to an earlier incarnation is lost. Options: `write` takes one line (without its end) and answers whether it could be
written; `on_event` gets each flip with its line, at once: whoever does not read the flip log must not hold up who listens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

import trio

from actors.engine.announce import Announcements, AnnouncerStatistics
from actors.messages import Announce, AnnounceAgain, Announced, AnnouncedKeys, Flip, FlipsAnnounced
from actors.runtime import (
    UNANSWERED,
    Actor,
    ActorDead,
    ActorRef,
    MailboxFull,
    MailboxPolicy,
    Overflow,
)

ASK_TIMEOUT_S: Final = 10.0
"""How long the store may take to answer."""
RETRY_S: Final = 1.0
"""After a failed question to a neighbour."""

UNWRITTEN_MAX: Final = 10_000
"""Lines that wait for a reader of the flip log. Over it new ones are not written, counted; the next start says what is lit then."""
STOP_WITHIN_S: Final = 2.0
"""How long a stop waits for lines that are not written yet."""

Write = Callable[[str], Awaitable[bool]]
OnEvent = Callable[[Flip, str], None]


class AnnouncerActor(Actor):
    """The shell around Announcements."""

    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=1000, overflow=Overflow.REJECT)

    def __init__(
        self,
        store_ref: ActorRef,
        engine_ref: ActorRef,
        write: Write,
        cluster_name: str,
        on_event: OnEvent | None = None,
    ) -> None:
        super().__init__()
        self._store = store_ref
        self._engine = engine_ref
        self._write = write
        self._on_event = on_event
        self._announcements = Announcements(cluster_name)
        self._loaded = False
        self._unwritten: deque[tuple[list[str], FlipsAnnounced]] = deque()
        self._lines = 0
        """Lines in it."""
        self._lost = 0
        """Lines that could not be written."""
        self._idle = trio.Event()
        self._idle.set()

    async def on_start(self) -> None:
        """Whatever was told to an earlier incarnation and not said: the engine says everything again."""
        if self.context.incarnation > 1:
            try:
                self._engine.tell(AnnounceAgain())
            except (MailboxFull, ActorDead):
                self.context.after(RETRY_S, AnnounceAgain())

    async def on_receive(self, message: Any) -> Any:
        """Announce, or its own reminder to ask the engine; anything else is a bug of ours."""
        if isinstance(message, AnnounceAgain):
            await self._engine.send(message)
            return
        if not isinstance(message, Announce):
            raise TypeError(f"the announcer takes no {type(message).__name__}")
        if not self._loaded:
            await self._load()
        flips, announced = self._announcements.take(message, self.context.clock.now())
        lines = [self._announcements.line(flip) for flip in flips]
        if self._on_event is not None:
            for flip, line in zip(flips, lines, strict=True):
                self._on_event(flip, line)
        if lines or announced.lit or announced.dark:
            self._put(lines, announced)

    def _put(self, lines: list[str], announced: FlipsAnnounced) -> None:
        if self._lines + len(lines) > UNWRITTEN_MAX:
            self._lost += len(lines)
            return
        self._lines += len(lines)
        self._unwritten.append((lines, announced))
        if self._idle.is_set():
            self._idle = trio.Event()
            self.context.start_soon(self._write_all)

    async def _write_all(self) -> None:
        """Writes what waits, and lets the store keep what was said."""
        while self._unwritten:
            lines, announced = self._unwritten[0]
            failed = 0
            for line in lines:
                failed += not await self._write(line)
            self._unwritten.popleft()
            self._lines -= len(lines)
            self._lost += failed
            if not failed and (announced.lit or announced.dark):
                await self._keep(announced)
        self._idle.set()

    async def on_stop(self) -> None:
        """Lets what waits be written, within STOP_WITHIN_S."""
        with trio.move_on_after(STOP_WITHIN_S):
            await self._idle.wait()

    async def _load(self) -> None:
        """Asks the store until it says what was announced. Meanwhile the mailbox fills, and the engine sends everything later."""
        while True:
            try:
                answer: AnnouncedKeys = await self._store.ask(Announced(), timeout_s=ASK_TIMEOUT_S)
            except UNANSWERED:
                await trio.sleep(RETRY_S)
                continue
            self._announcements.remember(answer.keys)
            self._loaded = True
            return

    async def _keep(self, announced: FlipsAnnounced) -> None:
        """Asks rather than tells: a stop overtakes what is queued, and what the store has taken it finishes."""
        try:
            await self._store.ask(announced, timeout_s=ASK_TIMEOUT_S)
        except UNANSWERED:
            # Said, but perhaps not kept: after the next start it is said once more rather than never.
            return

    def statistics(self) -> AnnouncerStatistics:
        """Counts, for pages and metrics."""
        return self._announcements.statistics(waiting=self._lines, lost=self._lost)
