"""Splits JSON into its parts without reading them: nesting is a counter and no recursion, and time is linear in the length.

Used where the typed decode of a whole body fails or would take too long. It finds where values begin and end; whether a value is
sound is for the decode of that value alone to say. Brackets of both kinds are taken alike: an item whose brackets do not pair
costs itself only. Regular expressions hop over whole flat parts in C; each hop is bounded (HOP_BYTES_MAX), so that other threads
get their turn.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import Final

from actors.parser.views import decode_text

HOP_BYTES_MAX: Final = 1024 * 1024
"""Most bytes that one hop may look at; takes 2 to 10 ms."""
MEMBERS_MAX: Final = 1_000
"""Most members of one object that are looked at; an event has about twenty."""

_FLAT_LEVELS = 16  # more than events and ordinary objects have: those are hopped over as a whole
_INSIDE_TEXT = rb'(?:[^"\\]++|\\.)*+'
_BETWEEN = rb'[^"\[\]{}]++|"' + _INSIDE_TEXT + rb'"'


def _flat(levels: int) -> bytes:
    """A pattern of a whole list or object with at most so many levels."""
    return rb"[\[{](?:" + (_BETWEEN if levels == 1 else _BETWEEN + rb"|" + _flat(levels - 1)) + rb")*+[\]}]"


# Every repeat is possessive: nothing is ever tried twice, and no text can make a match slow.
_flat_value = re.compile(_flat(_FLAT_LEVELS), re.DOTALL)
_flat_values = re.compile(rb"(?:" + _BETWEEN + rb"|" + _flat(_FLAT_LEVELS) + rb")*+", re.DOTALL)
_shallow_values = re.compile(rb"(?:" + _BETWEEN + rb"|" + _flat(1) + rb")*+", re.DOTALL)
_opens, _closes = re.compile(rb"[\[{]++"), re.compile(rb"[\]}]++")
_unclosed = re.compile(rb'(?:[^"\]}]++|"' + _INSIDE_TEXT + rb'")*+', re.DOTALL)
_text = re.compile(rb'"' + _INSIDE_TEXT + rb'"', re.DOTALL)
_inside_text = re.compile(_INSIDE_TEXT, re.DOTALL)
_scalar = re.compile(rb'[^\s,:"\[\]{}]++')
_space = re.compile(rb"[ \t\r\n]*+")

_QUOTE, _COMMA, _COLON = b'",:'
_CLOSE_LIST, _OPEN, _CLOSE = b"]{}"


class Why(enum.Enum):
    """Why scanning stopped; the value is the text that people read."""

    CUT_SHORT = "cut short: the body ends inside what begins"
    NOT_JSON = "not JSON"
    NO_OBJECT = "no JSON object"
    TOO_MANY = "more members or items than are read"


class ScanError(Exception):
    """The scanner cannot go on. `at`: byte offset in the body. Never holds anything of the body."""

    def __init__(self, why: Why, at: int) -> None:
        super().__init__(f"{why.value} at byte {at}")
        self.why = why
        self.at = at


def skip_space(body: bytes, pos: int, end: int) -> int:
    """Where the next byte is that is no white space, or the end."""
    while pos < end and body[pos] in b" \t\r\n":
        pos = _hop(_space, body, pos, end)
    return pos


def _hop(pattern: re.Pattern[bytes], body: bytes, pos: int, end: int) -> int:
    """Where one bounded match of a pattern, which can be empty, ends."""
    match = pattern.match(body, pos, min(end, pos + HOP_BYTES_MAX))
    return pos if match is None else match.end()


class Cursor:
    """A place in a body, which moves over whole values. Raises ScanError where there is none."""

    __slots__ = ("body", "end", "pos")

    def __init__(self, body: bytes, pos: int, end: int) -> None:
        self.body = body
        self.pos = pos
        self.end = end

    def peek(self) -> int | None:
        """The next byte that is no white space, and the cursor at it; None at the end."""
        self.pos = skip_space(self.body, self.pos, self.end)
        return self.body[self.pos] if self.pos < self.end else None

    def skip_value(self) -> tuple[int, int]:
        """Where the next value begins and ends; the cursor is then behind it."""
        first, start = self.peek(), self.pos
        if first is None:
            raise ScanError(Why.CUT_SHORT, start)
        if first in b"[{":
            self.pos = self._behind_nested(start)
        elif first == _QUOTE:
            self.pos = self._behind_text(start, start)
        else:
            self.pos = _hop(_scalar, self.body, start, self.end)
            if self.pos == start:
                raise ScanError(Why.NOT_JSON, start)
        return start, self.pos

    def _behind_text(self, pos: int, start: int) -> int:
        """Where the text ends that begins at `pos`, inside the value that begins at `start`."""
        body, end = self.body, self.end
        pos += 1
        while True:
            hop = _hop(_inside_text, body, pos, end)
            if hop >= end or (hop == pos and body[pos] != _QUOTE):  # the second: a lone backslash before the end
                raise ScanError(Why.CUT_SHORT, start)
            if body[hop] == _QUOTE:
                return hop + 1
            pos = hop

    def _behind_nested(self, start: int) -> int:
        """Where the list or object ends that begins at `start`."""
        body, end = self.body, self.end
        match = _flat_value.match(body, start, min(end, start + HOP_BYTES_MAX))
        if match is not None:
            return match.end()
        pos, depth = start + 1, 1  # it is deeper, longer, or cut: step inside
        while depth:
            # Very deep inside, looking far ahead at each step would be wasted.
            hop = _hop(_flat_values if depth <= _FLAT_LEVELS else _shallow_values, body, pos, end)
            if hop >= end:
                raise ScanError(Why.CUT_SHORT, start)
            found = body[hop]
            if found == _QUOTE:
                pos = self._behind_text(hop, start)
            elif found in b"]}":
                run = min(depth, _hop(_closes, body, hop, end) - hop)
                pos = hop + run
                depth -= run
            elif found in b"[{" and hop - pos <= HOP_BYTES_MAX // 2:  # no flat value, though the hop had room for one
                # Very deep inside, all that opens before the next close is counted at once.
                pos = _hop(_opens if depth <= _FLAT_LEVELS else _unclosed, body, hop, end)
                opened = _text.sub(b"", body[hop:pos])
                depth += opened.count(b"[") + opened.count(b"{")
            else:
                pos = hop
        return pos

    def elements(self) -> Iterator[tuple[int, int]]:
        """Where each element of the list here begins and ends; the cursor is behind the list at the end."""
        start, self.pos = self.pos, self.pos + 1
        if self.peek() == _CLOSE_LIST:
            self.pos += 1
            return
        while True:
            yield self.skip_value()
            if not self._more(start, _CLOSE_LIST):
                return

    def members(self) -> Iterator[tuple[str | None, int]]:
        """Each key of the object here (None: not readable) and where it begins; the caller moves over the value before the next."""
        start, self.pos = self.pos, self.pos + 1
        if self.peek() == _CLOSE:
            self.pos += 1
            return
        for _ in range(MEMBERS_MAX):
            if self.peek() not in (_QUOTE, None):
                raise ScanError(Why.NOT_JSON, self.pos)
            key_at, key_end = self.skip_value()
            found = self.peek()
            if found != _COLON:
                raise ScanError(Why.CUT_SHORT if found is None else Why.NOT_JSON, self.pos)
            self.pos += 1
            self.peek()
            yield decode_text(self.body[key_at:key_end]), key_at
            if not self._more(start, _CLOSE):
                return
        raise ScanError(Why.TOO_MANY, self.pos)

    def _more(self, start: int, close: int) -> bool:
        """Whether another one follows here in what began at `start`; the cursor is then behind the comma or the close."""
        found = self.peek()
        if found is None:
            raise ScanError(Why.CUT_SHORT, start)
        if found not in (_COMMA, close):
            raise ScanError(Why.NOT_JSON, self.pos)
        self.pos += 1
        return found == _COMMA


def spans_without(body: bytes, start: int, end: int, keys: frozenset[str]) -> list[tuple[int, int]] | None:
    """Where the members of the object from `start` to `end` are, but for these keys; None where it cannot be split."""
    cursor, spans = Cursor(body, start, end), []
    try:
        if cursor.peek() != _OPEN:
            return None
        for key, key_at in cursor.members():
            _, stop = cursor.skip_value()
            if key not in keys:
                spans.append((key_at, stop))
    except ScanError:
        return None
    return spans
