"""`watch_system`: mounts pages, API and events of a system into a Quart-Trio application, in one call.

Counterparts: pages.py, api.py and stream.py make what is answered; actions.py decides what may be done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qsl

import msgspec
import trio
from markupsafe import Markup
from quart import Response, request
from quart_trio import QuartTrio

from actors.runtime.watch.acting import act_on, read_form
from actors.runtime.watch.actions import TOKEN_FIELD, ActionRefused, Actions
from actors.runtime.watch.api import crash_json, letter_json, tree_json
from actors.runtime.watch.frame import SECURITY_HEADERS, STATIC, Layout, Page, environment, static_version
from actors.runtime.watch.pages import Pages
from actors.runtime.watch.reading import HasSnapshot
from actors.runtime.watch.rows import BadQuery
from actors.runtime.watch.sampler import Sampler, SamplerStatistics
from actors.runtime.watch.stream import EVENT_NAMES, Streams, StreamsStatistics
from actors.runtime.watch.told import Told
from actors.runtime.watch.words import plain, rfc3339

__all__ = ["Watch", "WatchStatistics", "watch_system"]

OWN: Final = "-"
"""The step of a path under which everything stands that is no actor. A system cannot be called so."""
PARAMETERS_MAX: Final = 16
"""Parameters of one request. Overflow: 400."""


class WatchStatistics(msgspec.Struct, frozen=True):
    """What watching costs at the moment."""

    sampler: SamplerStatistics
    streams: StreamsStatistics


class Watch:
    """What was mounted. `statistics` tells what it costs; nothing has to be started or stopped."""

    def __init__(
        self,
        system: HasSnapshot,
        *,
        pages_at: str,
        api_at: str,
        events_at: str | None,
        actions: Actions | None,
        layout: Layout | None,
    ) -> None:
        self.told = Told(system)
        self.actions = actions
        self.sampler = Sampler(
            self.told.system.timers if self.told.is_live else None, self.told.reader, trio.current_time
        )
        self.streams = Streams(system)
        self.pages_at, self.api_at = pages_at, api_at
        self.events_at = events_at or (f"{api_at}/{OWN}/events" if self.told.is_live else None)
        templates = environment(static=lambda name: f"{pages_at}/{OWN}/static/{name}?v={static_version(name)}")
        templates.filters["lines"] = _lines
        self.templates = templates
        self.layout = layout or self._own_frame
        self.pages = Pages(
            self.told,
            self.sampler,
            templates,
            pages_at=pages_at,
            api_at=api_at,
            allowed=actions is not None and actions.allowed,
            hint=actions.hint if actions is not None else "They are off here.",
        )

    def statistics(self) -> WatchStatistics:
        """Sampler and streams."""
        return WatchStatistics(self.sampler.statistics(), self.streams.statistics())

    async def framed(self, page: Page) -> Response:
        """The page as an answer."""
        return Response(await self.layout(page), page.status, content_type="text/html; charset=utf-8")

    async def _own_frame(self, page: Page) -> str:
        now = self.told.now()
        reader = self.told.reader()
        return self.templates.get_template("frame.html").render(
            page=page,
            now=now,
            now_text=rfc3339(now),
            stream=self.events_at or "",
            events=" ".join(EVENT_NAMES),
            system=reader.glance(reader.root()).name,
            at_pages=self.pages_at,
        )


def watch_system(
    app: QuartTrio,
    system: HasSnapshot,
    *,
    pages_at: str = "/actors",
    api_at: str = "/api/actors",
    events_at: str | None = None,
    actions: Actions | None = None,
    layout: Layout | None = None,
) -> Watch:
    """Mount the pages at `pages_at` (tree, `<path>` of an actor without its leading slash, `-/crashes`, `-/letters`), the API at
    `api_at` (the same as JSON) and a stream of lifecycle events at `<api_at>/-/events`.

    `system`: a `System`, or anything with `snapshot()`, of which only the tree is shown then. `events_at`: an event stream that the
    application has already, with `actor.*` events; then none is mounted. `actions`: what an operator may do, nothing by default.
    `layout`: frames the pages in the application's own way (see `Layout`); the package's files are then the application's to serve.

    Resource handling: nothing runs until somebody looks, and little longer; there is nothing to close. Who may look is the
    application's to decide, as is which Host names it answers. Error handling: ValueError for a mount point that is no absolute
    path, and for a system called "-".
    """
    for at in (pages_at, api_at):
        if not at.startswith("/") or at.endswith("/"):
            raise ValueError(f"{at!r}: an absolute path without a slash at its end")
    if getattr(system, "name", None) == OWN:
        raise ValueError(f"a system called {OWN!r} would hide the pages below it")
    watch = Watch(system, pages_at=pages_at, api_at=api_at, events_at=events_at, actions=actions, layout=layout)
    _add_pages(app, watch)
    _add_actions(app, watch)
    _add_api(app, watch)
    if events_at is None and watch.told.is_live:
        _route(app, f"{api_at}/{OWN}/events", "events", lambda: _ready(watch.streams.answer()))
    if layout is None:
        _route(app, f"{pages_at}/{OWN}/static/<name>", "static", _static)
    return watch


def _add_pages(app: QuartTrio, watch: Watch) -> None:
    pages, at = watch.pages, watch.pages_at

    def page(rule: str, name: str, make: Callable[..., Awaitable[Page]]) -> None:
        async def view(**values: str) -> Response:
            try:
                made = await make(**values)
            except BadQuery as error:
                made = pages.problem(400, "That is not understood", str(error))
            except ActionRefused as error:
                made = pages.problem(error.status, "Not done", str(error))
            return await watch.framed(made)

        _route(app, rule, name, view)

    async def actor(path: str) -> Page:
        return await pages.actor(f"/{path}", _pairs())

    async def confirm() -> Page:
        return pages.confirm(pages.asked(_pairs()))

    page(at, "tree", lambda: pages.tree(_pairs()))
    page(f"{at}/<path:path>", "actor", actor)
    page(f"{at}/{OWN}/crashes", "crashes", lambda: pages.crashes(_pairs()))
    page(f"{at}/{OWN}/crashes/<crash_id>", "crash", pages.crash)
    page(f"{at}/{OWN}/letters", "letters", lambda: pages.letters(_pairs()))
    page(f"{at}/{OWN}/confirm", "confirm", confirm)


def _add_actions(app: QuartTrio, watch: Watch) -> None:
    pages = watch.pages

    async def act() -> Response:
        try:
            form = await read_form()
            token = form.pop(TOKEN_FIELD, "")
            asked = pages.asked(tuple(form.items()))
            again = await act_on(watch.told, pages, watch.actions, asked, token)
        except BadQuery as error:
            return await watch.framed(pages.problem(400, "That is not understood", str(error)))
        except ActionRefused as error:
            return await watch.framed(pages.problem(error.status, "Not done", str(error)))
        if again is not None:
            return await watch.framed(again)
        return Response("", 303, headers={"Location": pages.done_at(asked)})

    _route(app, f"{watch.pages_at}/{OWN}/act", "act", act, ["POST"])


def _add_api(app: QuartTrio, watch: Watch) -> None:
    told, at = watch.told, watch.api_at

    def api(rule: str, name: str, make: Callable[..., Awaitable[bytes]]) -> None:
        async def view(**values: str) -> Response:
            try:
                for parameter, _ in _pairs():
                    raise BadQuery(f"{parameter[:40]}: no such parameter")
                return _json(await make(**values))
            except BadQuery as error:
                return _json(msgspec.json.encode({"error": str(error)}), 400)
            except LookupError as error:
                return _json(msgspec.json.encode({"error": str(error)}), 404)

        _route(app, rule, f"api.{name}", view)

    async def tree() -> bytes:
        reader = told.reader()
        return b'{"actors":[%s]}' % await tree_json(reader, reader.root())

    async def actor(path: str) -> bytes:
        reader = told.reader()
        place = reader.find(f"/{path}")
        if place is None:
            raise LookupError("no such actor")
        return b'{"actor":%s}' % await tree_json(reader, place)

    async def crashes() -> bytes:
        return msgspec.json.encode({"crashes": [crash_json(crash) for crash in reversed(told.crashes() or ())]})

    async def letters() -> bytes:
        return msgspec.json.encode(
            {
                "dead_letters": [letter_json(letter) for letter in reversed(told.letters() or ())],
                "counts": told.letters_statistics(),
            }
        )

    async def stack(path: str) -> bytes:
        if told.reader().find(f"/{path}") is None:
            raise LookupError("no such actor")
        return msgspec.json.encode({"path": f"/{path}", "stack": told.stack(f"/{path}")})

    api(at, "tree", tree)
    api(f"{at}/<path:path>", "actor", actor)
    api(f"{at}/{OWN}/crashes", "crashes", crashes)
    api(f"{at}/{OWN}/letters", "letters", letters)
    api(f"{at}/{OWN}/stack/<path:path>", "stack", stack)


# --- pieces ------------------------------------------------------------------------------------------------------------


def _route(
    app: QuartTrio, rule: str, name: str, view: Callable[..., Awaitable[Response]], methods: list[str] | None = None
) -> None:
    async def dressed(**values: str) -> Response:
        answer = await view(**values)
        for header, value in SECURITY_HEADERS:
            answer.headers.setdefault(header, value)
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer

    app.add_url_rule(rule, f"watch.{rule}.{name}".replace(".", "_"), dressed, methods=methods or ["GET"])


async def _ready(answer: Response) -> Response:
    return answer


async def _static(name: str) -> Response:
    if name not in STATIC:
        return Response("No such file.\n", 404, content_type="text/plain; charset=utf-8")
    content, content_type = STATIC[name]
    kept = "public, max-age=31536000, immutable" if "v" in request.args else "no-cache"
    return Response(content, content_type=content_type, headers={"Cache-Control": kept})


def _pairs() -> list[tuple[str, str]]:
    """The parameters of the query string, in order. BadQuery if there are too many."""
    try:
        return parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=PARAMETERS_MAX)
    except ValueError:
        raise BadQuery(f"more than {PARAMETERS_MAX} parameters") from None


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, content_type="application/json")


def _lines(text: str) -> Markup:
    """Text of several lines: what cannot be seen is escaped, line by line."""
    return Markup("\n").join(str(plain(line)) for line in text.split("\n"))
