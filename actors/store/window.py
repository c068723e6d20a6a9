"""The TTL window: what was read lately, by event time. Pure; `now` is handed in and never goes back.

Rules:
1. A read is live until its event time + TTL (and what its log may lag, `Read.lag_s`); a watch from its start until its end, or until
   it can no longer be open, and as long again.
2. A read that is not live on arrival is late: it adds to a live observation, or lingers a moment as one that is past, to be pulled.
3. An observation ends when time says so (`expire`), or when the window is full and it is the one that ends soonest. That can be the
   one that has just come: its read was answered as `new`, is counted as evicted and in history, and no pull ever shows it.
4. What only says that a watch has ended is no read: it ends that watch and does nothing else.

Whoever applies the same reads with the same `now` gets the same window: that is what a restart does (ledger.py).
Counterparts: entries.py (the structure underneath), watches.py (two stages, one watch).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors.evidence import GrantName, NamedGrant, Observation, ObservationKey, Read, SeenSource, observation_key
from actors.store.entries import LINGER_MAX, Entries
from actors.store.entry import Entry
from actors.store.partition import Partition
from actors.store.sources import with_source
from actors.store.watches import NAMED_MAX, Effect, WatchBook, as_watch, newest_named, watch_id

COUNTED: Final = 1
"""It is a request not seen before, and not the other stage of a known watch. (Plain ints: a Flag costs a microsecond a read.)"""
NEW: Final = 2
"""Its observation was not live before."""
LATE: Final = 4
"""It was not live on arrival."""
KNOWN: Final = 8
"""The journal's row of its observation already contains it: nothing was done."""


Found = tuple[ObservationKey, Partition | None, Entry | None]
"""Where a read belongs in the window: its key, what is there of its account, and its observation's entry."""


def _never(_read: Read, _now: float) -> bool:
    return False


