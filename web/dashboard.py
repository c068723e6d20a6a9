"""The dashboard listener's application: pages, API, event stream, metrics and health behind one gate, composed on one screen.

Counterparts: web/listener serves it; web/edge.py makes the sources and the access rules.
"""

from __future__ import annotations

import traceback
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import structlog
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

from actors.cluster.queries import KindStatus
from actors.runtime.watch import Actions, watch_system
from web.api import add_api, json_answer, refusal
from web.gate import FORM_MAX_BYTES, Access, Gate
from web.metrics import CONTENT_TYPE, Metrics
from web.operators import NO_ACTIONS
from web.pages import Pages
from web.params import BadParameter
from web.shown import STATIC, environment
from web.sources import Sources, Unanswered

__all__ = ["make_dashboard"]

FRAMES_MAX: Final = 10
"""How many frames of a failed request's traceback are logged, the innermost."""
PATH_SHOWN_MAX: Final = 200
"""How much of its path."""

log = structlog.get_logger(__name__)


class _Dashboard(QuartTrio):
    """Quart behind the gate; and an unexpected exception is logged without anything that a client sent."""

    gate: Gate

    async def asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
        """Everything goes through the gate, also what the framework answers by itself."""
        await self.gate(scope, receive, send)

    async def ungated(self, scope: Any, receive: Any, send: Any) -> None:
        """What the gate lets through."""
        await super().asgi_app(scope, receive, send)

    def log_exception(
        self, exception_info: tuple[type, BaseException, TracebackType] | tuple[None, None, None]
    ) -> None:
        """Types and places only: the text of an exception may hold what a client sent."""
        frames = traceback.extract_tb(exception_info[2])[-FRAMES_MAX:]
        log.error(
            "a request failed",
            error=type(exception_info[1]).__name__,
            path=ascii(request.path)[:PATH_SHOWN_MAX],
            where=[f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
        )


def make_dashboard(sources: Sources, access: Access, actions: Actions = NO_ACTIONS) -> QuartTrio:
    """The application. `access` says who may see it and under which Host names, `actions` what an operator may do to actors."""
    app = _Dashboard("web", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = FORM_MAX_BYTES
    app.config["BODY_TIMEOUT"] = 10
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    pages = Pages(sources, environment(), signed_in=access.credentials is not None)
    pages.add_to(app)
    add_api(app, sources)
    watch_system(app, sources.system, events_at="/api/events", actions=actions, layout=pages.actors_frame)
    _add_public(app, sources, access)
    _add_static(app)
    _add_errors(app, pages)
    app.gate = Gate(app.ungated, access, sources.clock.now, pages.login)
    return app


def _add_public(app: QuartTrio, sources: Sources, access: Access) -> None:
    metrics = Metrics(sources, access.statistics)

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response("ok\n", content_type="text/plain; charset=utf-8")

    @app.get("/readyz")
    async def readyz() -> Response:
        missing, kinds = await readiness(sources)
        answer: dict[str, Any] = {"ready": not missing, "missing": missing}
        if kinds:
            answer["kinds"] = kinds
        return json_answer(answer, 503 if missing else 200)

    @app.get("/metrics")
    async def metrics_text() -> Response:
        return Response(await metrics.text(), content_type=CONTENT_TYPE)


async def readiness(sources: Sources) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """What is not ready yet, in the order of the flow: "store" (it answers), "cluster" (in sync), "engine" (has all evidence).

    And how each kind of a live cluster stands: its state, and `age_s`, seconds since it was last known to be current. A file has none.
    """
    missing = []
    objects: dict[str, KindStatus] = {}
    try:
        await sources.store_status()
    except Unanswered:
        missing.append("store")
    try:
        objects = (await sources.cluster_status()).objects
        if not all(kind.is_settled for kind in objects.values()):
            missing.append("cluster")
    except Unanswered:
        missing.append("cluster")
    try:
        if sources.has_cluster and not (await sources.engine_status()).ready:
            missing.append("engine")
    except Unanswered:
        missing.append("engine")
    live = {name: kind for name, kind in sorted(objects.items()) if kind.state != "read"}
    kinds = {
        name: {"state": kind.state, "synced": kind.synced, "age_s": round(kind.age_s, 1)} for name, kind in live.items()
    }
    return missing, kinds


def _add_static(app: QuartTrio) -> None:
    @app.get("/static/<name>")
    async def static_file(name: str) -> Response:
        if name not in STATIC:
            return Response("No such file.\n", 404, content_type="text/plain; charset=utf-8")
        content, content_type = STATIC[name]
        answer = Response(content, content_type=content_type)
        kept = "public, max-age=31536000, immutable" if "v" in request.args else "no-cache"
        answer.headers["Cache-Control"] = kept
        return answer


def _add_errors(app: QuartTrio, pages: Pages) -> None:
    def answer(status: int, heading: str, words: str) -> Response:
        if request.path.startswith("/api/"):
            return refusal(status, words)
        return pages.problem(status, heading, words)

    @app.errorhandler(BadParameter)
    async def bad_parameter(error: BadParameter) -> Response:
        return answer(400, "That filter is not understood", str(error))

    @app.errorhandler(Unanswered)
    async def unanswered(error: Unanswered) -> Response:
        return answer(503, "A part did not answer", str(error))

    @app.errorhandler(HTTPException)
    async def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        made = answer(status, HTTPStatus(status).phrase, _WORDS.get(status, HTTPStatus(status).phrase))
        for name, value in error.get_headers():
            if name == "Allow":
                made.headers["Allow"] = value
        return made


_WORDS: Final = {
    404: "There is nothing at this address.",
    405: "This address is not for that method: what is shown is read with GET and HEAD.",
    500: "That was our mistake; the log has it.",
}
