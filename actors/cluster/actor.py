"""The cluster's actor: holds the model, answers for it, and tells the router and the engine when it moved.

Options: `model` (outlives the actor: what a crash interrupts is not lost), `snapshots` (read and validated before the tree
started; none: the cluster is unknown and never in sync), `router` and `engine` (who is told).
Emits: PodsChanged (router), ClusterMoved (engine); both say only that there is something to ask for.
Messages: PodsOf, PodsNamed, ClusterSince, ClusterStatusQuery (asked); ObjectsMoved (told by a source that watches).
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import structlog
import trio
from msgspec import Struct

from actors.cluster.model import ClusterModel
from actors.cluster.queries import ClusterStatus, ClusterStatusQuery, ObjectsMoved
from actors.cluster.raw import Snapshot
from actors.evidence import Account
from actors.messages import AccountPods, ClusterMoved, ClusterSince, FoundPods, PodsChanged, PodsNamed, PodsOf
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
        self, model: ClusterModel, snapshots: tuple[Snapshot, ...], router: ActorRef, engine: ActorRef
    ) -> None:
        super().__init__()
        self._model = model
        self._snapshots = snapshots
        self._router = router
        self._engine = engine
        self._changed: set[Account] = set()
        """Accounts whose pods changed and whom the router has not been told of; bounded by the accounts there are."""
        self._told_version = (0, 0)

    async def on_start(self) -> None:
        """Take the snapshots, unless an earlier incarnation did; then let everybody ask anew."""
        if not self._model.synced:
            for changed in self._model.load_steps(self._snapshots, self.context.clock.now()):
                self._changed |= changed
                await trio.lowlevel.checkpoint()
        if self.context.incarnation > 1:
            # What the last incarnation was about to announce is unknown.
            self._model.renew()
            self._changed.update(self._model.accounts())
        self.context.every(TICK_S, _Tick())
        self._announce()

    async def on_receive(self, message: Any) -> Any:
        """Answer what is asked; take what is told."""
        match message:
            case PodsOf(account=account):
                return AccountPods(account, self._model.pods_of(account))
            case PodsNamed(uids=uids, names=names):
                model = self._model
                found = (tuple(map(model.pod, uids)), tuple(model.pod_named(*name) for name in names))
                return FoundPods(*found, synced=model.synced)
            case ClusterSince(epoch=epoch, version=version):
                return self._model.changes_since(epoch, version)
            case ClusterStatusQuery():
                return self._status()
            case ObjectsMoved():
                self._move(message)
            case _Tick():
                self._changed |= self._model.expire(self.context.clock.now())
                self._announce()
            case _:
                return await super().on_receive(message)
        return None

    def _move(self, message: ObjectsMoved) -> None:
        now = self.context.clock.now()
        since = now if self._model.synced else None
        for decoded in message.upserted:
            self._changed |= self._model.upsert(decoded, now, since)
        for decoded in message.removed:
            self._changed |= self._model.remove(decoded, now)
        self._model.synced = self._model.synced or message.synced
        if self._model.synced:
            self._model.current_at = now
        self._announce()

    def _announce(self) -> None:
        """Tell who must ask again. What finds no room, or nobody, is told with the next tick."""
        statistics = self._model.statistics()
        version = (statistics.epoch, statistics.version)
        try:
            if self._changed:
                self._router.tell(PodsChanged(tuple(sorted(self._changed))))
                self._changed.clear()
            if version != self._told_version:
                self._engine.tell(ClusterMoved())
                self._told_version = version
        except (MailboxFull, ActorDead) as why:
            log.debug("announcement put off", reason=type(why).__name__)

    def _status(self) -> ClusterStatus:
        return ClusterStatus(
            objects=self._model.objects(self.context.clock.now()),
            malformed=self._model.malformed,
            unknown=dict(self._model.unknown),
            statistics=self._model.statistics(),
        )