class Window(Entries):
    """Entries, and what a read does to them."""

    def __init__(
        self, ttl_s: float, capacity: int, epoch: int, first_read: Callable[[Read, float], bool] = _never
    ) -> None:
        """`ttl_s` > 0; `capacity`: live ones; `epoch`: of all versions; `first_read(read, now)`: asked for new ones."""
        super().__init__(ttl_s, capacity, epoch)
        self._first_read = first_read

    def find(self, read: Read) -> Found:
        """Where the read belongs, and what is there."""
        key = observation_key(read)
        partition = self._partitions.get(read.account)
        return key, partition, partition.get(key) if partition is not None else None

    def record(self, read: Read, now: float, received_at: float, seq: int = 0, found: Found | None = None) -> int:
        """Apply one read of batch `seq`, received at `received_at`. Returns COUNTED, NEW, LATE, KNOWN or'ed together.

        `found`: what `find` said of it at some time before; an entry that was found then and is not gone is still the one.
        """
        self.now = now
        key, partition, entry = self.find(read) if found is None else found
        if found is not None and (entry is None or entry.gone):
            partition = self._partitions.get(read.account)
            entry = partition.get(key) if partition is not None else None
        if partition is not None and entry is not None:
            if entry.as_of >= seq:
                return KNOWN
            if (entry.lingers_until or entry.observation.live_until) <= now:
                self._end(entry)
                partition = entry = None  # the account may have gone with it
        if read.verb == "watch":
            if read.ends_only:
                return self._end_watch(read, key, entry, now, received_at)
            return self._record_watch(read, key, entry, now, received_at)
        live_until = read.at + self.ttl_s + read.lag_s
        if live_until <= now:
            return self._record_late(read, key, entry, live_until, now, received_at)
        if partition is None or entry is None:
            self._create(read, key, _effect_of(read, live_until, now), None, now, received_at, partition)
            return COUNTED | NEW
        was = entry.observation
        last, arrived_at, sources = was.last, was.arrived_at, was.sources
        if (address := read.source_ip) != last.source_ip or (not sources and address is not None):
            sources = with_source(was, read, live_until, now)  # else `Observation.seen_from` works it out
        named, grant = was.named, read.named
        if read.at < last.at:
            named = was.proofs if grant is None else with_named(was.proofs, grant, live_until)
        else:
            last, arrived_at = read, received_at
            head = named[0].grant if named else None
            if grant is None or (head is not grant and head != grant) or live_until < was.live_until:
                named = was.proofs if grant is None else with_named(was.proofs, grant, live_until)
            # else `Observation.proofs` works it out
        self._change(
            partition,
            entry,
            Observation(
                was.key,
                last,
                was.first_seen if was.first_seen <= read.at else read.at,  # noqa: FURB136 - min() costs 80 ns, each read
                arrived_at,
                was.count + 1,
                live_until if live_until > was.live_until else was.live_until,  # noqa: FURB136 - as above
                0.0,
                named,
                self.version + 1,
                was.first_read,
                sources,
            ),
        )
        if entry.lingers_until:
            self._light(entry, now)
            return COUNTED | NEW
        return COUNTED

    def would_light(self, read: Read, now: float, key: ObservationKey, entry: Entry | None) -> bool:
        """Whether this read would make its observation live that is not live now: what the answer calls `new`.

        `key`, `entry`: as found. Whether a full window will then keep it is not asked (rule 3).
        """
        if entry is not None and not entry.lingers_until and entry.observation.live_until > now:
            return False
        if read.verb != "watch":
            return read.at + self.ttl_s + read.lag_s > now
        id_ = watch_id(read)
        book = entry.watches if entry is not None else None
        known = book.known(id_) if book is not None else None
        if known is not None and (not read.complete or not known.open_until):
            return False
        ended = self._ended(read, key)
        live_until = as_watch(read, self.ttl_s).live_until if ended is None else ended
        return live_until > now

    # --- the rare ways of a read ---------------------------------------------------------------------------------------

    def _record_late(
        self, read: Read, key: ObservationKey, entry: Entry | None, live_until: float, now: float, received_at: float
    ) -> int:
        if entry is None:
            self._create_past(read, key, _effect_of(read, live_until, now), None, now, received_at)
            return COUNTED | LATE
        was = entry.observation
        newer = entry.lingers_until and read.at >= was.last.at
        self._change(
            self._partitions[read.account],
            entry,
            Observation(
                was.key,
                read if newer else was.last,
                min(was.first_seen, read.at),
                received_at if newer else was.arrived_at,
                was.count + 1,
                max(was.live_until, live_until),
                was.held_open_until,
                was.proofs,
                self.version + 1,
                was.first_read,
                was.sources,
            ),
        )
        return COUNTED | LATE

    def _record_watch(
        self, read: Read, key: ObservationKey, entry: Entry | None, now: float, received_at: float
    ) -> int:
        id_, watch = watch_id(read), as_watch(read, self.ttl_s)
        if not read.complete and (gone := self._ended_unseen.live_until(read.account, key, id_)) is not None:
            watch = watch.ending(gone)
        book = entry.watches if entry is not None else None
        known = book.known(id_) if book is not None else None
        late = LATE if watch.live_until <= now else 0
        if known is not None and (not read.complete or not known.open_until):
            return late  # the stage that is known already, or a start after its end
        ended = self._closed.live_until(read.account, key, id_) if known is None else None
        if ended is not None:
            late = LATE if ended <= now else 0
            if entry is not None or late:
                return late
            watch = watch.ending(ended)
        if entry is None:
            fresh = WatchBook({id_: watch})
            effect = fresh.effect(now)
            if late:
                self._create_past(read, key, effect, fresh, now, received_at)
                return COUNTED | LATE
            self._create(read, key, effect, fresh, now, received_at)
            return COUNTED | NEW
        if book is None:
            book = entry.watches = WatchBook()
        displaced = book.put(id_, watch, now)
        if displaced is not None:
            self._watch_overflows += displaced[1].live_until > now
            if not displaced[1].open_until:
                self._closed.add(read.account, key, displaced[0], displaced[1].live_until, now, read.lag_s)
        newer = (read.at, read.stage_at) >= (entry.observation.last.at, entry.observation.last.stage_at)
        if late and known is None and not entry.lingers_until:
            newer = False
        return self._follow(read if newer else None, entry, book, read.at, known is None, now, received_at) | late

    def _end_watch(self, read: Read, key: ObservationKey, entry: Entry | None, now: float, received_at: float) -> int:
        """End a watch that is known to be open. If it is not known its start may come yet: that is then one that has ended."""
        id_, live_until = watch_id(read), as_watch(read, self.ttl_s).live_until
        book = entry.watches if entry is not None else None
        known = book.known(id_) if book is not None else None
        if entry is None or book is None or known is None:
            self._ended_unseen.add(read.account, key, id_, live_until, now, read.lag_s)
            return 0
        if known.open_until:
            book.put(id_, known.ending(live_until), now)
            self._follow(None, entry, book, read.at, False, now, received_at)
        return 0

    def _ended(self, read: Read, key: ObservationKey) -> float | None:
        """Until when the watch of this read counts, if it is one that has ended and is not in the window."""
        id_ = watch_id(read)
        ended = self._closed.live_until(read.account, key, id_)
        return self._ended_unseen.live_until(read.account, key, id_) if ended is None and not read.complete else ended

    def _follow(
        self, last: Read | None, entry: Entry, book: WatchBook, at: float, counted: bool, now: float, received_at: float
    ) -> int:
        """Let the observation be what its watches say; it may become past by this, or live."""
        was, effect = entry.observation, book.effect(now)
        self._change(
            self._partitions[was.last.account],
            entry,
            Observation(
                was.key,
                was.last if last is None else last,
                min(was.first_seen, at),
                was.arrived_at if last is None else received_at,
                was.count + counted,
                effect.live_until,
                effect.held_open_until,
                effect.named,
                self.version + 1,
                was.first_read,
                effect.sources,
            ),
        )
        outcome = COUNTED if counted else 0
        if effect.live_until > now:
            if entry.lingers_until:
                self._light(entry, now)
                outcome |= NEW
        elif not entry.lingers_until:
            self._linger(entry, now)
        return outcome

    def _create(
        self,
        read: Read,
        key: ObservationKey,
        effect: Effect,
        book: WatchBook | None,
        now: float,
        received_at: float,
        partition: Partition | None = None,
    ) -> None:
        """`partition`: where it goes, if that was looked up and is there."""
        first_read = self._first_read(read, now)
        observation = Observation(
            key,
            read,
            read.at,
            received_at,
            1,
            effect.live_until,
            effect.held_open_until,
            effect.named,
            self.version + 1,
            first_read,
            effect.sources,
        )
        self._admit(observation, book, now, partition=partition)

    def _create_past(
        self,
        read: Read,
        key: ObservationKey,
        effect: Effect,
        book: WatchBook | None,
        now: float,
        received_at: float,
    ) -> None:
        """An observation that only lingers; over LINGER_MAX just the end of its watch is remembered."""
        if self.lingering < LINGER_MAX:
            self._create(read, key, effect, book, now, received_at)
            return
        self._linger_overflows += 1
        if read.verb == "watch" and read.complete:
            self._closed.add(read.account, key, watch_id(read), effect.live_until, now)


def _effect_of(read: Read, live_until: float, now: float) -> Effect:
    """What a read that is no watch comes to alone."""
    named = () if read.named is None else (NamedGrant(read.named, live_until),)
    live = read.source_ip is not None and live_until > now
    sources = (SeenSource(read.source_ip, live_until, read.at),) if live and read.source_ip is not None else ()
    return Effect(live_until, 0.0, named, sources)


def with_named(named: tuple[NamedGrant, ...], grant: GrantName, live_until: float) -> tuple[NamedGrant, ...]:
    """What was named, with one more naming: each grant once, the newest first, at most NAMED_MAX."""
    if named and ((head := named[0]).grant is grant or head.grant == grant):
        if live_until <= head.live_until:
            return named
        head = NamedGrant(head.grant, live_until)
        return (head,) if len(named) == 1 else (head, *named[1:])
    if not named:
        return (NamedGrant(grant, live_until),)
    if len(named) >= NAMED_MAX and live_until < named[-1].live_until:
        return named
    return newest_named((NamedGrant(grant, live_until), *named))
