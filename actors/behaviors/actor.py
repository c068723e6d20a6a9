"""The behaviors' actor: takes reports, has their pods named by the cluster, keeps the window, tells the engine to look.

Messages: TakeBehaviors (asked by the edge), ActsSince (asked by the engine). Sends PodsNamed (cluster, asked) and ActsMoved (engine).
What is of an unknown pod waits in the window (waiting.py), and the cluster is asked again while anything does.
The window outlives it; a report whose asker got no answer is sent again, and is then the same acts seen once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from actors.behaviors.resolve import resolve
from actors.behaviors.window import UNKNOWN_POD, ActsStatistics, ActsWindow
from actors.behaviors.wire import read_falco, read_report
from actors.cluster.records import Pod
from actors.evidence import Attribution, BehaviorObservation, SecretRead
from actors.messages import ActsMoved, ActsSince, BehaviorsAnswer, FoundPods, PodsNamed, TakeBehaviors
from actors.runtime import UNANSWERED, Actor, ActorDead, ActorRef, MailboxFull, MailboxPolicy, Overflow

Pods = dict[str | tuple[str, str], Pod | None]
"""By uid, or by namespace and name."""

ASK_TIMEOUT_S: Final = 10.0
"""How long the cluster may take to name pods."""
RETRY_S: Final = 1.0
"""After the engine had no room to be told."""


LOOK_EVERY_S: Final = 1.0
"""How often the cluster is asked for pods that reports wait for."""


class _Look:
    """To itself: are pods known by now that reports wait for?"""


class _TellAgain:
    """To itself: the engine could not be told."""


class BehaviorsActor(Actor):
    """The shell around wire, resolve and the window."""

    mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(capacity=64, overflow=Overflow.REJECT)

    def __init__(self, window: ActsWindow, cluster: ActorRef, engine: ActorRef) -> None:
        super().__init__()
        self._window = window
        self._cluster = cluster
        self._engine = engine
        self._looks = False

    async def on_start(self) -> None:
        """What an earlier incarnation took and did not tell is told now, and what waited waits on."""
        self._tell()
        self._look_later()

    async def on_receive(self, message: Any) -> Any:
        """TakeBehaviors -> BehaviorsAnswer; ActsSince -> ActsChanges."""
        match message:
            case TakeBehaviors():
                return await self._take(message)
            case ActsSince(version=version):
                self._window.expire(self.context.clock.now())
                return self._window.changes_since(version)
            case _Look():
                await self._look()
                return None
            case _TellAgain():
                self._tell()
                return None
            case _:
                return await super().on_receive(message)

    async def _take(self, message: TakeBehaviors) -> BehaviorsAnswer:
        report = read_falco(message.body) if message.falco else read_report(message.body)
        dropped = Counter(report.dropped)
        taken = reads = new = 0
        if report.observations:
            pods, _ = await self._pods(report.observations)
            for observation in report.observations:
                found = self._put(observation, pods, message.received_at)
                if isinstance(found, str):
                    dropped[found] += 1
                    if found == UNKNOWN_POD:
                        self._window.waiting.add(observation, message.received_at)
                    continue
                taken += 1
                reads += found[0]
                new += found[1]
        self._window.count(dropped, unusable=report.error is not None)
        if taken:
            self._tell()
        self._look_later()
        return BehaviorsAnswer(report.events, taken, reads, new, dict(dropped), report.error)

    def _look_later(self) -> None:
        if len(self._window.waiting) and not self._looks:
            self._looks = True
            self.context.after(LOOK_EVERY_S, _Look())

    async def _look(self) -> None:
        """Takes in what waited and whose pod has appeared. Before the cluster was read to its end nothing is given up for its age
        but what is past its TTL."""
        self._looks = False
        waiting = self._window.waiting
        try:
            pods, synced = await self._pods(tuple(each.observation for each in waiting))
        except UNANSWERED:  # a cluster that starts again: the next look asks it
            self._look_later()
            return
        now = self.context.clock.now()
        dropped: Counter[str] = Counter()
        taken = 0
        for each in waiting.take(now, lambda seen: pods.get(_id_of(seen)) is not None, patient=not synced):
            found = self._put(each.observation, pods, each.received_at)
            if isinstance(found, str):
                dropped[found] += 1
            else:
                taken += 1
        self._window.count_later(dropped)
        if taken:
            self._tell()
        self._look_later()

    async def _pods(self, observations: Sequence[BehaviorObservation]) -> tuple[Pods, bool]:
        """The pods that they are of, and whether the cluster was read to its end."""
        uids = tuple({each.pod_uid: None for each in observations if each.pod_uid is not None})
        names = tuple({name: None for each in observations if each.pod_uid is None and (name := _name_of(each))})
        found: FoundPods = await self._cluster.ask(PodsNamed(uids, names), timeout_s=ASK_TIMEOUT_S)
        return dict(zip((*uids, *names), (*found.uids, *found.names), strict=True)), found.synced

    def _put(self, seen: BehaviorObservation, pods: Pods, received_at: float) -> tuple[int, int] | str:
        """Takes in one: (mounted reads, new ones), or why it is dropped. With a uid the name is not looked at."""
        by_uid = seen.pod_uid is not None
        pod = pods.get(_id_of(seen))
        if pod is None:
            return UNKNOWN_POD
        behaviors = resolve(pod, seen.behavior)
        if isinstance(behaviors, str):
            return behaviors
        at = received_at if seen.observed_at_ms is None else seen.observed_at_ms / 1000
        attribution = Attribution.EXACT if by_uid else Attribution.NAMED
        put = self._window.put
        now = self.context.clock.now()
        found = [put(pod, behavior, attribution, at, now, seen.source) for behavior in behaviors]
        if None in found:
            return "late"
        return sum(isinstance(behavior, SecretRead) for behavior in behaviors), sum(map(bool, found))

    def _tell(self) -> None:
        try:
            self._engine.tell(ActsMoved())
        except (MailboxFull, ActorDead):
            self.context.after(RETRY_S, _TellAgain())

    def statistics(self) -> ActsStatistics:
        """The window's counts."""
        return self._window.statistics()


def _name_of(seen: BehaviorObservation) -> tuple[str, str] | None:
    return None if seen.namespace is None or seen.pod is None else (seen.namespace, seen.pod)


def _id_of(seen: BehaviorObservation) -> str | tuple[str, str]:
    """With a uid the name is not looked at."""
    return seen.pod_uid if seen.pod_uid is not None else _name_of(seen) or ""
