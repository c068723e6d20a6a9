"""`protector replay`: a recorded audit log through the same parser, window, attribution and engine, without actors and on event time.

A chain is corroborated in the result if it was at any time in the log: nothing expires during a replay.
"""

from __future__ import annotations

import gzip
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import IO, Final, TextIO, cast

import msgspec
from msgspec import Struct

from actors.attribution import Roster, attribute
from actors.cluster.source import ClusterFileError
from actors.engine.core import Engine
from actors.engine.expected import Expected
from actors.engine.listing import Listing
from actors.engine.queries import LIMIT_MAX, BadCursor, ChainsQuery, ChainView, EvidenceQuery, EvidenceView
from actors.evidence import Read
from actors.messages import AccountPods, EvidenceChanged
from actors.parser import has_lines, parse_body
from actors.store.history import History
from actors.store.window import Window
from web.ask import chain_rows, table
from web.logs import escaped, logger
from web.sarif import sarif_of, write_sarif
from web.snapshots import model_of

TTL_S: Final = 1e11
"""Longer than any log: what was once read stays."""
JUDGED_AFTER_S: Final = 60.0
"""The result is looked at this long after the last read was taken in, so that every read has been judged."""
CHUNK_BYTES: Final = 512 * 1024
"""Lines of a log that are parsed at once."""
LINE_BYTES_MAX: Final = 64 << 20
"""Longest line; a log that is one document (an EventList) may be as long as WHOLE_BYTES_MAX."""
WHOLE_BYTES_MAX: Final = 1 << 30
OBSERVATIONS_MAX: Final = 10**7
HISTORY_DAYS: Final = 36_500.0
"""No read of a log is forgotten; what is new in it is told from the log alone."""

log = logger("protector.replay")


class ReplayError(Exception):
    """A file cannot be used. One line for the person."""


class Replay(Struct, frozen=True):
    """What came out: the JSON of `--output json`."""

    events: int
    reads: int
    dropped: dict[str, int]
    chains: list[ChainView]
    evidence: list[EvidenceView]

    @property
    def corroborated(self) -> list[ChainView]:
        """The chains that were lit at any time in the log."""
        return [chain for chain in self.chains if chain.corroborated]

    @property
    def open(self) -> list[ChainView]:
        """Those of them that were lit by evidence that is not expected."""
        return [chain for chain in self.chains if chain.open]

    @property
    def loose(self) -> list[EvidenceView]:
        """Evidence that is not expected and lights no chain: nothing that is known of the cluster explains it."""
        return [piece for piece in self.evidence if not piece.chains and piece.expected is None]


def run_replay(logs: Sequence[Path], clusters: Sequence[Path], expected: Expected | None = None) -> Replay:
    """Every chain of the snapshots, and every piece of evidence in the logs. Raises ReplayError."""
    now = time.time()
    try:
        model = model_of(clusters, now=now)
    except ClusterFileError as error:
        raise ReplayError(str(error)) from None
    history = History(HISTORY_DAYS)
    window = Window(TTL_S, OBSERVATIONS_MAX, 1, lambda read, _now: history.first_read(read, read.at))
    events, reads, dropped = 0, 0, Counter[str]()
    for file in logs:
        for body, as_lines in _bodies(file):
            batch = parse_body(body, now, as_lines=as_lines)
            if batch.error is not None:
                log.warning("part of a log is not audit events", file=str(file), error=batch.error)
            events += batch.events
            reads += batch.events - sum(batch.dropped.values())
            dropped.update(batch.dropped)
            for read in batch.reads:
                if history.since is None:
                    history.since = read.at
                window.record(read, now, now)
                if not read.borrowed and not read.ends_only:
                    history.note(read, events)
    engine = Engine(memory_s=math.inf, expected=expected)
    engine.apply_records(model.records(), full=True, now=now)
    for account in window.live_accounts():
        roster = Roster(AccountPods(account, model.pods_of(account)))
        observations = window.changes_since(account, 0, 0).observations
        evidence = tuple(attribute(observation, roster, now) for observation in observations)
        engine.apply_evidence(EvidenceChanged(account, (0, 0), (1, 1), True, evidence), now)
    return Replay(events, reads, dict(dropped), *_answers(engine, now + JUDGED_AFTER_S))


