"""How things are written on the pages: hostile text, ages, states in words, links. Pure, but for reading the package's own files.

Everything that a template prints goes through `plain` and then through HTML escaping (Jinja's finalize and autoescape): what a
client chose is shown as text, with control characters as visible escapes. Counterparts: web/pages.py, web/templates/.
"""

from __future__ import annotations

import hashlib
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from actors.engine.queries import ChainView
from web.sources import FeedView

__all__ = [
    "STATIC",
    "ago",
    "chain_state",
    "duration",
    "environment",
    "number",
    "plain",
    "since",
    "static_files",
    "until",
]

HERE: Final = Path(__file__).parent
TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that are shown as escapes: control, format (bidi overrides among them), surrogates, unassigned, separators."""


def static_files() -> dict[str, tuple[bytes, str]]:
    """The files of web/static by name, with their content types."""
    found = sorted((HERE / "static").iterdir())
    return {path.name: (path.read_bytes(), TYPES[path.suffix]) for path in found if path.suffix in TYPES}


STATIC: Final = static_files()
"""Read once: they are the package's own, and few."""


def plain(text: object) -> object:
    """The text with what cannot be seen written as \\xNN or \\uNNNN; markup of our own and what is no text stay as they are."""
    if not isinstance(text, str) or isinstance(text, Markup) or (text.isascii() and text.isprintable()):
        return text
    return "".join(_escape(c) if unicodedata.category(c) in HIDDEN else c for c in text)


def _escape(c: str) -> str:
    code = ord(c)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def duration(seconds: float) -> str:
    """A length of time for people: two units at most. web/static/live.js writes the same."""
    whole = max(0, int(seconds))
    for size, unit, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {small}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def epoch(at: float | str) -> float:
    """Epoch seconds of an epoch or RFC 3339 time."""
    return datetime.fromisoformat(at).timestamp() if isinstance(at, str) else at


def ago(at: float | str, now: float) -> Markup:
    """A time as an age that goes on where scripts run; the exact time is one hover away."""
    seconds = now - epoch(at)
    return _time(at, "ago", f"{duration(seconds)} ago" if seconds >= 1 else "now")


def until(at: float | str, now: float) -> Markup:
    """A time to come."""
    seconds = epoch(at) - now
    return _time(at, "until", f"in {duration(seconds)}" if seconds > 0 else "now")


def since(at: float | str, now: float) -> Markup:
    """Since when, as the time of day (UTC; with the date where it was another day), and how long that is."""
    then, today = (datetime.fromtimestamp(epoch(t), UTC) for t in (at, now))
    written = then.strftime("%H:%M:%S UTC" if then.date() == today.date() else "%Y-%m-%d %H:%M UTC")
    return Markup("{} ({})").format(written, ago(at, now))


def _time(at: float | str, kind: str, text: str) -> Markup:
    written = at if isinstance(at, str) else datetime.fromtimestamp(at, UTC).isoformat()
    return Markup('<time datetime="{0}" title="{0}" data-{1}="{2:.3f}">{3}</time>').format(
        written, kind, epoch(at), text
    )


def number(value: float) -> str:
    """A count with thin spaces between thousands; other numbers with what digits matter."""
    if value != int(value):
        return f"{value:,.2f}".replace(",", "\u2009") if abs(value) < 10 else f"{value:,.0f}".replace(",", "\u2009")
    return f"{int(value):,}".replace(",", "\u2009")


def link(path: str, **parameters: object) -> str:
    """A link with the parameters that are there."""
    given = {name: str(value) for name, value in parameters.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def segment(text: str) -> str:
    """The text as one segment of a path, or, for an actor's path, several."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="/")


def chain_state(chain: ChainView, feed: FeedView | None) -> tuple[str, str]:
    """(kind, words). "Not corroborated" is only said while what would show a read is known to arrive.

    (Design 3, "Unknown is not quiet".) Of a mount that is no audit event: the kubelet reads it, and only runtime agents see the rest.
    """
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
