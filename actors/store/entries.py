"""The entries of the window: put in, changed, ended, pulled. What a read means is window.py's matter.

Every change and every end has a version of its own; a pull since a version holds exactly what came after it.
Counterparts: partition.py (pulls), calendar.py (ends), watches.py (ends of watches outlive their observation).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from actors.evidence import Account, Observation, ObservationKey
from actors.messages import AccountChanges
from actors.store.calendar import Calendar
from actors.store.chunks import Chunks
from actors.store.entry import NO_ROW, Entry
from actors.store.partition import Partition
from actors.store.place import Place
from actors.store.sharded import ShardedDict, parts_for
from actors.store.watches import ClosedWatches, WatchBook

LINGER_S: Final = 10.0
"""How long an observation that is past is kept for the pullers."""
LINGER_MAX: Final = 10_000
"""Observations that are past and kept. Beyond: they are not shown, only counted and written into history."""
PARTITION_WORK: Final = 8
"""What it costs to free all that was kept of an account, in entries ended."""
PULL_MAX: Final = 5_000
"""Observations in one answer to a pull; `more` says that there are others."""


_DONE: Final = object()


class WindowStatistics(Struct, frozen=True):
    """Counts of the window."""

    observations: int
    """Live ones."""
    capacity: int
    lingering: int
    accounts: int
    version: int
    evicted: int
    expired: int
    linger_overflows: int
    watch_overflows: int
    """Live watches that were displaced by others of their observation."""
    closed_overflows: int


class Entries:
    """Observations by account, with their ends and versions."""

    def __init__(self, ttl_s: float, capacity: int, epoch: int) -> None:
        self.ttl_s = ttl_s
        self.capacity = capacity
        self.epoch = epoch
        self.version = 0
        self.now = 0.0
        """Of the last read or expiry (epoch seconds)."""
        self.live = 0
        self.lingering = 0
        self.evicted = 0
        self.changed: dict[Account, None] = {}
        """Accounts with a change or an end since the owner last took them."""
        self._round = 1
        """How often they were taken; a partition that is among them knows so by it."""
        self.dirty: Chunks[Entry] = Chunks()
        """Entries whose rows in the journal are behind; the owner takes them."""
        self.rowless: dict[int, Place] = {}
        """What ended and still has a row in the journal, for the owner to delete; by serial."""
        self._partitions: ShardedDict[Account, Partition] = ShardedDict(capacity)
        self._spread_over = parts_for(capacity)
        self._rubble: list[Iterator[None]] = []
        """What is left of accounts that are gone, to be freed in steps: pages of memory go back with it, which takes time."""
        self._calendar = Calendar()
        self._lingering: deque[tuple[float, Entry]] = deque()
        self._closed = ClosedWatches(ttl_s)
        self._ended_unseen = ClosedWatches(ttl_s)
        """Ends of watches of which nothing else came yet."""
        self._serial = 0
        self._expired = self._linger_overflows = self._watch_overflows = 0

    def get(self, account: Account, key: ObservationKey) -> Entry | None:
        """The entry, live or lingering (or past and not yet taken out by `expire`)."""
        partition = self._partitions.get(account)
        return partition.get(key) if partition is not None else None

    # --- changes, for window.py -------------------------------------------------------------------------------------

    def _admit(
        self,
        observation: Observation,
        book: WatchBook | None,
        now: float,
        as_of: int = NO_ROW,
        partition: Partition | None = None,
    ) -> None:
        """A new entry; its observation carries the window's next version. `partition`: its account's, if it was looked up."""
        account = observation.last.account
        if partition is None:
            partition = self._partitions.get(account)
        if partition is None:
            partition = Partition(account, self.version, self._spread_over)
            self._partitions[account] = partition
        self.version = observation.version
        self._serial += 1
        entry = Entry(observation, self._serial, as_of=as_of, watches=book)
        partition.add(entry)
        if partition.noted_in != self._round:
            self._note(partition)
        if as_of == NO_ROW:
            entry.dirty = self.dirty.add(entry.serial, entry)
        if observation.live_until > now:
            self._light(entry, now)
        else:
            self._linger(entry, now)

    def _change(self, partition: Partition, entry: Entry, observation: Observation) -> None:
        """Replace the observation; it carries the window's next version."""
        before = entry.observation.version
        self.version = observation.version
        entry.observation = observation
        partition.touch(entry, before)
        if entry.due and observation.live_until != entry.due:
            self._calendar.put(entry, observation.live_until)
        if not entry.dirty:
            entry.dirty = self.dirty.add(entry.serial, entry)
        if partition.noted_in != self._round:
            self._note(partition)

    def _note(self, partition: Partition) -> None:
        partition.noted_in = self._round
        self.changed[partition.account] = None

    def take_changed(self) -> dict[Account, None]:
        """The accounts with a change or an end since the last time."""
        changed, self.changed = self.changed, {}
        self._round += 1
        return changed

    def _light(self, entry: Entry, now: float) -> None:
        """The entry is live from here on; what ends soonest makes room."""
        if entry.lingers_until:
            entry.lingers_until = 0.0
            self.lingering -= 1
        self._calendar.put(entry, entry.observation.live_until)
        self.live += 1
        while self.live > self.capacity:
            soonest = self._calendar.soonest()
            if soonest is None:
                raise AssertionError(f"{self.live} live observations, and none in the calendar")
            if soonest.due <= now:
                self._expired += 1
            else:
                self.evicted += 1
            self._end(soonest)

    def _linger(self, entry: Entry, now: float) -> None:
        """The entry is past, and kept for a moment; one too many goes at once."""
        if entry.due:
            self._calendar.remove(entry)
            self.live -= 1
        entry.lingers_until = now + LINGER_S
        self.lingering += 1
        self._lingering.append((entry.lingers_until, entry))
        if self.lingering > LINGER_MAX:
            self._linger_overflows += 1
            self._end(entry)

    def _end(self, entry: Entry) -> int:
        """Out of the window, whatever it was; returns how much work that was, in entries."""
        observation = entry.observation
        account = observation.last.account
        if entry.lingers_until:
            self.lingering -= 1
            entry.lingers_until = 0.0
        else:
            self._calendar.remove(entry)
            self.live -= 1
        entry.gone = True
        self.version += 1
        partition = self._partitions[account]
        partition.end(entry, self.version)
        work = 1
        if not partition.count:
            self._partitions.pop(account)
            work += PARTITION_WORK
            self._rubble.append(partition.dissolve())
        if entry.dirty:
            self.dirty.discard(entry.dirty, entry.serial)
        if entry.as_of != NO_ROW:
            self.rowless[entry.serial] = Place(account, observation.key)
        self._note(partition)
        if entry.watches is not None:
            for id_, watch in entry.watches.watches.items():
                if not watch.open_until:
                    self._closed.add(account, observation.key, id_, watch.live_until, self.now)
        return work

    # --- time ----------------------------------------------------------------------------------------------------------

    def expire(self, now: float, limit: int) -> bool:
        """End what is past, `limit` entries or the work of as many; whether there may be more."""
        self.now = now
        work = 0
        while work < limit:
            if self._rubble:
                if next(self._rubble[-1], _DONE) is _DONE:
                    self._rubble.pop()
                work += PARTITION_WORK
                continue
            while self._lingering and self._lingering[0][1].lingers_until != self._lingering[0][0]:
                self._lingering.popleft()
            if self._lingering and self._lingering[0][0] <= now:
                work += self._end(self._lingering.popleft()[1])
                continue
            entry = self._calendar.ended(now)
            if entry is None:
                return False
            work += self._end(entry)
            self._expired += 1
        return True

    def next_expiry(self) -> float | None:
        """When to call `expire` again: never after the next end, perhaps a little before it."""
        if self._rubble:
            return self.now
        at = self._calendar.next_at()
        if self._lingering and (at is None or self._lingering[0][0] < at):
            return self._lingering[0][0]
        return at

    # --- pulls ----------------------------------------------------------------------------------------------------------

    def changes_since(self, account: Account, epoch: int, version: int) -> AccountChanges:
        """What changed of the account since, oldest change first; everything where that cannot be told."""
        partition = self._partitions.get(account)
        if partition is None:
            return AccountChanges(account, self.epoch, self.version, True, (), since=version)
        full = epoch != self.epoch or version > self.version or not partition.reaches(version)
        found = partition.since(0 if full else version, PULL_MAX + 1)
        upto, more = self.version, len(found) > PULL_MAX
        if more:
            found.pop()
            upto = found[-1].observation.version
            if full:
                partition.page(upto, self.version)
            elif (began := partition.began(version)) is not None:
                partition.page(upto, began)
        ended: dict[ObservationKey, None] = {}
        if not full:
            ended = dict.fromkeys(key for at, key in partition.ended_since(version) if at <= upto)
            for entry in found:
                ended.pop(entry.observation.key, None)
        observations = tuple([entry.observation for entry in found])
        return AccountChanges(account, self.epoch, upto, full, observations, tuple(ended), more, version)

    def has(self, account: Account) -> bool:
        """Whether there is anything of the account."""
        return account in self._partitions

    def is_current(self, account: Account, epoch: int, version: int) -> bool:
        """Whether a pull since `version` would bring nothing; False for accounts that have nothing here."""
        partition = self._partitions.get(account)
        return partition is not None and epoch == self.epoch and partition.latest <= version <= self.version

    def live_accounts(self) -> tuple[Account, ...]:
        """Accounts that have anything to pull."""
        return tuple(self._partitions)

    # --- restoring -------------------------------------------------------------------------------------------------------

    def restore(self, observation: Observation, book: WatchBook | None, as_of: int) -> None:
        """Put back a live entry as the journal has it: with all of its reads up to batch `as_of`."""
        self._admit(replace(observation, version=self.version + 1), book, float("-inf"), as_of)

    def dissolve(self) -> Iterator[None]:
        """Let go of everything, some in each step: to free a million entries at once would stop the loop for seconds."""
        yield from self._calendar.dissolve()
        self._lingering.clear()
        chunks = self.dirty.take()
        while chunks:
            chunks.pop()
            yield
        for part in self._partitions.parts():
            while part:
                yield from part.popitem()[1].dissolve()

    def statistics(self) -> WindowStatistics:
        """Counts, bounds and overflows."""
        return WindowStatistics(
            observations=self.live,
            capacity=self.capacity,
            lingering=self.lingering,
            accounts=len(self._partitions),
            version=self.version,
            evicted=self.evicted,
            expired=self._expired,
            linger_overflows=self._linger_overflows,
            watch_overflows=self._watch_overflows,
            closed_overflows=self._closed.overflows + self._ended_unseen.overflows,
        )
