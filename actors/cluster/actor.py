"""The cluster's actor: holds the model, answers for it, and tells the router and the engine when it moved.

Options: `model` (outlives the actor: what a crash interrupts is not lost), `snapshots` (read and validated before the tree
started; none: the cluster is unknown and never in sync), `router` and `engine` (who is told), `kept` (a live cluster as an
earlier process knew it).
Emits: PodsChanged (router), ClusterMoved (engine); both say only that there is something to ask for.
Messages: PodsOf, PodsNamed, ClusterSince, ClusterStatusQuery (asked); ListBegun, ObjectsMoved, ListEnded, SourceHeard (of a
source that watches: `feeds` says how its kinds stand, and outlives the actor as well).
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec
import structlog
import trio
from msgspec import Struct

from actors.cluster.feeds import Feeds
from actors.cluster.kept import KeptCluster
from actors.cluster.keys import identity
from actors.cluster.model import ClusterModel
from actors.cluster.queries import ClusterStatus, ClusterStatusQuery, ListBegun, ListEnded, ObjectsMoved, SourceHeard
from actors.cluster.raw import Snapshot
from actors.evidence import Account
from actors.messages import ClusterMoved, ClusterSince, FoundPods, PodsChanged, PodsNamed, PodsOf
from actors.runtime import Actor, ActorDead, ActorRef, MailboxFull, MailboxPolicy, Overflow

log = structlog.get_logger("protector.cluster")

TICK_S: Final = 5.0
"""How often what has been gone for long enough is forgotten, and an announcement that found no room is made again."""


class _Tick(Struct, frozen=True):
    """To itself, every TICK_S."""


class ClusterActor(Actor):
    """The shell around ClusterModel."""

    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=10_000, overflow=Overflow.WAIT)

    def __init__(
        self,
        model: ClusterModel,
        snapshots: tuple[Snapshot, ...],
        router: ActorRef,
        engine: ActorRef,
        feeds: Feeds | None = None,
        kept: KeptCluster | None = None,
    ) -> None:
        super().__init__()
        self._model = model
        self._feeds = feeds or Feeds()
        self._kept = kept
        self._snapshots = snapshots
        self._router = router
        self._engine = engine
        self._changed: set[Account] = set()
        """Accounts whose pods changed and whom the router has not been told of; bounded by the accounts there are."""
        self._told_version = (0, 0)
        self._told_current = True
        """Whether the engine knows that the source is current; while it is not, no read is called unexplained."""

    async def on_start(self) -> None:
        """Take the snapshots, unless an earlier incarnation did; then let everybody ask anew."""
        now = self.context.clock.now()
        if self._kept is not None and not len(self._model):
            await self._restore(self._kept, now)
        if not self._model.synced:
            for changed in self._model.load_steps(self._snapshots, now):
                self._changed |= changed
                await trio.lowlevel.checkpoint()
        if self.context.incarnation > 1:
            # What the last incarnation was about to announce is unknown.
            self._model.renew()
            self._changed.update(self._model.accounts())
        self.context.every(TICK_S, _Tick())
        self._announce()

    async def _restore(self, kept: KeptCluster, now: float) -> None:
        """Begin with what an earlier process knew; the first lists say what of it has gone since."""
        parts = await trio.to_thread.run_sync(lambda: list(kept.load(now, self._model.memory_s)))
        for records in parts:
            self._changed |= self._model.restore(records)
            await trio.lowlevel.checkpoint()
        if parts:
            log.info("remembered the cluster", records=sum(len(records) for records in parts))

    async def on_receive(self, message: Any) -> Any:
        """Answer what is asked; take what is told."""
        match message:
            case PodsOf(account=account, epoch=epoch, version=version):
                return self._model.pods_since(account, epoch, version)
            case PodsNamed(uids=uids, names=names):
                model = self._model
                found = (tuple(map(model.pod, uids)), tuple(model.pod_named(*name) for name in names))
                return FoundPods(*found, synced=model.synced)
            case ClusterSince(epoch=epoch, version=version):
                changes = self._model.changes_since(epoch, version)
                return changes if self._is_current() else msgspec.structs.replace(changes, synced=False)
            case ClusterStatusQuery():
                return self._status()
            case ObjectsMoved():
                self._move(message)
            case ListBegun(kind=kind):
                self._feeds.begin(kind)
            case ListEnded(kind=kind):
                self._end_list(kind)
            case SourceHeard():
                self._feeds.heard(message.kind, message.state, message.why, self.context.clock.now())
                self._settle()
            case _Tick():
                self._changed |= self._model.expire(self.context.clock.now())
                self._announce()
            case _:
                return await super().on_receive(message)
        return None

    def _move(self, message: ObjectsMoved) -> None:
        now = self.context.clock.now()
        if message.kind:
            since = self._feeds.name(message.kind, [identity(each) for each in message.upserted], now)
        else:
            since = now if self._model.synced else None
        for decoded in message.upserted:
            self._changed |= self._model.upsert(decoded, now, since)
        for decoded in message.removed:
            self._changed |= self._model.remove(decoded, now)
        self._model.synced = self._model.synced or message.synced
        if self._model.synced:
            self._model.current_at = now
        self._announce()

    def _end_list(self, kind: str) -> None:
        """What the list did not name has gone."""
        now = self.context.clock.now()
        seen = self._feeds.end(kind, now)
        if seen is not None:
            self._changed |= self._model.remove_unseen(kind, seen, now)
        self._settle()

    def _settle(self) -> None:
        """In sync as soon as every kind was read to its end or cannot be; a kind that fails later does not undo that."""
        if self._feeds and not self._model.synced and self._feeds.is_settled:
            self._model.synced = True
            self._told_version = (0, 0)  # the engine must hear that it is in sync now
        self._announce()

    def _is_current(self) -> bool:
        return self._feeds.is_current(self.context.clock.now())

    def _announce(self) -> None:
        """Tell who must ask again. What finds no room, or nobody, is told with the next tick."""
        statistics = self._model.statistics()
        version = (statistics.epoch, statistics.version)
        try:
            if self._changed:
                self._router.tell(PodsChanged(tuple(sorted(self._changed))))
                self._changed.clear()
            current = self._is_current()
            if version != self._told_version or current is not self._told_current:
                self._engine.tell(ClusterMoved())
                self._told_version, self._told_current = version, current
        except (MailboxFull, ActorDead) as why:
            log.debug("announcement put off", reason=type(why).__name__)

    def _status(self) -> ClusterStatus:
        now = self.context.clock.now()
        objects = self._model.objects(now)
        return ClusterStatus(
            objects=self._feeds.objects(objects, now) if self._feeds else objects,
            malformed=self._model.malformed,
            unknown=dict(self._model.unknown),
            statistics=self._model.statistics(),
        )
