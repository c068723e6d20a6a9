"""The pods of one account, indexed for attribution, and kept in step one pod at a time. Pure; counterparts: core.py, state.py.

A change costs the pods that changed. What is said of reads that claim no pod (the workloads that ran at some moment) is put
together when it is first asked for after a change.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, MutableMapping
from itertools import islice
from typing import Final, TypeVar

from msgspec import Struct
from sortedcontainers import SortedDict, SortedKeyList

from actors.cluster.records import Pod
from actors.evidence import Workload
from actors.messages import AccountPods

PODS_SHOWN_MAX: Final = 20
"""Names of pods in one piece of evidence; the workloads are always complete."""
MOMENTS_MAX: Final = 256
"""Sets of workloads that ran at some moment and are remembered until the pods change; when full, all are made anew."""

K = TypeVar("K")
Summary = tuple[tuple[Workload, ...], tuple[str, ...]]
"""Workloads (all) and names of pods (at most PODS_SHOWN_MAX), sorted."""


class Moved(Struct, frozen=True):
    """What a change of the pods may have changed: reads that claim one of these, and whether those that claim none."""

    uids: frozenset[str]
    names: frozenset[str]
    unclaimed: bool


class Roster:
    """The pods of one account, live and remembered."""

    __slots__ = (
        "_alone",
        "_by_name",
        "_by_uid",
        "_departed",
        "_gone",
        "_moments",
        "_now",
        "_past",
        "_running",
        "_tokens",
        "_workloads",
        "epoch",
        "version",
    )

    def __init__(self, pods: AccountPods) -> None:
        self.epoch = 0
        """Of the last answer of the cluster; with `version` what to ask from next."""
        self.version = 0
        self._by_uid: dict[str, Pod] = {}
        self._by_name: dict[str, dict[str, Pod]] = {}
        """By name, then uid."""
        self._alone: dict[str, Summary] = {}
        """Of single pods, made when first asked for: most pods of a large account never read."""
        self._running: SortedDict[str, int] = SortedDict()
        """Names of the pods that run now, and how many have each."""
        self._workloads: SortedDict[Workload, int] = SortedDict()
        """Theirs."""
        self._tokens = 0
        self._gone = 0
        self._departed: SortedKeyList[Pod, tuple[float, str]] = SortedKeyList(key=_departure)
        """Remembered pods that had not finished, by the moment at which they went."""
        self._now: Summary | None = None
        self._past: _Past | None = None
        self._moments: dict[int, tuple[Workload, ...]] = {}
        self.change(pods)

    def __len__(self) -> int:
        return len(self._by_uid)

    @property
    def steady(self) -> bool:
        """Whether no pod is remembered only: then the moment of a read makes no difference."""
        return not self._gone

    @property
    def has_bound_tokens(self) -> bool:
        """Whether a pod that runs now gets a bound token: then a read without a pod claim is odd."""
        return self._tokens > 0

    def change(self, pods: AccountPods) -> Moved:
        """Takes in an answer of the cluster; what may be attributed otherwise now."""
        self.epoch, self.version = pods.epoch, pods.version
        news: dict[str, Pod | None] = {pod.uid: pod for pod in pods.pods}
        lost: Iterable[str] = [uid for uid in self._by_uid if uid not in news] if pods.full else pods.forgotten
        news.update(dict.fromkeys(lost))
        uids: set[str] = set()
        names: set[str] = set()
        unclaimed = False
        for uid, new in news.items():
            old = self._by_uid.get(uid)
            if old is new or old == new:
                continue
            uids.add(uid)
            names.update(pod.name for pod in (old, new) if pod is not None)
            unclaimed |= _unclaimed_part(old) != _unclaimed_part(new)
            if old is not None:
                self._count(old, -1)
                del self._by_uid[uid]
                self._alone.pop(uid, None)
            if new is not None:
                self._count(new, 1)
                self._by_uid[uid] = new
        if unclaimed:
            self._now = self._past = None
            self._moments.clear()
        return Moved(frozenset(uids), frozenset(names), unclaimed)

    def _count(self, pod: Pod, by: int) -> None:
        named = self._by_name.setdefault(pod.name, {})
        if by > 0:
            named[pod.uid] = pod
        else:
            del named[pod.uid]
            if not named:
                del self._by_name[pod.name]
        self._gone += by if pod.gone_at is not None else 0
        if pod.finished:
            return
        if pod.gone_at is None:
            self._tokens += by if pod.bound_token else 0
            _add(self._running, pod.name, by)
            _add(self._workloads, pod.workload, by)
        elif by > 0:
            self._departed.add(pod)
        else:
            self._departed.remove(pod)

    def with_uid(self, uid: str) -> Pod | None:
        """The pod of this account with that uid, remembered ones included."""
        return self._by_uid.get(uid)

    def with_name(self, name: str, at: float) -> list[Pod]:
        """The pods of that name that were there at `at` (epoch seconds); if none was, those that were there before."""
        pods = list(self._by_name.get(name, {}).values())
        there = [pod for pod in pods if pod.gone_at is None or pod.gone_at >= at]
        return there or pods

    def summary(self, makers: list[Pod]) -> Summary:
        """Workloads (all) and pod names (at most 20) of these pods of the account, sorted."""
        if len(makers) != 1:
            names = sorted({pod.name for pod in makers})
            return tuple(sorted({pod.workload for pod in makers})), tuple(names[:PODS_SHOWN_MAX])
        (pod,) = makers
        alone = self._alone.get(pod.uid)
        if alone is None:
            alone = self._alone[pod.uid] = ((pod.workload,), (pod.name,))
        return alone

    def running_at(self, at: float) -> Summary:
        """The workloads, and the names of at most 20 pods, that ran as this account at `at` (epoch seconds), sorted."""
        now = self._now
        if now is None:
            now = self._now = (tuple(self._workloads), tuple(islice(self._running, PODS_SHOWN_MAX)))
        departed = self._departed
        if not departed or _departure(departed[-1])[0] < at:
            return now
        past = self._past
        if past is None:
            past = self._past = _Past(departed, now)
        more = bisect_right(past.workloads_since, -at)
        workloads = now[0] if not more else self._moments.get(more)
        if workloads is None:
            if len(self._moments) >= MOMENTS_MAX:
                self._moments.clear()
            workloads = self._moments[more] = tuple(sorted((*now[0], *past.workloads[:more])))
        changes = bisect_right(past.names_since, -at)
        return workloads, past.names[changes - 1] if changes else now[1]


class _Past:
    """What those who left add to what runs now, the last to leave first: the moments are negative, so that they rise."""

    __slots__ = ("names", "names_since", "workloads", "workloads_since")

    def __init__(self, departed: SortedKeyList[Pod, tuple[float, str]], now: Summary) -> None:
        self.workloads_since: list[float] = []
        self.workloads: list[Workload] = []
        """Those that do not run any more, each once."""
        self.names_since: list[float] = []
        self.names: list[tuple[str, ...]] = []
        """The first names of all, each time that they are others."""
        seen, names = set(now[0]), now[1]
        for pod in reversed(departed):
            moment = -_departure(pod)[0]
            if pod.workload not in seen:
                seen.add(pod.workload)
                self.workloads_since.append(moment)
                self.workloads.append(pod.workload)
            if pod.name in names or (len(names) == PODS_SHOWN_MAX and pod.name > names[-1]):
                continue
            names = tuple(sorted((*names, pod.name))[:PODS_SHOWN_MAX])
            self.names_since.append(moment)
            self.names.append(names)


def _departure(pod: Pod) -> tuple[float, str]:
    return (0.0 if pod.gone_at is None else pod.gone_at, pod.uid)


def _unclaimed_part(pod: Pod | None) -> object:
    """What of a pod decides about reads that claim none."""
    return None if pod is None or pod.finished else (pod.gone_at, pod.workload, pod.name, pod.bound_token)


def _add(counts: MutableMapping[K, int], key: K, by: int) -> None:
    left = counts.get(key, 0) + by
    if left:
        counts[key] = left
    else:
        del counts[key]
