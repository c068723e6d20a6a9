"""The JSON API and the event stream of the dashboard listener; docs/openapi.yaml describes it, design 4 is its contract.

Every answer is a frozen record written by msgspec, so control characters in what a client chose are escaped by JSON itself.
400 names the parameter, 404 and 503 say what is missing, all as `{"error": …}`. Counterparts: actors/engine/queries.py, web/sources.py.
"""

from __future__ import annotations

from typing import Any, Final, Self

import msgspec
from quart import Response, request
from quart.wrappers.response import ResponseBody
from quart_trio import QuartTrio

from actors.cluster.live.heartbeat import HeartbeatStatus
from actors.cluster.queries import KindStatus
from actors.engine.queries import BadCursor
from actors.evidence.times import rfc3339
from web.answers import (
    ChainAnswer,
    ChainsAnswer,
    CountsView,
    ErrorAnswer,
    EscalationsAnswer,
    EvidenceAnswer,
    FeedStatusView,
    HeartbeatView,
    KindView,
    SecretAnswer,
    SenderView,
    StatusAnswer,
    WindowView,
)
from web.events import RETRY_MS, HubClosed, HubFull, Subscription, as_sse
from web.history import history_answer
from web.params import (
    NO_SUCH_CURSOR,
    BadParameter,
    chains_query,
    escalations_query,
    evidence_query,
    no_parameters,
    pairs_of,
)
from web.sources import Sources

__all__ = ["add_api", "json_answer", "refusal"]

RETRY_AFTER_S: Final = 2
"""What an answer of 503 asks for."""


class _StreamBody(ResponseBody):
    """The body of an event stream: gives the subscriber's place back whatever ends the response."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._greeted = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._subscription.close()

    def __aiter__(self) -> _StreamBody:
        return self

    async def __anext__(self) -> bytes:
        if not self._greeted:  # the server sends the headers with the first bytes of the body
            self._greeted = True
            return b": protector\nretry: %d\n\n" % RETRY_MS
        return as_sse(await anext(self._subscription))


def json_answer(answer: Any, status: int = 200) -> Response:
    """The record as JSON."""
    return Response(msgspec.json.encode(answer), status, content_type="application/json")


def refusal(status: int, why: str) -> Response:
    """An error in the API's form."""
    answer = json_answer(ErrorAnswer(why), status)
    if status == 503:
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


async def _chains(sources: Sources) -> Response:
    query = chains_query(pairs_of(request.query_string))
    page = await sources.chains(query)
    if isinstance(page, BadCursor):
        raise BadParameter(NO_SUCH_CURSOR)
    feed = await sources.feed()
    return json_answer(ChainsAnswer(page.revision, feed, page.chains, page.next_cursor, page.total))


async def _chain(sources: Sources, chain_id: str) -> Response:
    no_parameters(pairs_of(request.query_string))
    view = await sources.chain(chain_id)
    if view is None:
        return refusal(404, "no chain has this id")
    return json_answer(ChainAnswer(**msgspec.structs.asdict(view), feed=await sources.feed()))


async def _escalations(sources: Sources) -> Response:
    page = await sources.escalations(escalations_query(pairs_of(request.query_string)))
    if isinstance(page, BadCursor):
        raise BadParameter(NO_SUCH_CURSOR)
    return json_answer(EscalationsAnswer(page.escalations, page.next_cursor, page.total))


async def _secret(sources: Sources, namespace: str, name: str) -> Response:
    no_parameters(pairs_of(request.query_string))
    view = await sources.secret(namespace, name)
    return json_answer(SecretAnswer(**msgspec.structs.asdict(view), feed=await sources.feed()))


async def _evidence(sources: Sources) -> Response:
    query = evidence_query(pairs_of(request.query_string))
    page = await sources.evidence(query)
    if isinstance(page, BadCursor):
        raise BadParameter(NO_SUCH_CURSOR)
    return json_answer(EvidenceAnswer(page.revision, await sources.feed(), page.evidence, page.next_cursor))


async def _status(sources: Sources) -> Response:
    no_parameters(pairs_of(request.query_string))
    engine, store, cluster = (
        await sources.engine_status(),
        await sources.store_status(),
        await sources.cluster_status(),
    )
    now, counts = sources.clock.now(), store.counts
    feed = sources.feed_at(store, now)
    beat = await sources.heartbeat_status()
    brought = {} if beat is None else beat.peers
    senders = [
        SenderView(s.peer, rfc3339(s.last_batch_at), s.lag_s, s.skew_s, _moment(brought.get(s.peer)))
        for s in store.senders
    ]
    return json_answer(
        StatusAnswer(
            version=sources.version,
            cluster=sources.cluster_name,
            uptime_s=max(0.0, now - sources.started_at),
            revision=engine.revision,
            feed=FeedStatusView(feed.state, feed.last_batch_at, store.lag_s, senders, _heartbeat(beat)),
            counts=CountsView(
                batches=counts.batches,
                duplicates=counts.duplicates,
                events=counts.events,
                reads=counts.reads,
                new=counts.new,
                dropped=dict(counts.dropped),
                borrowed=counts.borrowed,
                late=counts.late,
                evicted=counts.evicted,
                disagreements=engine.disagreements,
            ),
            window=WindowView(store.observations, store.capacity),
            objects={kind: _kind(k) for kind, k in cluster.objects.items()},
        )
    )


def _moment(at: float | None) -> str | None:
    return None if at is None else rfc3339(at)


def _heartbeat(beat: HeartbeatStatus | None) -> HeartbeatView | None:
    if beat is None:
        return None
    return HeartbeatView(
        state=beat.state.value,
        why=beat.why,
        sent=beat.sent,
        returned=beat.returned,
        last_sent_at=_moment(beat.last_sent_at),
        last_returned_at=_moment(beat.last_returned_at),
        lag_s=beat.lag_s,
    )


def _kind(kind: KindStatus) -> KindView:
    return KindView(kind.count, kind.synced, kind.age_s, kind.state, kind.why)


async def _events(sources: Sources) -> Response:
    no_parameters(pairs_of(request.query_string))
    if request.method == "HEAD":
        return Response(b"", content_type="text/event-stream")
    try:
        subscription = sources.hub.subscribe(request.headers.get("Last-Event-ID"))
    except (HubFull, HubClosed) as error:
        return refusal(503, str(error))
    answer = Response(_StreamBody(subscription), content_type="text/event-stream")
    answer.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    answer.timeout = None  # the framework cuts streams after a minute otherwise
    return answer


def add_api(app: QuartTrio, sources: Sources) -> None:
    """Adds the routes under /api, but for the actors' own (actors/runtime/watch)."""

    @app.get("/api/chains")
    async def api_chains() -> Response:
        return await _chains(sources)

    @app.get("/api/chains/<chain_id>")
    async def api_chain(chain_id: str) -> Response:
        return await _chain(sources, chain_id)

    @app.get("/api/escalations")
    async def api_escalations() -> Response:
        return await _escalations(sources)

    @app.get("/api/secrets/<namespace>/<name>")
    async def api_secret(namespace: str, name: str) -> Response:
        return await _secret(sources, namespace, name)

    @app.get("/api/evidence")
    async def api_evidence() -> Response:
        return await _evidence(sources)

    @app.get("/api/history")
    async def api_history() -> Response:
        return json_answer(await history_answer(sources, pairs_of(request.query_string)))

    @app.get("/api/status")
    async def api_status() -> Response:
        return await _status(sources)

    @app.get("/api/events")
    async def api_events() -> Response:
        return await _events(sources)
