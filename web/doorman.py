"""Refuses a request without a right token by the first bytes of its connection, before any protocol or application is set up for it.

Only where there is no doubt, and only what web/ingest.py would answer in the same way: 401 to a peer over its rate of failures,
whose connection ends with that. Anything else is None here, and goes the ordinary way. So what a guesser costs is hardly more
than the TLS handshake of a new connection. Counterparts: web/listener/connection.py asks; web/guard.py judges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import Final

import trio

from web.guard import Guard, peer_of
from web.ingest_answers import UNAUTHORIZED_CLOSE, head_of

__all__ = ["Doorman"]

_HEAD, _TAIL = head_of(UNAUTHORIZED_CLOSE)
LENGTH_DIGITS_MAX: Final = 15
"""Digits of a Content-Length that is looked at here; longer ones go the ordinary way."""


class Doorman:
    """Called with the first bytes of an HTTP/1.1 connection and ASGI's `client`.

    Gives the whole answer with which the connection ends, and whether the request is whole; None to go on.
    `answered` is told of each status.
    """

    def __init__(
        self, paths: frozenset[str], guard: Guard, draining: Callable[[], bool], answered: Callable[[int], None]
    ) -> None:
        self._paths = frozenset(path.encode() for path in paths)
        self._guard = guard
        self._draining = draining
        self._answered = answered

    def __call__(self, data: bytes, client: Sequence[object] | None) -> tuple[bytes, bool] | None:
        """Counts what it refuses."""
        end = data.find(b"\r\n\r\n")
        if end < 0 or self._draining() or self._guard.bodies.is_full:
            return None
        first, *fields = data[:end].split(b"\r\n")
        found = _fields(fields)
        if found is None or not self._is_ours(first):
            return None
        authorization, length = found
        if not self._guard.refuses(authorization, peer_of(client), trio.current_time()):
            return None
        self._answered(UNAUTHORIZED_CLOSE.status)
        date = formatdate(usegmt=True).encode()
        return b"%sdate: %s\r\n\r\n%s" % (_HEAD, date, _TAIL), len(data) - end - 4 >= length

    def _is_ours(self, first: bytes) -> bool:
        method, _, rest = first.partition(b" ")
        target, _, version = rest.partition(b" ")
        return method == b"POST" and version == b"HTTP/1.1" and target.partition(b"?")[0] in self._paths


def _fields(fields: list[bytes]) -> tuple[bytes | None, int] | None:
    """The Authorization and the length of the body; None for a head that needs a closer look."""
    authorization: bytes | None = None
    length: int | None = None
    hosts = 0
    for field in fields:
        name, colon, value = field.partition(b":")
        name = name.lower()
        if not colon or not name.replace(b"-", b"").isalnum() or name in (b"transfer-encoding", b"expect"):
            return None
        hosts += name == b"host"
        if name == b"authorization":
            if authorization is not None:
                return None
            authorization = value
        elif name == b"content-length":
            digits = value.strip(b" \t")
            if length is not None or not digits.isdigit() or len(digits) > LENGTH_DIGITS_MAX:
                return None
            length = int(digits)
    return None if hosts != 1 else (authorization, length or 0)
