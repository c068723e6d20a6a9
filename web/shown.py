"""How things are written on the pages: states in words, what the templates know. Pure, but for reading the package's own files.

Everything that a template prints goes through `plain` and then through HTML escaping (Jinja's finalize and autoescape): what a
client chose is shown as text, with control characters as visible escapes. Counterparts: web/pages.py, web/templates/.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from actors.engine.queries import ChainView
from actors.runtime.watch import STATIC as WATCH_STATIC
from actors.runtime.watch.words import ago, duration, link, number, plain, segment, since, until
from web.sources import FeedView

__all__ = [
    "STATIC",
    "ago",
    "chain_state",
    "duration",
    "environment",
    "link",
    "number",
    "plain",
    "since",
    "static_files",
    "until",
]

HERE: Final = Path(__file__).parent
TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def static_files() -> dict[str, tuple[bytes, str]]:
    """The files of web/static by name, with their content types."""
    found = sorted((HERE / "static").iterdir())
    return {path.name: (path.read_bytes(), TYPES[path.suffix]) for path in found if path.suffix in TYPES}


SHARED: Final = ("live.js", "theme.js", "watch.css")
"""Files of the actors' pages (actors/runtime/watch/static/) that our own frame uses too."""

STATIC: Final = {name: WATCH_STATIC[name] for name in SHARED} | static_files()
"""Read once: they are few."""


def chain_state(chain: ChainView, feed: FeedView | None) -> tuple[str, str]:
    """(kind, words). "Not corroborated" is only said while what would show a read is known to arrive.

    (Design 3, "Unknown is not quiet".) Of a mount that is no audit event: the kubelet reads it, and only runtime agents see the rest.
    """
    if chain.corroborated and not chain.open:
        return "expected", "expected"
    if chain.corroborated:
        return ("proven", "proven now") if chain.corroboration == "proven" else ("possible", "possible now")
    if chain.reach != "mounted" and feed is not None and feed.state == "live":
        return "quiet", "not corroborated"
    return "unknown", "unknown"


def scope_name(namespace: str | None, name: str | None) -> str:
    """What Secrets: one, all of a namespace, all of one name, or all."""
    if namespace is None:
        return "every Secret" if name is None else f"*/{name}"
    return f"{namespace}/{name if name is not None else '*'}"


def object_name(thing: Any) -> str:
    """kind namespace/name, or kind name where it is cluster-scoped."""
    return f"{thing.kind} {thing.namespace}/{thing.name}" if thing.namespace else f"{thing.kind} {thing.name}"


def static_link(name: str) -> str:
    """The file's address with a digest of its content, so that it may be kept for ever."""
    return f"/static/{name}?v={hashlib.sha256(STATIC[name][0]).hexdigest()[:12]}"


def environment() -> Environment:
    """The templates' environment."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=plain,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(plain=plain, duration=duration, number=number, segment=segment)
    made.globals.update(
        link=link, static=static_link, chain_state=chain_state, scope_name=scope_name, object_name=object_name
    )
    return made
