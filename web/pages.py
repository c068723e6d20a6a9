"""The dashboards: chains, one chain, evidence, and the frame of the actors' pages. Rendered here, whole without scripts; reading only.

Every panel has four honest states: there, empty with the reason and the next command, stale, and unanswered with a hint: a part
that does not answer never takes the page with it. Counterparts: web/shown.py and web/templates/ (how), web/sources.py (what),
actors/runtime/watch (the actors' pages themselves).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from jinja2 import Environment
from quart import Response, request
from quart_trio import QuartTrio

from actors.cluster.live.heartbeat import HeartbeatState
from actors.engine.queries import LIMIT_DEFAULT, BadCursor, ChainPage, ChainsQuery, ChainView
from actors.evidence.times import rfc3339
from actors.grants import EDGES
from actors.runtime.watch import EVENT_NAMES, Page, totals_of
from web.params import (
    EXPOSURES,
    NO_SUCH_CURSOR,
    SIGNALS,
    BadParameter,
    chains_query,
    escalations_query,
    evidence_query,
    pairs_of,
)
from web.shown import ago, link, since, until
from web.sources import Sources, Unanswered

__all__ = ["Pages"]

PAGE_LIMIT: Final = LIMIT_DEFAULT
"""Rows of a list on one page."""
EVENT_NAMES_SHOWN: Final = (
    "chain.corroborated", "chain.expired", "read.unexplained", "evidence.new", *EVENT_NAMES, "stream.missed",
)  # fmt: skip
"""Names on /api/events that bring an open page anew."""

T = TypeVar("T")


HEARTBEAT_WORDS: Final = {
    HeartbeatState.BLIND: "protector is blind: its own requests do not come back through the audit webhook, so reads do not either.",
    HeartbeatState.UNUSABLE: "Whether the audit feed is alive cannot be proved:",
    HeartbeatState.UNREACHABLE: "Whether the audit feed is alive cannot be proved, the API server does not answer:",
}
SOURCE_WORDS: Final = {
    "failing": "The API server does not answer for these kinds, what is shown of them may be old:",
    "forbidden": "The account of protector may not read these kinds, and chains that need them are missing:",
}


class Gathered:
    """Answers of one page; a part that did not answer is None, and listed once."""

    def __init__(self) -> None:
        self.missing: list[Unanswered] = []

    async def get(self, answer: Awaitable[T]) -> T | None:
        """The answer, or None."""
        try:
            return await answer
        except Unanswered as error:
            if all(error.part != known.part for known in self.missing):
                self.missing.append(error)
            return None


class Pages:
    """Renders the pages from the sources. `signed_in`: whether to offer signing out."""

    def __init__(self, sources: Sources, templates: Environment, *, signed_in: bool) -> None:
        self._sources = sources
        self._templates = templates
        self._signed_in = signed_in

    def add_to(self, app: QuartTrio) -> None:
        """Adds the pages' routes."""

        @app.get("/")
        async def chains_page() -> Response:
            return await self.chains()

        @app.get("/chains/<chain_id>")
        async def chain_page(chain_id: str) -> Response:
            return await self.chain(chain_id)

        @app.get("/escalations")
        async def escalations_page() -> Response:
            return await self.escalations()

        @app.get("/evidence")
        async def evidence_page() -> Response:
            return await self.evidence()

    async def _notices(self, got: Gathered) -> list[str]:
        """What makes an answer weaker than it looks: a feed that is blind, kinds that cannot be read."""
        notices = []
        beat = await got.get(self._sources.heartbeat_status())
        if beat is not None and (words := HEARTBEAT_WORDS.get(beat.state)) is not None:
            notices.append(f"{words} {beat.why}.")
        cluster = await got.get(self._sources.cluster_status())
        for state, words in SOURCE_WORDS.items():
            kinds = [kind for kind, status in cluster.objects.items() if status.state == state] if cluster else []
            if kinds:
                notices.append(f"{words} {', '.join(kinds)}.")
        return notices

    async def chains(self) -> Response:
        """The first glance, then the chains."""
        filters, pairs = _filters()
        query = chains_query([*pairs, ("limit", str(PAGE_LIMIT))])
        got = Gathered()
        page = await got.get(self._sources.chains(query))
        if isinstance(page, BadCursor):
            raise BadParameter(NO_SUCH_CURSOR)
        top: ChainPage | BadCursor | None = page
        if filters or query.cursor:
            top = await got.get(self._sources.chains(ChainsQuery(limit=1)))
        store = await got.get(self._sources.store_status())
        engine = await got.get(self._sources.engine_status())
        cluster = await got.get(self._sources.cluster_status())
        load = await totals_of(self._sources.system)
        return self._page(
            "chains.html",
            503 if page is None else 200,
            got,
            store=store,
            notices=await self._notices(got),
            here="/",
            title="Chains",
            json_link=link("/api/chains", **filters),
            page=page,
            worst=_first(top),
            engine=engine,
            objects=0 if cluster is None else sum(kind.count for kind in cluster.objects.values()),
            fullest=load.fullest,
            overflows=load.overflows,
            restarting=load.restarts,
            **_paging("/", filters, query.cursor, page.next_cursor if page else None),
        )

    async def chain(self, chain_id: str) -> Response:
        """One chain: its path, why it is lit, what to cut, its evidence."""
        got = Gathered()
        chain = await got.get(self._sources.chain(chain_id))
        store = await got.get(self._sources.store_status())
        if chain is None and not got.missing:
            return self.problem(
                404, "No such chain", "It ended with its workload or its grant, or the link is cut short."
            )
        of_account, of_secret = None, None
        if chain is not None and chain.service_account is not None and chain.grant is not None:
            account, scope = chain.service_account, chain.objective
            of_account = await got.get(self._count(account=(account.namespace or "", account.name or "")))
            if scope.namespace and scope.name:
                of_secret = await got.get(self._count(secret=(scope.namespace, scope.name)))
        return self._page(
            "chain.html",
            503 if chain is None else 200,
            got,
            store=store,
            notices=await self._notices(got),
            here="/chains",
            title=_chain_title(chain),
            json_link=link(f"/api/chains/{chain_id}") if chain is not None else None,
            chain=chain,
            of_account=of_account,
            of_secret=of_secret,
        )

    async def escalations(self) -> Response:
        """Ways to Secrets that are no read of one."""
        filters, pairs = _filters()
        query = escalations_query([*pairs, ("limit", str(PAGE_LIMIT))])
        got = Gathered()
        page = await got.get(self._sources.escalations(query))
        if isinstance(page, BadCursor):
            raise BadParameter(NO_SUCH_CURSOR)
        return self._page(
            "escalations.html",
            503 if page is None else 200,
            got,
            store=await got.get(self._sources.store_status()),
            here="/escalations",
            title="Escalations",
            json_link=link("/api/escalations", **filters),
            page=page,
            **_paging("/escalations", filters, query.cursor, page.next_cursor if page else None),
        )

    async def evidence(self) -> Response:
        """What was read: live, and what ended in the last hour."""
        filters, pairs = _filters()
        query = evidence_query([*pairs, ("limit", str(PAGE_LIMIT))])
        got = Gathered()
        page = await got.get(self._sources.evidence(query))
        if isinstance(page, BadCursor):
            raise BadParameter(NO_SUCH_CURSOR)
        return self._page(
            "evidence.html",
            503 if page is None else 200,
            got,
            store=await got.get(self._sources.store_status()),
            notices=await self._notices(got),
            here="/evidence",
            title="Evidence",
            json_link=link("/api/evidence", **filters),
            page=page,
            **_paging("/evidence", filters, query.cursor, page.next_cursor if page else None),
        )

    async def actors_frame(self, page: Page) -> str:
        """A page of the actors' own in the frame of all pages (see `actors.runtime.watch.Layout`)."""
        got = Gathered()
        return self._text(
            "actors.html",
            got,
            store=await got.get(self._sources.store_status()),
            here="/actors" if page.here == "tree" else "/actors/",
            live=page.live,
            title=page.title,
            json_link=page.json_link,
            page=page,
        )

    def problem(self, status: int, heading: str, words: str) -> Response:
        """A page that says why there is no other."""
        return self._page(
            "problem.html",
            status,
            Gathered(),
            store=None,
            here="",
            live=False,
            title=heading,
            heading=heading,
            words=words,
        )

    def login(self, target: str, wrong: str) -> str:
        """The login page; `target`: where to go after it."""
        return self._templates.get_template("login.html").render(target=target, wrong=wrong)

    async def _count(self, **filters: Any) -> int | None:
        page = await self._sources.chains(ChainsQuery(limit=1, **filters))
        return page.total if isinstance(page, ChainPage) else None

    def _page(self, template: str, status: int, got: Gathered, **values: Any) -> Response:
        answer = Response(self._text(template, got, **values), status, content_type="text/html; charset=utf-8")
        if status == 503:
            answer.headers["Retry-After"] = "2"
        return answer

    def _text(self, template: str, got: Gathered, *, store: Any, here: str, live: bool = True, **values: Any) -> str:
        now = self._sources.clock.now()
        feed = None if store is None else self._sources.feed_at(store, now)
        return self._templates.get_template(template).render(
            now=now,
            now_text=rfc3339(now),
            ago=lambda at: ago(at, now),
            until=lambda at: until(at, now),
            since=lambda at: since(at, now),
            feed=feed,
            store=store,
            here=here,
            live=live,
            event_names=" ".join(EVENT_NAMES_SHOWN),
            signed_in=self._signed_in,
            cluster=self._sources.cluster_name,
            version=self._sources.version,
            missing=got.missing,
            exposures=EXPOSURES,
            all_signals=SIGNALS,
            edges=EDGES,
            **values,
        )


def _filters() -> tuple[dict[str, str], list[tuple[str, str]]]:
    """(the filters that are set, all parameters that are): an empty field of the form is none."""
    pairs = [(name, text) for name, text in pairs_of(request.query_string) if text and name != "limit"]
    return {name: text for name, text in pairs if name != "cursor"}, pairs


def _paging(path: str, filters: dict[str, str], cursor: str | None, next_cursor: str | None) -> dict[str, Any]:
    return {
        "filters": filters,
        "filtered": bool(filters),
        "without": lambda name: link(path, **{key: value for key, value in filters.items() if key != name}),
        "first": link(path, **filters) if cursor else None,
        "older": link(path, **filters, cursor=next_cursor) if next_cursor else None,
    }


def _first(page: ChainPage | BadCursor | None) -> ChainView | None:
    return page.chains[0] if isinstance(page, ChainPage) and page.chains else None


def _chain_title(chain: ChainView | None) -> str:
    if chain is None:
        return "Chain"
    return f"{chain.entry.namespace}/{chain.entry.name} to {chain.objective.namespace or '*'}/{chain.objective.name or '*'}"
