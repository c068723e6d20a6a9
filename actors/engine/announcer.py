"""The announcer's actor: flips to the flip log, each once, also over restarts.

Messages: Announce (from the engine). Asks the store Announced at its start, tells it FlipsAnnounced after writing: a crash in
between says a line twice rather than never. At its start it lets the engine send everything, so nothing said to an earlier
incarnation is lost. Options: `write` takes one line (without its end), `on_event` gets each flip with its line.
"""

from __future__ import annotations

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

Write = Callable[[str], Awaitable[None]]
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

    async def on_start(self) -> None:
        """Whatever was told to an earlier incarnation and not said: the engine says everything again."""
        if self.context.incarnation > 1:
            try:
                self._engine.tell(AnnounceAgain())
            except (MailboxFull, ActorDead):
                self.context.after(RETRY_S, AnnounceAgain())

    async def on_receive(self, message: Any) -> Any:
        """Announce; anything else is a bug of ours."""
        if isinstance(message, AnnounceAgain):
            await self._engine.send(message)
            return
        if not isinstance(message, Announce):
            raise TypeError(f"the announcer takes no {type(message).__name__}")
        if not self._loaded:
            await self._load()
        flips, announced = self._announcements.take(message, self.context.clock.now())
        for flip in flips:
            line = self._announcements.line(flip)
            await self._write(line)
            if self._on_event is not None:
                self._on_event(flip, line)
        if announced.lit or announced.dark:
            await self._keep(announced)

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
        return self._announcements.statistics()
