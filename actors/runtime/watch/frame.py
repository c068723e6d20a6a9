"""The frame around a page: our own, or the application's by a layout hook; the package's static files; the headers of every answer.

Counterparts: pages.py makes the content; mount.py adds the routes; templates/frame.html is the frame of our own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from actors.runtime.watch import words

__all__ = ["SECURITY_HEADERS", "STATIC", "Layout", "Page", "environment", "static_version"]

HERE: Final = Path(__file__).parent
TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),  # no-referrer would have browsers send "Origin: null" with our own forms
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""On every answer that does not have them already: an application's own word goes before ours."""


class Page(Struct, frozen=True):
    """A page to be framed.

    `here`: which one it is ("tree", "actor", "crashes", "crash", "letters", "confirm", "problem"). `content`: what goes into the
    frame's `<main>`. `live`: whether it is to be kept up to date. `json_link`: the same as JSON, where there is.
    """

    title: str
    here: str
    content: Markup
    status: int = 200
    live: bool = True
    json_link: str | None = None


Layout = Callable[[Page], Awaitable[str]]
"""Frames a page: the whole document. It links `watch.css` and, to keep pages live, `live.js` of STATIC, and defines the custom
properties that `watch.css` uses (those at the top of `frame.css`). See templates/frame.html for what live.js needs."""


def _static_files() -> dict[str, tuple[bytes, str]]:
    found = sorted((HERE / "static").iterdir())
    return {path.name: (path.read_bytes(), TYPES[path.suffix]) for path in found if path.suffix in TYPES}


STATIC: Final = _static_files()
"""The package's own files by name, with their content types; read once: they are few."""


def static_version(name: str) -> str:
    """A digest of a static file, for an address that may be kept for ever."""
    return hashlib.sha256(STATIC[name][0]).hexdigest()[:12]


def environment(**names: Any) -> Environment:
    """The environment of the package's templates, with these names known to all of them."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=words.plain,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        duration=words.duration,
        number=words.number,
        segment=words.segment,
        per_second=words.per_second,
        ms=words.milliseconds,
        short=words.short,
    )
    made.globals.update(link=words.link, **names)
    return made
