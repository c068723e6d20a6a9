"""Every record by its key, the live one and those that are remembered, with the log of what changed. Pure; counterpart: model.py.

A key holds several records at most for roles and bindings: versions that were replaced or went (`gone_at` set, oldest
first), and last the live one (`gone_at` None). Other kinds hold one. What is gone is forgotten `memory_s` after it went;
`gone_at` math.inf (only an earlier snapshot has it) never.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

import msgspec

from actors.cluster.changes import ChangeLog
from actors.cluster.records import Binding, Record, RecordKey, Role
from actors.messages import ClusterChanges

CHANGES_MAX: Final = 250
"""Records in one answer, before others of the loop may run."""
TOMBSTONES_MAX: Final = 20_000
"""Gone records that are remembered for a time; beyond, the oldest is forgotten early, counted."""
VERSIONS_MAX: Final = 16
"""Gone versions of one role or binding; beyond, the oldest is forgotten early, counted."""
EXPIRE_MAX: Final = 5000
"""Tombstones that one call forgets, so that it stays short; the next call goes on."""

_VERSIONED: Final = (Role, Binding)


def kind_of_key(key: RecordKey) -> str:
    """The kind of object that the key names: pods are known by uid, all others by kind and name."""
    return "Pod" if isinstance(key, str) else key.kind


class Memory:
    """The records. Times are epoch seconds and must not run backward by more than clocks do."""

    def __init__(self, memory_s: float, epoch: int = 1) -> None:
        self.memory_s = memory_s
        self.log = ChangeLog(epoch)
        self.live_counts: Counter[str] = Counter()
        self.tombstones_dropped = 0
        self.versions_dropped = 0
        self._held: dict[RecordKey, tuple[Record, ...]] = {}
        self._tombstones: deque[tuple[float, RecordKey]] = deque()
        self._forgotten: list[RecordKey] = []

    def __len__(self) -> int:
        return len(self._held)

    @property
    def tombstones(self) -> int:
        """Records that wait to be forgotten."""
        return len(self._tombstones)

    def versions(self, key: RecordKey) -> tuple[Record, ...]:
        """Everything held of the key, the live record last."""
        return self._held.get(key, ())

    def live(self, key: RecordKey) -> Record | None:
        """The live record of the key."""
        versions = self._held.get(key)
        return versions[-1] if versions and versions[-1].gone_at is None else None

    def live_keys(self, kind: str) -> list[RecordKey]:
        """Keys of what is there of this kind. Looks at every key: for a list that was read to its end, never for a change."""
        return [
            key for key, versions in self._held.items() if versions[-1].gone_at is None and kind_of_key(key) == kind
        ]

    def restore(self, records: Iterable[Record]) -> None:
        """Hold what an earlier process held, versions of a key in their order. For an empty memory only."""
        for record in records:
            self._put(record.key, (*self.versions(record.key), record))
            if record.gone_at is not None:
                self._tombstones.append((record.gone_at, record.key))
        self._tombstones = deque(sorted(self._tombstones, key=lambda each: each[0])[-TOMBSTONES_MAX:])

    def hold(self, record: Record) -> bool:
        """Make this the live record of its key, in place of the live one; whether that changed anything."""
        key = record.key
        gone = (
            tuple(each for each in self.versions(key) if each.gone_at is not None)
            if isinstance(record, _VERSIONED)
            else ()
        )
        return self._put(key, (*gone, record))

    def replace(self, record: Record, now: float) -> None:
        """Make this the live record, and remember the live one as gone since `now`."""
        self.bury(record.key, now)
        self.hold(record)

    def bury(self, key: RecordKey, at: float) -> bool:
        """The object went at that time (math.inf: unknown, never to be forgotten); whether it was live."""
        record = self.live(key)
        if record is None:
            return False
        versions = (*self.versions(key)[:-1], msgspec.structs.replace(record, gone_at=at))
        if len(versions) > VERSIONS_MAX:
            versions = versions[1:]
            self.versions_dropped += 1
        self._put(key, versions)
        if at != math.inf:
            self._tombstones.append((at, key))
            if len(self._tombstones) > TOMBSTONES_MAX:
                self.tombstones_dropped += 1
                self._forget(*self._tombstones.popleft())
        return True

    def expire(self, now: float) -> None:
        """Forget what has been gone for `memory_s`, at most EXPIRE_MAX records a call."""
        for _ in range(EXPIRE_MAX):
            if not self._tombstones or self._tombstones[0][0] + self.memory_s > now:
                return
            self._forget(*self._tombstones.popleft())

    def take_forgotten(self) -> list[RecordKey]:
        """Keys of which nothing is held any more, since the last call."""
        forgotten, self._forgotten = self._forgotten, []
        return forgotten

    def changes_since(self, epoch: int, version: int, *, synced: bool, limit: int = CHANGES_MAX) -> ClusterChanges:
        """What changed since: for each changed key every record that is held of it, so the receiver replaces what it has of the key.

        A key's records are never split over two answers. Another epoch, or (0, 0), gets everything from its beginning.
        """
        full = not self.log.is_current(epoch, version) or version == 0
        reached = 0 if full else version
        records: list[Record] = []
        forgotten: list[RecordKey] = []
        more = False
        for at, key, is_forgotten in self.log.since(reached):
            held = self._held.get(key, ())
            if (records or forgotten) and len(records) + len(forgotten) + max(len(held), 1) > limit:
                more = True
                break
            reached = at
            records += held
            if is_forgotten and not full:
                forgotten.append(key)
        return ClusterChanges(
            epoch=self.log.epoch,
            version=reached if more else self.log.version,
            full=full,
            records=tuple(records),
            forgotten=tuple(forgotten),
            more=more,
            synced=synced,
        )

    def _put(self, key: RecordKey, versions: tuple[Record, ...]) -> bool:
        before = self._held.get(key, ())
        if before == versions:
            return False
        self._held[key] = versions
        was_live, is_live = bool(before) and before[-1].gone_at is None, versions[-1].gone_at is None
        self.live_counts[kind_of_key(key)] += is_live - was_live
        self.log.touch(key)
        return True

    def _forget(self, at: float, key: RecordKey) -> None:
        """Forget the versions of the key that went until then."""
        versions = self.versions(key)
        kept = tuple(each for each in versions if each.gone_at is None or each.gone_at > at)
        if kept == versions:
            return
        if kept:
            self._put(key, kept)
        else:
            del self._held[key]
            self._forgotten.append(key)
            self.log.forget(key)
