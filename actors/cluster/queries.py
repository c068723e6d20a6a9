"""Messages of the cluster's actor that are not between stages: what a source tells it, what pages and metrics ask of it.

Counterparts: actor.py; web/api.py (`objects` of /api/status).
"""

from __future__ import annotations

import enum

from msgspec import Struct

from actors.cluster.raw import Decoded


class ObjectsMoved(Struct, frozen=True):
    """Told by a source that watches: these are there, like this; those went. In that order, at most some hundreds."""

    upserted: tuple[Decoded, ...] = ()
    removed: tuple[Decoded, ...] = ()
    synced: bool = False
    """The source has been read to its end: from here on what is new is new since now."""
    kind: str = ""
    """Of a source that tells kinds apart: all of it is of this kind."""


class SourceState(enum.Enum):
    """How one kind of a live source stands."""

    WAITING = "waiting"
    """Nothing was heard yet."""
    LISTING = "listing"
    """It is being read from its beginning."""
    WATCHING = "watching"
    """It is current."""
    FAILING = "failing"
    """The API server does not answer, or not as it should; what was known is kept."""
    FORBIDDEN = "forbidden"
    """A permission is missing."""
    ABSENT = "absent"
    """The API server does not have the kind."""


class ListBegun(Struct, frozen=True):
    """Told by a source that watches: all there is of this kind follows, until ListEnded."""

    kind: str


class ListEnded(Struct, frozen=True):
    """All of the kind has been told: what was not named since ListBegun has gone."""

    kind: str


class SourceHeard(Struct, frozen=True):
    """Told by a source that watches: how the kind stands."""

    kind: str
    state: SourceState
    why: str = ""


class ClusterStatusQuery(Struct, frozen=True):
    """Answer: ClusterStatus."""


class KindStatus(Struct, frozen=True):
    """One kind of object."""

    count: int
    """Live ones."""
    synced: bool
    """Whether the source has been read to the end at least once."""
    age_s: float
    """Seconds since the source was last known to be current; for a file, since it was read."""
    state: str = "read"
    """Of a live source: SourceState's word."""
    why: str = ""
    """Of a live source: what is wrong, "" for nothing."""

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to wait for: it was read, or cannot be."""
        return self.synced or self.state in _CANNOT


_CANNOT = (SourceState.FORBIDDEN.value, SourceState.ABSENT.value)


class ClusterStatistics(Struct, frozen=True):
    """Counts of the model; `dropped` ones say that a bound was reached."""

    epoch: int
    version: int
    held: int
    """Keys with at least one record."""
    pods: int
    """Live and remembered."""
    tombstones: int
    """Records that are remembered for a time; those of earlier snapshots do not count."""
    tombstones_dropped: int
    """Forgotten before their time because there were too many."""
    versions_dropped: int
    """Versions of one role or binding forgotten before their time because it changed too often."""
    epochs_ended: int
    """How often everybody had to start from everything again."""


class ClusterStatus(Struct, frozen=True):
    """What is known of the cluster."""

    objects: dict[str, KindStatus]
    malformed: int
    """Objects of the source that were left out: wrong types or impossible names."""
    unknown: dict[str, int]
    """Objects of kinds that say nothing here, by kind."""
    statistics: ClusterStatistics
