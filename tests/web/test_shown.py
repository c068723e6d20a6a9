"""How things are written: hidden characters, ages, numbers, states, links; and that style and scripts of ours fetch nothing."""

from __future__ import annotations

import re

import pytest
import web_stand_ins as w
from hypothesis import given, settings
from hypothesis import strategies as st

from web.shown import STATIC, ago, chain_state, duration, environment, link, number, plain, scope_name, segment, since
from web.sources import FeedView


@given(text=st.text(st.characters(codec=None)))
@settings(derandomize=True, deadline=None)
def test_plain_leaves_nothing_hidden(text):
    """After `plain` every text can be printed and encoded, and what was visible is as it was."""
    shown = plain(text)
    assert isinstance(shown, str)
    shown.encode()
    assert all(c.isprintable() or c.isspace() for c in shown)
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in shown)
    if text.isprintable():
        assert shown == text


def test_static_files_fetch_nothing():
    """No style, script or icon of ours names another host."""
    for content, _ in STATIC.values():
        found = re.findall(rb"(?:https?:)?//[a-z][\w.-]+\.[a-z]{2,}", content)
        assert [f for f in found if b"www.w3.org/2000/svg" not in f and f != b"http://www.w3.org"] == []


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-3, "0 s"), (0.9, "0 s"), (59.9, "59 s"), (60, "1 min"), (754, "12 min 34 s"), (3600, "1 h"), (90061, "1 d 1 h")],
)
def test_durations(seconds, expected):
    """Two units at most, whole numbers."""
    assert duration(seconds) == expected


@pytest.mark.parametrize(("value", "expected"), [(0, "0"), (1234567, "1\u2009234\u2009567"), (1.5, "1.50"), (3.0, "3")])
def test_numbers(value, expected):
    """Thin spaces between thousands."""
    assert number(value) == expected


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_colours_have_contrast():
    """In both themes every text colour has at least 4.5 : 1 on every ground it stands on (WCAG 2.2, 1.4.3)."""
    css = STATIC["style.css"][0].decode()
    themes = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r"\{([^{}]*--paper:[^{}]*)\}", css)
    ]
    assert len(themes) == 3
    assert themes[1] == themes[2], "the system's dark theme is the chosen one"
    low = []
    for theme in themes:
        for ground in ("paper", "card", "well", "signal-bed", "warn-bed"):
            for ink in ("ink", "soft", "signal", "warn", "calm", "link"):
                if ground.endswith("-bed") and ink != "ink":
                    continue
                pair = sorted((_luminance(theme[ground]), _luminance(theme[ink])))
                if (pair[1] + 0.05) / (pair[0] + 0.05) < 4.5:
                    low.append((ground, ink))
    assert low == []


def test_undefined_names_are_our_bug():
    """A template that prints what is not given fails instead of showing nothing."""
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        environment().from_string("{{ nothing }}").render()


@pytest.mark.parametrize(
    ("changes", "feed", "expected"),
    [
        ({}, None, ("proven", "proven now")),
        ({"corroboration": "possible"}, FeedView("never", None), ("possible", "possible now")),
        (w.DARK, FeedView("live", "x"), ("quiet", "not corroborated")),
        (w.DARK, FeedView("silent", "x"), ("unknown", "unknown")),
        (w.DARK, FeedView("never", None), ("unknown", "unknown")),
        (w.DARK | {"reach": "mounted"}, FeedView("live", "x"), ("unknown", "unknown")),  # no audit event shows it
        (w.DARK, None, ("unknown", "unknown")),  # the store did not answer
    ],
)
def test_state_of_a_chain(changes, feed, expected):
    """Only a live feed makes "not corroborated" of what is not lit."""
    assert chain_state(w.chain(**changes), feed) == expected


@pytest.mark.parametrize(
    ("namespace", "name", "expected"),
    [("a", "b", "a/b"), ("a", None, "a/*"), (None, None, "every Secret"), (None, "b", "*/b")],
)
def test_scopes(namespace, name, expected):
    """One Secret, all of a namespace, all, all of one name."""
    assert scope_name(namespace, name) == expected


def test_links():
    """Only what is given is in a link, and nothing in it is taken for another parameter or path."""
    assert link("/", a=None, b="", c="x&d=1") == "/?c=x%26d%3D1"
    assert link("/") == "/"
    assert segment("/a/ü?#\ud800") == "/a/%C3%BC%3F%23%ED%A0%80"


def test_times():
    """An age in words, the exact time beside it, and the machine's number for the script."""
    assert str(ago(w.NOW - 75, w.NOW)) == (
        '<time datetime="2027-01-15T07:58:45+00:00" title="2027-01-15T07:58:45+00:00" data-ago="1799999925.000">'
        "1 min 15 s ago</time>"
    )
    assert str(since("2027-01-14T07:58:45Z", w.NOW)).startswith("2027-01-14 07:58 UTC (")
