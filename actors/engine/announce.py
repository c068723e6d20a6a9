"""Flips to lines of the flip log, each said once: what was announced is remembered over restarts. Pure; counterpart: announcer.py.

A line is one JSON object in ASCII: whatever an outsider chose is escaped, control characters included (design 4). Its own fields come
first, those of OCSF behind them (decision 0016).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, Literal

import msgspec
from msgspec import Struct

from actors.engine.flips import READ_KEY
from actors.engine.ocsf import ocsf_of
from actors.evidence import Account, Attribution, Signal, Workload
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
    unreadable: int
    """Remembered announcements that cannot be read; they are forgotten."""
    waiting: int = 0
    """Lines that are not written yet."""
    lost: int = 0
    """Lines that could not be written: the next start says again what is lit then."""


class _Said(Struct, frozen=True, array_like=True):
    """What was said when a chain was lit, and is said again when it is dark. Its text is what the store keeps."""

    chain: str
    workload: Workload
    service_account: Account | None
    secret: str
    attribution: Attribution
    corroboration: Literal["proven", "possible"]
    exposure: str
    signals: tuple[Signal, ...]
    corroborated_by: tuple[str, ...] = ("read",)


class Announcements:
    """What has been announced, and which flips are new."""

    def __init__(self, cluster_name: str) -> None:
        self._cluster_name = cluster_name
        self._lit: dict[str, str] = {}
        """Chains by id, with what the store keeps of each."""
        self._reads: dict[str, None] = {}
        self._unreadable: list[str] = []
        self._reads_forgotten = 0
        self._written = 0
        self._repeated = 0
        self._unreadable_count = 0

    def remember(self, kept: Iterable[str]) -> None:
        """What an earlier run announced, as the store kept it; sorted, so that the same is always forgotten first."""
        for text in sorted(kept):
            if text.startswith(READ_KEY):
                self._reads[text] = None
                continue
            said = _read(text)
            if said is None:
                self._unreadable.append(text)
                self._unreadable_count += 1
            else:
                self._lit[said.chain] = text

    def take(self, announce: Announce, at: float) -> tuple[list[Flip], FlipsAnnounced]:
        """The flips to say, and what the store is to keep then. `at` (epoch seconds): of ends that nobody saw."""
        flips: list[Flip] = []
        lit: dict[str, None] = {}
        dark: dict[str, None] = dict.fromkeys(self._unreadable)
        self._unreadable.clear()
        if announce.everything:
            flips += self._missed({flip.key for flip in announce.flips}, at, dark)
        for flip in announce.flips:
            if flip.event == "read.unexplained":
                news = self._read_is_news(flip, lit, dark)
            elif flip.event == "chain.expired":
                news = self._forget_chain(flip.key, lit, dark)
            else:
                news = self._chain_is_news(flip, lit, dark)
            if news:
                flips.append(flip)
            else:
                self._repeated += 1
        self._written += len(flips)
        return flips, FlipsAnnounced(tuple(lit), tuple(dark))

    def _missed(self, told: set[str], at: float, dark: dict[str, None]) -> list[Flip]:
        """Ends that nobody saw: what was announced, and is not among all that is lit now."""
        for key in [key for key in self._reads if key not in told]:
            del self._reads[key]
            dark[key] = None
        flips = []
        for key in [key for key in self._lit if key not in told]:
            text = self._lit.pop(key)
            dark[text] = None
            said = _read(text)
            if said is not None:
                flips.append(_end_of(said, at))
        return flips

    def _read_is_news(self, flip: Flip, lit: dict[str, None], dark: dict[str, None]) -> bool:
        if flip.key in self._reads:
            return False
        self._reads[flip.key] = lit[flip.key] = None
        while len(self._reads) > READS_REMEMBERED_MAX:
            oldest = next(iter(self._reads))
            del self._reads[oldest]
            lit.pop(oldest, None)
            dark[oldest] = None
            self._reads_forgotten += 1
        return True

    def _chain_is_news(self, flip: Flip, lit: dict[str, None], dark: dict[str, None]) -> bool:
        if flip.key in self._lit:
            return False
        text = _text_of(flip)
        self._lit[flip.key] = text
        dark.pop(text, None)
        lit[text] = None
        return True

    def _forget_chain(self, key: str, lit: dict[str, None], dark: dict[str, None]) -> bool:
        text = self._lit.pop(key, None)
        if text is None:
            return False
        lit.pop(text, None)
        dark[text] = None
        return True

    def line(self, flip: Flip) -> str:
        """The line of the flip log, without its end."""
        fields: dict[str, object] = {
            "at": rfc3339(flip.at),
            "event": flip.event,
            "cluster": self._cluster_name,
            "chain": flip.chain,
            "workload": None if flip.workload is None else str(flip.workload),
            "service_account": None if flip.service_account is None else str(flip.service_account),
            "secret": flip.secret,
            "attribution": None if flip.attribution is None else flip.attribution.value,
            "corroboration": flip.corroboration,
            "exposure": flip.exposure,
            "signals": [signal.value for signal in flip.signals],
        }
        if flip.corroborated_by != ("read",):
            fields["corroborated_by"] = flip.corroborated_by
        return json.dumps(fields | ocsf_of(flip), ensure_ascii=True).replace("\x7f", "\\u007f")

    def statistics(self, waiting: int = 0, lost: int = 0) -> AnnouncerStatistics:
        """Counts, for pages and metrics."""
        return AnnouncerStatistics(
            lit=len(self._lit),
            reads_remembered=len(self._reads),
            reads_forgotten=self._reads_forgotten,
            written=self._written,
            repeated=self._repeated,
            unreadable=self._unreadable_count,
            waiting=waiting,
            lost=lost,
        )


def _text_of(flip: Flip) -> str:
    """What the store keeps of a chain that was announced as lit."""
    if flip.workload is None or flip.attribution is None or flip.corroboration is None or flip.exposure is None:
        raise ValueError("the flip of a chain names its workload, attribution, corroboration and exposure")
    said = _Said(
        flip.key, flip.workload, flip.service_account, flip.secret, flip.attribution, flip.corroboration,
        flip.exposure, flip.signals, flip.corroborated_by,
    )  # fmt: skip
    return msgspec.json.encode(said).decode()


def _read(text: str) -> _Said | None:
    """What the store kept; None for what this version cannot read."""
    try:
        return msgspec.json.decode(text, type=_Said)
    except ValueError:
        return None


def _end_of(said: _Said, at: float) -> Flip:
    return Flip(
        at=at,
        event="chain.expired",
        chain=said.chain,
        workload=said.workload,
        service_account=said.service_account,
        secret=said.secret,
        attribution=said.attribution,
        corroboration=said.corroboration,
        exposure=said.exposure,
        signals=said.signals,
        key=said.chain,
        corroborated_by=said.corroborated_by,
    )
