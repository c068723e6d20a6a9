"""The actor that writes down what is known of a live cluster: follows the cluster's changes as the engine does, and saves them.

Options: `kept` (the file), `cluster` (who is asked). Every SAVE_S it asks what changed; at its start, after a gap, and after a save
that failed, for everything. Messages: KeeperQuery.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any, Final

import structlog
import trio
from msgspec import Struct

from actors.cluster.kept import KeptCluster, KeptStatistics
from actors.cluster.records import Record
from actors.messages import ClusterChanges, ClusterSince
from actors.runtime import Actor, ActorCrashed, ActorDead, ActorRef, AskTimeout, MailboxFull

log = structlog.get_logger("protector.cluster")

SAVE_S: Final = 1.0
"""How often changes are saved."""
SEEN_S: Final = 30.0
"""How often it is noted that what is kept still stands, while nothing changes."""
PAUSE_S: Final = 0.05
"""Between two parts of everything, so that the disk is left to the store."""
ASK_S: Final = 10.0


class KeeperQuery(Struct, frozen=True):
    """Answer: KeptStatistics."""


class KeeperActor(Actor):
    """The shell around a KeptCluster."""

    def __init__(self, kept: KeptCluster, cluster: ActorRef) -> None:
        super().__init__()
        self._kept = kept
        self._cluster = cluster
        self._at = (0, 0)
        self._saved_at = 0.0

    async def on_start(self) -> None:
        """Save, beside the messages."""
        self.context.start_soon(self._keep)

    async def on_receive(self, message: Any) -> Any:
        """Answer what is asked."""
        if isinstance(message, KeeperQuery):
            statistics: KeptStatistics = self._kept.statistics()
            return statistics
        return await super().on_receive(message)

    async def _keep(self) -> None:
        while True:
            pause_s = SAVE_S
            try:
                changes: ClusterChanges = await self._cluster.ask(ClusterSince(*self._at), timeout_s=ASK_S)
            except (ActorCrashed, ActorDead, AskTimeout, MailboxFull) as error:
                log.debug("the cluster's actor is away", reason=type(error).__name__)
            else:
                await self._save(changes)
                if changes.more:
                    pause_s = PAUSE_S
            await trio.sleep(pause_s)

    async def _save(self, changes: ClusterChanges) -> None:
        now = self.context.clock.now()
        begins = changes.full
        if begins and not changes.synced and not changes.more and not changes.records:
            return  # nothing was read yet: what is kept may be all there is
        if not (changes.records or changes.forgotten or begins or now - self._saved_at >= SEEN_S):
            return
        groups = list(_by_key(changes.records))
        saved = await trio.to_thread.run_sync(
            lambda: self._kept.save(groups, changes.forgotten, now, only=begins), abandon_on_cancel=False
        )
        self._at = (changes.epoch, changes.version) if saved else (0, 0)
        self._saved_at = now


def _by_key(records: Iterable[Record]) -> Iterable[list[Record]]:
    """The versions of a key come one after another."""
    for _, group in groupby(records, key=lambda record: record.key):
        yield list(group)