def reads_of(logs: Sequence[Path], now: float) -> Iterator[Read]:
    """All reads of the logs, in their order. Raises ReplayError."""
    for file in logs:
        for body, as_lines in _bodies(file):
            yield from parse_body(body, now, as_lines=as_lines).reads


def _answers(engine: Engine, now: float) -> tuple[list[ChainView], list[EvidenceView]]:
    listing = Listing(engine)
    chains: list[ChainView] = []
    evidence: list[EvidenceView] = []
    cursor: str | None = None
    while True:
        page = listing.chains(ChainsQuery(cursor=cursor, limit=LIMIT_MAX), now)
        if isinstance(page, BadCursor):
            raise TypeError("the engine did not know its own cursor")
        chains += map(_timeless_chain, page.chains)
        if (cursor := page.next_cursor) is None:
            break
    while True:
        pieces = listing.evidence(EvidenceQuery(cursor=cursor, limit=LIMIT_MAX), now)
        if isinstance(pieces, BadCursor):
            raise TypeError("the engine did not know its own cursor")
        evidence += map(_timeless, pieces.evidence)
        if (cursor := pieces.next_cursor) is None:
            return chains, evidence


def _timeless(piece: EvidenceView) -> EvidenceView:
    """In a recording nothing is live now."""
    return msgspec.structs.replace(piece, live=False, held_open=False, expires_at=None)


def _timeless_chain(chain: ChainView) -> ChainView:
    return msgspec.structs.replace(
        chain,
        expires_at=None,
        secrets=[msgspec.structs.replace(secret, expires_at=None) for secret in chain.secrets],
        evidence=[_timeless(piece) for piece in chain.evidence],
    )


# --- reading logs --------------------------------------------------------------------------------------------------------


def _bodies(file: Path) -> Iterator[tuple[bytes, bool]]:
    """The log in parts that the parser takes: some lines each (True), or the whole of a log that is one document."""
    try:
        with _opened(file) as opened:
            # Which of the two it is cannot be told from the first line alone: that can be cut off by a rotation.
            head = opened.readline(LINE_BYTES_MAX)
            head += opened.read(CHUNK_BYTES) + opened.readline(LINE_BYTES_MAX)
            if has_lines(head):
                yield head, True
                yield from ((part, True) for part in _some_lines(opened))
                return
            rest = opened.read(WHOLE_BYTES_MAX)
    except (OSError, EOFError) as error:
        raise ReplayError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    if len(rest) >= WHOLE_BYTES_MAX:
        raise ReplayError(f"{file}: one document of more than {WHOLE_BYTES_MAX >> 30} GiB; give it as JSON lines")
    yield head + rest, False


def _opened(file: Path) -> IO[bytes]:
    with file.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(file)) if packed else file.open("rb")


def _some_lines(opened: IO[bytes]) -> Iterator[bytes]:
    while part := opened.read(CHUNK_BYTES):
        yield part + opened.readline(LINE_BYTES_MAX)


# --- writing -----------------------------------------------------------------------------------------------------------------


def write_replay(result: Replay, output: str, out: TextIO, snapshots: Sequence[Path] = ()) -> None:
    """The result on `out`: one JSON document, one JSON line a lit chain and piece of evidence, SARIF, or tables."""
    if output == "sarif":
        loose = [piece for piece in result.evidence if not piece.chains]
        names = [path.name for path in snapshots]
        out.write(write_sarif(sarif_of(result.corroborated, loose, installed_version("kube-protector"), names)) + "\n")
    elif output == "json":
        out.write(msgspec.json.encode(result).decode() + "\n")
    elif output == "jsonl":
        lines: Iterable[tuple[str, Struct]] = [("chain", c) for c in result.corroborated]
        lines = [*lines, *(("evidence", piece) for piece in result.evidence)]
        out.writelines(msgspec.json.encode({kind: view}).decode() + "\n" for kind, view in lines)
    else:
        drops = ", ".join(f"{reason} {n}" for reason, n in sorted(result.dropped.items())) or "none"
        out.write(escaped(f"{result.events} events, {result.reads} reads; dropped: {drops}") + "\n")
        out.write(f"{len(result.corroborated)} of {len(result.chains)} chains corroborated")
        quiet = len(result.corroborated) - len(result.open)
        out.write(f", {quiet} of them by expected readers only\n" if quiet else "\n")
        table(chain_rows([msgspec.to_builtins(chain) for chain in result.corroborated]), out)
