"""One kind, listed and then watched for as long as the process lasts. Counterparts: client.py (asks), watcher.py (the actor).

The loop, as client-go's reflector has it: list in pages; watch from the list's version; when the watch ends, watch on from the
last version seen (bookmarks move it on while nothing happens); when that version is gone (410, as an answer or as an ERROR event),
list again. What a list no longer holds has gone. Whatever fails is tried again after a pause with jitter; a kind that may not be
read, or is not there, is asked for once in a while, and the others go on.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final, Protocol
from urllib.parse import urlencode

import structlog
import trio
from msgspec import Raw

from actors.cluster.live.client import Answer, ApiClient, ApiRefused, ApiUnreachable, BodyTooLong
from actors.cluster.live.kinds import WatchedKind
from actors.cluster.live.outage import Outages
from actors.cluster.live.pages import GONE, Garbage, Line, line_of, object_of, page_of, status_of, version_of
from actors.cluster.live.statistics import Counts
from actors.cluster.queries import SourceState
from actors.cluster.raw import Decoded, Skipped
from actors.runtime import Backoff

log = structlog.get_logger("protector.cluster")

PAGE_ITEMS: Final = 500
"""Objects in one page of a list, as client-go has it."""
PAGE_BYTES_MAX: Final = 64 << 20
"""Longest page; a longer one is asked for again with half as many objects."""
SLICE: Final = 100
"""Objects that are decoded, and handed on, before others may run: some milliseconds."""
LINE_BYTES_MAX: Final = 16 << 20
"""Longest line of a watch; etcd takes objects of 1.5 MiB."""
WATCH_S: Final = (300, 600)
"""How long the API server is asked to keep a watch: between these, by chance, so that watches do not all end at once."""
WATCH_IDLE_S: Final = 150.0
"""A watch that says nothing for so long is dead: bookmarks come about once a minute."""
WATCH_WORKED_S: Final = 5.0
"""A watch that lasted so long ends a row of failures, also where it said nothing."""
AGAIN_S: Final = 60.0
"""How often a kind is asked for that may not be read or is not there."""
PAUSE: Final = Backoff(base_s=0.5, cap_s=30.0)
PAUSE_AWAY: Final = Backoff(base_s=0.5, cap_s=5.0)
"""While nobody answers. What is bound, used and unbound before the watch is back is never seen; to ask again is cheap."""
PAUSE_LEAST_S: Final = 0.1
ITEM_ACCEPT: Final = "application/json"
LIST_META_ACCEPT: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
WATCH_META_ACCEPT: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class SinkLost(Exception):  # noqa: N818 - it says what happened
    """What was handed on may not have been taken: list again."""


class Sink(Protocol):
    """Who takes what is found. Every call but `heard` may raise SinkLost."""

    async def begin(self) -> None:
        """A list begins."""

    async def move(self, upserted: Sequence[Decoded], removed: Sequence[Decoded]) -> None:
        """These are there like this; then those went."""

    async def end(self) -> None:
        """The list has been told to its end: whatever else of the kind was there has gone."""

    def heard(self, state: SourceState, why: str = "") -> None:
        """How the kind stands now."""


class Gone(Exception):  # noqa: N818 - it says what happened
    """The version that was asked for is too old."""


class Follower:
    """The loop of one kind. `limiter`: how many lists may be on their way at once; `outages`: shared by the kinds, so that what
    concerns all of them is said once."""

    def __init__(
        self,
        kind: WatchedKind,
        client: ApiClient,
        sink: Sink,
        rng: random.Random,
        limiter: trio.CapacityLimiter,
        counts: Counts,
        outages: Outages | None = None,
    ) -> None:
        self.kind = kind
        self.counts = counts
        self._client = client
        self._sink = sink
        self._rng = rng
        self._limiter = limiter
        self._version: str | None = None
        self._failures = 0
        self._outages = Outages() if outages is None else outages
        self._is_away = False
        """Whether nobody answered the last time."""
        self._said = ""
        self._page_items = PAGE_ITEMS

    async def run(self) -> None:
        """For ever. Raises nothing but what is a bug."""
        while True:
            pause_s = await self._turn()
            if pause_s > 0.0:
                await trio.sleep(pause_s)

    async def _turn(self) -> float:
        """A list where one is needed, and a watch; how long to wait before the next turn."""
        try:
            if self._version is None:
                async with self._limiter:
                    self._version = await self._list()
            await self._watch(self._version)
        except Gone:
            self._is_back()
            self.counts.gone += 1
            return self._failed("the version that was watched from is gone", list_again=True, state=SourceState.LISTING)
        except SinkLost as error:
            return self._failed(str(error), list_again=True, state=SourceState.LISTING)
        except ApiRefused as refused:
            return await self._refused(refused)
        except ApiUnreachable as error:
            self._is_away = True
            return self._failed(str(error), pause=PAUSE_AWAY)
        except (Garbage, BodyTooLong) as error:
            return self._failed(str(error) or "an answer is too long", list_again=isinstance(error, Garbage))
        self._failures = 0
        return PAUSE_LEAST_S

    def _is_back(self) -> None:
        """An API server that was away answers as one does that has just started: what failed before says nothing of it."""
        if self._is_away:
            self._is_away, self._failures = False, 0

    # --- what went wrong ----------------------------------------------------------------------------------------------

    def _failed(
        self,
        why: str,
        *,
        list_again: bool = False,
        state: SourceState = SourceState.FAILING,
        at_least_s: float = PAUSE_LEAST_S,
        pause: Backoff = PAUSE,
    ) -> float:
        self.counts.failures += 1
        self._failures += 1
        if list_again:
            self._version = None
        self._say(state, why)
        return max(at_least_s, pause.delay_s(self._failures, self._rng))

    async def _refused(self, refused: ApiRefused) -> float:
        verb = "list" if self._version is None else "watch"
        again_s = AGAIN_S * self._rng.uniform(0.75, 1.25)
        if refused.code == 403:
            # An API server that has just started refuses everybody until it has read its own roles: so soon again at first.
            self._is_back()
            self.counts.failures += 1
            self._failures += 1
            self._say(SourceState.FORBIDDEN, f"missing permission: {verb} {self.kind.called} in every namespace")
            return min(again_s, PAUSE.delay_s(self._failures, self._rng) + PAUSE_LEAST_S)
        if refused.code == 404 and self._version is None:
            if await self._nothing_there():
                self._say(SourceState.ABSENT, f"the API server has no {self.kind.called}")
            return again_s
        if refused.code == GONE:
            self._is_back()
            self.counts.gone += 1
            return self._failed("the version that was asked for is gone", list_again=True, state=SourceState.LISTING)
        why = f"the API server answers {verb} {self.kind.called} with {refused.code}"
        return self._failed(why, list_again=refused.code == 404, at_least_s=refused.retry_after_s or PAUSE_LEAST_S)

    async def _nothing_there(self) -> bool:
        """The kind is not served, so there is none of it."""
        try:
            await self._sink.begin()
            await self._sink.end()
        except SinkLost:
            return False
        return True

    def _say(self, state: SourceState, why: str = "") -> None:
        """Tell how the kind stands; the log hears of it when it is something else than before, of an outage once for all kinds."""
        self._sink.heard(state, why)
        now = trio.current_time()
        if state is SourceState.FAILING:
            if (line := self._outages.failing(self.kind.kind, why, now)) is not None:
                log.warning(line.text, kinds=line.kinds)
            return
        if (line := self._outages.working(self.kind.kind, now)) is not None:
            log.info(line.text, kinds=line.kinds, after_s=round(line.lasted_s or 0.0))
        if why == self._said:
            return
        self._said = why
        if state is SourceState.FORBIDDEN:
            log.warning(why, kind=self.kind.kind)
        elif why:
            log.info(why, kind=self.kind.kind)

    # --- the list -------------------------------------------------------------------------------------------------------

    async def _list(self) -> str:
        """Hand on everything that is there; the version to watch from."""
        self._sink.heard(SourceState.LISTING)
        self.counts.lists += 1
        await self._sink.begin()
        more: str | None = None
        accept = LIST_META_ACCEPT if self.kind.metadata_only else ITEM_ACCEPT
        while True:
            query = {"limit": str(self._page_items)} | ({"continue": more} if more else {})
            try:
                async with self._client.get(f"{self.kind.path}?{urlencode(query)}", accept) as answer:
                    body = await answer.body(PAGE_BYTES_MAX)
            except BodyTooLong:
                if self._page_items == 1:
                    raise
                self._page_items = max(1, self._page_items // 2)
                continue
            page = page_of(body)
            del body
            self.counts.pages += 1
            await self._take_page(page.items or [])
            more = page.metadata.more
            if not more:
                break
        await self._sink.end()
        return page.metadata.version

    async def _take_page(self, items: list[Raw]) -> None:
        for begin in range(0, len(items), SLICE):
            found = [object_of(self.kind, item) for item in items[begin : begin + SLICE]]
            await self._sink.move(self._usable(found), ())
            await trio.lowlevel.checkpoint()

    def _usable(self, found: Sequence[Decoded | Skipped]) -> list[Decoded]:
        usable = [each for each in found if not isinstance(each, Skipped)]
        self.counts.malformed += len(found) - len(usable)
        return usable

    # --- the watch ------------------------------------------------------------------------------------------------------

    async def _watch(self, version: str) -> None:
        """Hand on what changes from this version on, until the watch ends. Raises Gone."""
        self.counts.watches += 1
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(self._rng.randint(*WATCH_S)),
        }
        accept = WATCH_META_ACCEPT if self.kind.metadata_only else ITEM_ACCEPT
        begun = trio.current_time()
        async with self._client.get(f"{self.kind.path}?{urlencode(query)}", accept) as answer:
            self._say(SourceState.WATCHING)
            await self._read_lines(answer)
        if trio.current_time() - begun < WATCH_WORKED_S and self._version == version:
            raise ApiUnreachable("a watch ended as soon as it began")

    async def _read_lines(self, answer: Answer) -> None:
        begun: list[bytes] = []
        size = 0
        while chunk := await answer.chunk(WATCH_IDLE_S):
            *lines, rest = chunk.split(b"\n")
            if lines:
                lines[0] = b"".join((*begun, lines[0]))
                begun, size = [], 0
                await self._take_lines([line_of(line) for line in lines if line])
                self._failures = 0
            if rest:
                begun.append(rest)
                size += len(rest)
            if size > LINE_BYTES_MAX:
                raise Garbage("a line of a watch is too long")

    async def _take_lines(self, lines: list[Line]) -> None:
        """In their order: what a removal is followed by is handed on after it."""
        upserted: list[Decoded] = []
        removed: list[Decoded] = []
        version, bookmarks = "", 0
        for line in lines:
            if line.type == "ERROR":
                break
            version = version_of(line.object) or version
            if line.type == "BOOKMARK":
                bookmarks += 1
                continue
            found = self._usable([object_of(self.kind, line.object)])
            if line.type == "DELETED":
                removed += found
            else:
                if removed:
                    await self._sink.move(upserted, removed)
                    upserted, removed = [], []
                upserted += found
        self.counts.events += len(lines)
        self.counts.bookmarks += bookmarks
        if upserted or removed:
            await self._sink.move(upserted, removed)
        elif bookmarks:
            self._sink.heard(SourceState.WATCHING)
        self._version = version or self._version
        if lines and lines[-1].type == "ERROR":
            self._error(lines[-1])

    def _error(self, line: Line) -> None:
        code, _ = status_of(line.object)
        if code == GONE:
            raise Gone
        raise ApiUnreachable(f"a watch ended with an error ({code})")
