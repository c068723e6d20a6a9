"""Which workload a pod is of: its controllers, followed to the top. Pure; counterpart: model.py.

A ReplicaSet or Job is followed to its own controller; every other controller is the workload itself, also where an
operator's object owns it. Where a file lacks the ReplicaSet or the Job, its name is taken apart as its maker put it together.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from actors.cluster.raw import Owner, RawPod
from actors.cluster.records import OwnerName
from actors.evidence import Workload

HASH_LABEL: Final = "pod-template-hash"
"""Label by which the Deployment controller tells its ReplicaSets apart; their names end in it."""

_FOLLOWED: Final = frozenset({"ReplicaSet", "Job"})
_OF_CRONJOB: Final = re.compile(r"(.+)-\d{8,}")
"""The CronJob controller names its Jobs by the scheduled minute since the epoch (pkg/controller/cronjob/utils.go)."""


def workload_of(raw: RawPod, find: Callable[[OwnerName], Owner | None]) -> Workload:
    """The pod's top owner, or the bare pod. A static pod's owner is its Node, which is no workload: the bare pod."""
    pod, owner = raw.pod, raw.owner
    namespace = pod.namespace
    if owner is None or owner.kind == "Node":
        return Workload("Pod", namespace, pod.name)
    if owner.kind not in _FOLLOWED:
        return Workload(owner.kind, namespace, owner.name)
    known = find(owner)
    if known is None:
        return _guessed(raw, owner)
    top = known.owner
    return Workload(top.kind, namespace, top.name) if top is not None else Workload(owner.kind, namespace, owner.name)


def _guessed(raw: RawPod, owner: OwnerName) -> Workload:
    namespace = raw.pod.namespace
    if owner.kind == "Job":
        match = _OF_CRONJOB.fullmatch(owner.name)
        return Workload("CronJob", namespace, match[1]) if match else Workload("Job", namespace, owner.name)
    ending = next((value for key, value in raw.pod.labels if key == HASH_LABEL and value), None)
    name = owner.name.removesuffix(f"-{ending}") if ending else ""
    return (
        Workload("Deployment", namespace, name)
        if name and name != owner.name
        else Workload("ReplicaSet", namespace, owner.name)
    )
