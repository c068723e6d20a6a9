"""What changed since when: keys in the order of their last change, so that an answer costs what changed and nothing else. Pure.

Every change gets a version. A key that is forgotten stays as such, so that who asks learns of it; when too many are
remembered, the epoch moves on and everybody starts from everything again. Counterpart: model.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sortedcontainers import SortedDict

from actors.cluster.records import RecordKey

FORGOTTEN_MAX: Final = 50_000
"""Forgotten keys that are remembered for who asks; beyond, a new epoch begins."""


class ChangeLog:
    """The last change of every key. Versions rise by one a change and mean something within one epoch only."""

    def __init__(self, epoch: int = 1) -> None:
        self.epoch = epoch
        self.version = 0
        self.epochs_ended = 0
        self._order: SortedDict[int, RecordKey] = SortedDict()
        self._last: dict[RecordKey, int] = {}
        self._forgotten: dict[RecordKey, None] = {}

    def __len__(self) -> int:
        return len(self._order)

    def touch(self, key: RecordKey) -> None:
        """The key has another value now."""
        self._forgotten.pop(key, None)
        self._move(key)

    def forget(self, key: RecordKey) -> None:
        """Nothing is held of the key any more."""
        if len(self._forgotten) >= FORGOTTEN_MAX:
            self.renew()
        self._forgotten[key] = None
        self._move(key)

    def renew(self) -> None:
        """Begin a new epoch: whoever asks gets everything, and what was forgotten need not be remembered."""
        for key in self._forgotten:
            del self._order[self._last.pop(key)]
        self._forgotten.clear()
        self.epoch += 1
        self.epochs_ended += 1

    def is_current(self, epoch: int, version: int) -> bool:
        """Whether changes can be told from there; otherwise everything must be."""
        return epoch == self.epoch and 0 <= version <= self.version

    def since(self, version: int) -> Iterator[tuple[int, RecordKey, bool]]:
        """(version, key, forgotten) of what changed after that version, oldest change first."""
        for at in self._order.irange(minimum=version + 1):
            key = self._order[at]
            yield at, key, key in self._forgotten

    def _move(self, key: RecordKey) -> None:
        before = self._last.get(key)
        if before is not None:
            del self._order[before]
        self.version += 1
        self._order[self.version] = key
        self._last[key] = self.version
