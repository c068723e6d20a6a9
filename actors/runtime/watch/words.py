"""How things are written on pages: hostile text, ages, numbers, links. Pure.

Everything that a template prints goes through `plain` and then through HTML escaping (Jinja's finalize and autoescape): what
somebody else chose is shown as text, with control characters as visible escapes. Counterparts: templates/, static/live.js
(which lets ages and countdowns go on, in the same words).
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlencode

from markupsafe import Markup

__all__ = [
    "ago",
    "countdown",
    "duration",
    "epoch",
    "lasting",
    "link",
    "number",
    "per_second",
    "plain",
    "rfc3339",
    "segment",
    "since",
    "until",
]

HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that are shown as escapes: control, format (bidi overrides among them), surrogates, unassigned, separators."""


def plain(text: object) -> object:
    """The text with what cannot be seen written as \\xNN or \\uNNNN; markup of our own and what is no text stay as they are."""
    if not isinstance(text, str) or isinstance(text, Markup) or (text.isascii() and text.isprintable()):
        return text
    return "".join(_escape(c) if unicodedata.category(c) in HIDDEN else c for c in text)


def _escape(c: str) -> str:
    code = ord(c)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def duration(seconds: float) -> str:
    """A length of time for people: two units at most. static/live.js writes the same."""
    whole = max(0, int(seconds))
    for size, unit, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {small}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def short(seconds: float) -> str:
    """The same with a tenth of a second under ten seconds, for what is awaited or held up."""
    return f"{max(0.0, seconds):.1f} s" if seconds < 10 else duration(seconds)


def epoch(at: float | str) -> float:
    """Epoch seconds of an epoch or RFC 3339 time."""
    return datetime.fromisoformat(at).timestamp() if isinstance(at, str) else at


def rfc3339(at: float) -> str:
    """Epoch seconds as RFC 3339, UTC, microseconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


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


def countdown(left_s: float, now: float) -> Markup:
    """How long something still takes, counted down where scripts run."""
    return _time(now + left_s, "countdown", f"in {short(left_s)}" if left_s > 0 else "now")


def lasting(for_s: float, now: float) -> Markup:
    """How long something has lasted, counted up where scripts run."""
    return _time(now - for_s, "lasting", short(for_s))


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


def per_second(rate: float | None) -> str:
    """A rate; a dash while it is not known."""
    if rate is None:
        return "–"
    return "0" if rate == 0 else f"{rate:.2f}" if rate < 1 else f"{rate:.1f}" if rate < 100 else number(round(rate))


def milliseconds(value: float) -> str:
    """Milliseconds with the digits that matter; a dash for none."""
    if value <= 0:
        return "–"
    return number(round(value)) if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def link(at: str, /, **parameters: object) -> str:
    """A link with the parameters that are there."""
    given = {name: str(value) for name, value in parameters.items() if value not in (None, "")}
    return f"{at}?{urlencode(given, errors='surrogatepass')}" if given else at


def segment(text: str) -> str:
    """The text as one segment of a path, or, for an actor's path, several."""
    return quote(text.encode("utf-8", "surrogatepass"), safe="/")
