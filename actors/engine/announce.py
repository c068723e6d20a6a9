"""Flips to lines of the flip log, each said once: what was announced is remembered over restarts. Pure; counterpart: announcer.py.

A line is one JSON object in ASCII: whatever an outsider chose is escaped, control characters included (design 4).
"""

from __future__ import annotations

import json
from typing import Final

from msgspec import Struct

from actors.engine.flips import READ_KEY
from actors.evidence.times import rfc3339
from actors.messages import Announce, Flip, FlipsAnnounced

READS_REMEMBERED_MAX: Final = 10_000
"""Unexplained reads that are remembered as announced; over it the oldest is forgotten, counted."""


class AnnouncerStatistics(Struct, frozen=True):
    """What was announced."""

    lit: int
    """Chains announced as corroborated and not as expired."""
    reads_remembered: int
    reads_forgotten: int
    written: int
    repeated: int
    """Flips that had been announced before: a restart is no flip."""


class Announcements:
    """What has been announced, and which flips are new."""

    def __init__(self, cluster_name: str) -> None:
        self._cluster_name = cluster_name
        self._lit: dict[str, None] = {}
        self._reads: dict[str, None] = {}
        self._reads_forgotten = 0
        self._written = 0
        self._repeated = 0

    def remember(self, keys: frozenset[str]) -> None:
        """What an earlier run announced; sorted, so that the same is always forgotten first."""
        for key in sorted(keys):
            (self._reads if key.startswith(READ_KEY) else self._lit)[key] = None

    def take(self, announce: Announce, at: float) -> tuple[list[Flip], FlipsAnnounced]:
        """The flips to say, and what is then to be remembered. `at` (epoch seconds): of ends that nobody saw."""
        flips: list[Flip] = []
        lit: dict[str, None] = {}
        dark: dict[str, None] = {}
        if announce.everything:
            told = {flip.key for flip in announce.flips}
            for key in [key for key in self._reads if key not in told]:
                del self._reads[key]
                dark[key] = None
            for key in [key for key in self._lit if key not in told]:
                del self._lit[key]
                dark[key] = None
        for flip in announce.flips:
            if not self._is_news(flip, dark):
                self._repeated += 1
                continue
            flips.append(flip)
            if flip.event == "chain.expired":
                lit.pop(flip.key, None)
                dark[flip.key] = None
            else:
                dark.pop(flip.key, None)
                lit[flip.key] = None
        self._written += len(flips)
        return flips, FlipsAnnounced(tuple(lit), tuple(dark))

    def _is_news(self, flip: Flip, dark: dict[str, None]) -> bool:
        """Whether it was not said yet; from now on it was."""
        if flip.event == "read.unexplained":
            if flip.key in self._reads:
                return False
            self._reads[flip.key] = None
            while len(self._reads) > READS_REMEMBERED_MAX:
                oldest = next(iter(self._reads))
                del self._reads[oldest]
                dark[oldest] = None
                self._reads_forgotten += 1
            return True
        if flip.event == "chain.expired":
            return self._lit.pop(flip.key, _MISSING) is None
        if flip.key in self._lit:
            return False
        self._lit[flip.key] = None
        return True

    def line(self, flip: Flip) -> str:
        """The line of the flip log, without its end."""
        return json.dumps(
            {
                "at": rfc3339(flip.at),
                "event": flip.event,
                "cluster": self._cluster_name,
                "chain": flip.chain,
                "workload": None if flip.workload is None else str(flip.workload),
                "service_account": str(flip.service_account),
                "secret": flip.secret,
                "attribution": None if flip.attribution is None else flip.attribution.value,
                "corroboration": flip.corroboration,
                "exposure": flip.exposure,
                "signals": [signal.value for signal in flip.signals],
            },
            ensure_ascii=True,
        )

    def statistics(self) -> AnnouncerStatistics:
        """Counts, for pages and metrics."""
        return AnnouncerStatistics(
            lit=len(self._lit),
            reads_remembered=len(self._reads),
            reads_forgotten=self._reads_forgotten,
            written=self._written,
            repeated=self._repeated,
        )


_MISSING: Final = object()
