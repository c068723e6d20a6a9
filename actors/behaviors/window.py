"""The window of acts: what sensors reported of known pods and is live, bounded in all and for each pod. Pure; outlives its actor.

Two bounds, because the token is one for all agents: a node that lies can fill what its pods may have, and no more. Of one pod, as of
all, what ends soonest makes room, and every one that had to is counted. Not kept over a restart of the process: an act says that
something happened a moment ago, and sensors go on reporting.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.behaviors.waiting import WaitingRoom, WaitingStatistics
from actors.cluster.records import Pod
from actors.evidence import Act, ActKey, Attribution, Behavior
from actors.messages import ActsChanges

ACTS_MAX: Final = 20_000
"""Live acts in all."""
ACTS_OF_POD_MAX: Final = 64
"""Live acts of one pod."""
CHANGES_MAX: Final = 1000
"""Acts in one answer."""
UNKNOWN_POD: Final = "unknown_pod"
"""The reason for what is of no known pod."""
ENDED_MAX: Final = 10_000
"""Acts that had to make room and are remembered for who asks; beyond, who is that far behind gets everything."""


class ActsStatistics(Struct, frozen=True):
    """Counts since the start of the process, but `acts` and `capacity`."""

    acts: int
    capacity: int
    taken: int
    new: int
    evicted: int
    """Live ones that had to make room."""
    dropped: dict[str, int]
    taken_by_kind: dict[str, int]
    bodies: int
    unusable: int
    waiting: WaitingStatistics = WaitingStatistics(0, 0, 0, 0)
    """Of pods that are not known yet; those given up are in `dropped` as `unknown_pod`."""


class ActsWindow:
    """Acts by pod and fingerprint, in the order of their last change."""

    def __init__(self, ttl_s: float = 300.0, *, acts_max: int = ACTS_MAX, of_pod_max: int = ACTS_OF_POD_MAX) -> None:
        self.ttl_s = ttl_s
        self.version = 0
        self._acts_max = acts_max
        self._of_pod_max = of_pod_max
        self._acts: OrderedDict[ActKey, tuple[int, Act]] = OrderedDict()
        self._of_pod: dict[str, dict[ActKey, None]] = {}
        self._ended: deque[tuple[int, ActKey]] = deque()
        self._ended_before = 0
        """Ends up to this version are forgotten."""
        self._taken = self._new = self._evicted = self._bodies = self._unusable = 0
        self.waiting = WaitingRoom()
        self._dropped: Counter[str] = Counter()
        self._by_kind: Counter[str] = Counter()

    def put(
        self, pod: Pod, behavior: Behavior, attribution: Attribution, at: float, now: float, sensor: str | None
    ) -> bool | None:
        """Takes in that the pod did this at `at` (epoch seconds, clamped to now). Whether it is new; None: it is not live any more."""
        at = min(at, now)
        live_until = at + self.ttl_s
        if live_until <= now:
            return None
        self.expire(now)
        key = ActKey(pod.uid, behavior.fingerprint_key)
        self._taken += 1
        self._by_kind[behavior.variant_label] += 1
        known = self._acts.get(key)
        self.version += 1
        if known is not None:
            old = known[1]
            act = replace(
                old,
                behavior=behavior,
                observed_at=max(old.observed_at, at),
                first_seen=min(old.first_seen, at),
                live_until=max(old.live_until, live_until),
                count=old.count + 1,
            )
        else:
            self._new += 1
            self._make_room(pod.uid, now)
            act = Act(key, behavior, pod.name, pod.account, pod.workload, attribution, at, at, live_until, 1, sensor)
            self._of_pod.setdefault(pod.uid, {})[key] = None
        self._acts[key] = (self.version, act)
        self._acts.move_to_end(key)
        return known is None

    def _make_room(self, uid: str, now: float) -> None:
        of_pod = self._of_pod.get(uid, ())
        if len(of_pod) >= self._of_pod_max:
            self._evict(self._soonest(of_pod), now)
        elif len(self._acts) >= self._acts_max:
            self._evict(self._soonest(islice(self._acts, self._of_pod_max)), now)

    def _soonest(self, keys: Iterable[ActKey]) -> ActKey:
        """Which of these ends first; of all acts only those that changed longest ago are looked at."""
        return min(keys, key=lambda key: self._acts[key][1].live_until)

    def _evict(self, key: ActKey, now: float) -> None:
        self._evicted += self._acts[key][1].live_until > now
        self.version += 1
        self._remove(key)
        self._ended.append((self.version, key))
        if len(self._ended) > ENDED_MAX:
            self._ended_before = self._ended.popleft()[0]

    def _remove(self, key: ActKey) -> None:
        del self._acts[key]
        of_pod = self._of_pod[key.pod_uid]
        del of_pod[key]
        if not of_pod:
            del self._of_pod[key.pod_uid]

    def expire(self, now: float) -> None:
        """Lets go of what ended, as far as it stands in front; whoever holds acts knows themselves when they end."""
        while self._acts:
            key, (_, act) = next(iter(self._acts.items()))
            if act.live_until > now:
                return
            self._remove(key)

    def changes_since(self, version: int) -> ActsChanges:
        """What changed after that version of this process; 0, or one that is too old or unknown: everything."""
        full = version <= 0 or version > self.version or version < self._ended_before
        since = 0 if full else version
        changed: deque[tuple[int, Act]] = deque()
        for entry in reversed(self._acts.values()):
            if entry[0] <= since:
                break
            changed.appendleft(entry)
        some = list(islice(changed, CHANGES_MAX))
        more = len(changed) > len(some)
        until = some[-1][0] if more else self.version
        ended = () if full else tuple(key for at, key in self._ended if since < at and key not in self._acts)
        return ActsChanges(until, full, tuple(act for _, act in some), ended, more)

    def count(self, dropped: dict[str, int], *, unusable: bool = False) -> None:
        """One body more, with what was dropped of it; what waits for its pod is not counted before it is given up."""
        self._bodies += 1
        self._unusable += unusable
        self.count_later({reason: n for reason, n in dropped.items() if reason != UNKNOWN_POD})

    def count_later(self, dropped: Mapping[str, int]) -> None:
        """What was dropped after it had waited."""
        self._dropped.update(dropped)

    def statistics(self) -> ActsStatistics:
        """Counts, for pages and metrics."""
        waiting = self.waiting.statistics()
        dropped = dict(self._dropped)
        if waiting.given_up:
            dropped[UNKNOWN_POD] = dropped.get(UNKNOWN_POD, 0) + waiting.given_up
        return ActsStatistics(
            acts=len(self._acts),
            capacity=self._acts_max,
            taken=self._taken,
            new=self._new,
            evicted=self._evicted,
            dropped=dropped,
            taken_by_kind=dict(self._by_kind),
            bodies=self._bodies,
            unusable=self._unusable,
            waiting=waiting,
        )
